"""Two greenlets that hand each other values: what one passes to switch(), the other's switch() returns."""

from greenlet import getcurrent, greenlet


def eat(dish):
    print(f"eat: {dish}")
    toy = play.switch("a ball")  # starts play; its first word back is the toy that it wants next
    print(f"eat: done, play asks for {toy}")
    game = play.switch("a kite")
    print(f"eat: done, play found {game}")
    return "full"  # a greenlet that ends goes to its parent, with its value


def play(toy):
    print(f"play: with {toy}")
    toy = eat.switch("a kite")
    print(f"play: with {toy}")
    eat.switch("a friend")
    print("never printed: nobody comes back")


main = getcurrent()
eat, play = greenlet(eat), greenlet(play)

result = eat.switch("an apple")
print(f"main: eat is {result}")
assert eat.dead
assert eat.parent is main
assert not play.dead  # set aside in the middle, for as long as somebody holds it

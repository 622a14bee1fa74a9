"""Two greenlets that wait: while one sleeps the other goes on, so that both take as long as the longer one."""

import time

import gevent


def eat(name):
    print(f"{name} eats 1")
    gevent.sleep(0.4)
    print(f"{name} eats 2")


def play(name):
    print(f"{name} plays 1")
    gevent.sleep(0.2)
    print(f"{name} plays 2")


start = time.perf_counter()
gevent.joinall([gevent.spawn(eat, "Ada"), gevent.spawn(play, name="Ada")])
print(f"both took {time.perf_counter() - start:.1f} s, and not 0.6 s")

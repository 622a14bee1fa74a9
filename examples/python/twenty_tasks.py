"""Twenty tasks scheduled by hand: a round-robin in a dozen lines, without threads and without `async`."""

from collections import deque
from functools import partial

from greenlet import getcurrent, greenlet


def schedule(functions):
    """Run the functions in turns until all have returned; return their results and the number of turns."""
    results = {}
    ready = deque((name, greenlet(function)) for name, function in enumerate(functions))
    turns = 0
    while ready:
        name, task = ready.popleft()
        value = task.switch()
        turns += 1
        if task.dead:
            results[name] = value
        else:
            ready.append((name, task))
    return [results[name] for name in sorted(results)], turns


def pause():
    getcurrent().parent.switch()  # works at any depth of calls, which a generator's `yield` does not


def add_up(number):
    total = 0
    for step in range(3):
        total += number * step
        pause()
    return total


totals, turns = schedule([partial(add_up, number) for number in range(20)])
print(f"{len(totals)} tasks took {turns} turns: {totals}")
assert totals == [3 * number for number in range(20)]

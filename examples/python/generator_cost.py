"""The same work one after the other and in turns by a generator: what taking turns costs, and what it saves.

generator_cost.py [COUNT]      COUNT numbers each way, 200000 if not said
"""

import sys
import time


def make(number):
    return number * number % 1_009


def serially(count):
    """First make all, then use all."""
    made = [make(number) for number in range(count)]
    return sum(made), len(made)


def use():
    """Use each number when it comes; `yield` waits for it and hands back the sum so far."""
    total = 0
    while True:
        total += yield total


def in_turns(count):
    user = use()
    total = next(user)  # up to its first `yield`
    for number in range(count):
        total = user.send(make(number))
    return total, 1


count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
for run in (serially, in_turns):
    start = time.perf_counter()
    total, held = run(count)
    print(f"{run.__name__}: sum {total}, {(time.perf_counter() - start) * 1e3:.1f} ms, {held} held at once")

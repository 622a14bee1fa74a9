"""What a switch costs without anything to wait for: one sum, in a loop and by two greenlets in turns.

switch_cost.py [COUNT]      COUNT steps each way, 200000 if not said
"""

import sys
import time
from functools import reduce

from greenlet import greenlet


def step(total, number):
    return (total * 31 + number) % 1_000_003


def serially(count):
    return reduce(step, range(count), 0)


def in_turns(count):
    def work(total, first, other):
        for number in range(first, count, 2):
            total = other.switch(step(total, number))
        return total  # to main, whichever of the two comes to its end first

    even = greenlet(lambda total: work(total, 0, odd))
    odd = greenlet(lambda total: work(total, 1, even))
    return even.switch(0)


count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
seconds = {}
for run in (serially, in_turns):
    start = time.perf_counter()
    total = run(count)
    seconds[run] = time.perf_counter() - start
    print(f"{run.__name__:>9}: {seconds[run] * 1e3:8.1f} ms, sum {total}")
print(f"one switch: {max(seconds[in_turns] - seconds[serially], 0) / count * 1e9:.0f} ns")

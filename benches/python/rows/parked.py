"""What a suspended greenlet takes: memory, page tables, and the time to make it and get it there.

The greenlets are shallow: one Python function that switches back to main at once. The million is this row
too.
"""

import time

from measure import ask, finish, memory, settle

COUNT = 10_000
# Made before the first look at the memory: what greenlets need once is not a cost of each.
WARM_UP = 100


def main() -> None:
    """Makes them, looks at the memory before and after, and leaves them to the process's end."""
    asked = ask(number=COUNT)
    greenlet = asked.module.greenlet
    park = asked.module.getcurrent().switch
    parked = 0

    def body() -> None:
        nonlocal parked
        parked += 1
        park()

    kept: list[object] = [None] * (WARM_UP + asked.number)

    def make(start: int, stop: int) -> None:
        for index in range(start, stop):
            kept[index] = child = greenlet(body)
            child.switch()

    make(0, WARM_UP)
    settle()
    before = memory()
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    make(WARM_UP, len(kept))
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    after = memory()
    if parked != len(kept):
        raise RuntimeError(f"{parked} of {len(kept)} greenlets ran")
    finish(
        {
            "rss": (after["rss"] - before["rss"]) / asked.number,
            "page_tables": (after["page_tables"] - before["page_tables"]) / asked.number,
            "cpu_ns": cpu / asked.number,
            "wall_ns": wall / asked.number,
        }
    )


if __name__ == "__main__":
    main()

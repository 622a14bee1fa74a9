"""How the rows are measured: the one thing every row's process does around its own work.

A row builds what it needs and hands over a function that does a number of operations. It is run again and
again in short runs, and the lower quartile of them is the sample: what is left out are the runs that
something else on the machine interrupted. The sample is printed as one line of JSON.
"""

import argparse
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

# An original or its drop-in. Both have types of their own, but which one it is turns out only in the child.
Module = Any

# CPU time that one short run should take at least: far above the clock's resolution, far below a time slice.
RUN_NS = 3_000_000


@dataclass(frozen=True)
class Asked:
    """What the parent asked this process for."""

    # The module's name. Importing it is left to whoever uses it: the client of a server does not.
    name: str
    # How long to measure, in nanoseconds of CPU time.
    time_ns: int
    # How many operations to do untimed, so that something outside counts them; None to measure.
    operations: int | None
    # How many greenlets, levels or connections: the row's own number, if it takes one.
    number: int
    # Whether a server of asyncio is to use streams; a `Protocol` otherwise.
    streams: bool
    # What is asked of a row that does several things.
    words: tuple[str, ...] = ()
    # The URL of the server that the harness has started for the row.
    server: str = ""

    @property
    def module(self) -> Module:
        """The module that is measured."""
        return importlib.import_module(self.name)


def ask(number: int = 0) -> Asked:
    """Reads the command line of a row's process; `number` is the row's default for its own number."""
    parser = argparse.ArgumentParser(description="One sample of a row, as a line of JSON.")
    parser.add_argument("--module", default="greenlet", metavar="NAME", help="what to measure")
    parser.add_argument("--millis", type=int, default=300, metavar="N", help="CPU time to measure for")
    parser.add_argument("--operations", type=int, metavar="N", help="do so many operations, untimed")
    parser.add_argument(
        "--number", type=int, default=number, metavar="N", help="of whatever the row has many"
    )
    parser.add_argument("--streams", action="store_true", help="asyncio's streams in the place of a Protocol")
    parser.add_argument("--server", default="", metavar="URL", help="where the row's server is")
    parser.add_argument("--drivers", metavar="DIR", help="where its drivers are installed")
    parser.add_argument("words", nargs="*", help="what the row is asked for besides")
    given = parser.parse_args()
    if given.drivers:
        sys.path.append(given.drivers)
    return Asked(
        given.module,
        given.millis * 1_000_000,
        given.operations,
        given.number,
        given.streams,
        tuple(given.words),
        given.server,
    )


def timed(asked: Asked, run: Callable[[int], None], per_turn: int = 1) -> NoReturn:
    """Measures `run(turns)`, a turn being `per_turn` operations, prints the sample and ends the process."""
    finish(measured(asked, run, per_turn))


def measured(
    asked: Asked,
    run: Callable[[int], None],
    per_turn: int = 1,
    clock: Callable[[], int] = time.process_time_ns,
    shortest: int = RUN_NS,
) -> dict[str, float]:
    """CPU time by `clock`, and wall time, of an operation; nothing if operations were only to be done.

    A run takes at least `shortest` nanoseconds of CPU time.
    """
    if asked.operations is not None:
        run(max(1, asked.operations // per_turn))
        return {}

    def once(turns: int) -> tuple[int, int]:
        wall = time.perf_counter_ns()
        cpu = clock()
        run(turns)
        return clock() - cpu, time.perf_counter_ns() - wall

    turns = 1
    while once(turns)[0] < shortest:
        turns *= 2
    runs: list[tuple[int, int]] = []
    spent = 0
    while spent < asked.time_ns or len(runs) < 5:
        runs.append(once(turns))
        spent += runs[-1][0]
    operations = turns * per_turn
    return {
        "cpu_ns": _lower_quartile([cpu for cpu, _ in runs]) / operations,
        "wall_ns": _lower_quartile([wall for _, wall in runs]) / operations,
    }


def finish(metrics: dict[str, float]) -> NoReturn:
    """Prints the sample and ends the process at once, whatever is still suspended.

    A suspended greenlet that Python drops is ended by an exception thrown into it. With a million of them
    that takes longer than the row did, and it is not what any row measures.
    """
    metrics.setdefault("peak_rss_bytes", peak_rss())
    print(json.dumps({"metrics": metrics}))
    sys.stdout.flush()
    os._exit(0)


def peak_rss(process: int | str = "self") -> int:
    """Bytes of memory that a process held at most."""
    return _kilobytes(f"/proc/{process}/status", "VmHWM:")


def memory() -> dict[str, int]:
    """Bytes of memory (`rss`) and of page tables (`page_tables`) that this process holds.

    smaps_rollup walks the page tables and is exact; the counters of statm are brought up to date in batches.
    """
    return {
        "rss": _kilobytes("/proc/self/smaps_rollup", "Rss:"),
        "page_tables": _kilobytes("/proc/self/status", "VmPTE:"),
    }


def settle() -> None:
    """Leaves the collector nothing to do that belongs to the set-up."""
    gc.collect()
    gc.freeze()


def _lower_quartile(times: list[int]) -> float:
    return float(sorted(times)[len(times) // 4])


def _kilobytes(path: str, key: str) -> int:
    with Path(path).open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"{path} has no {key}")

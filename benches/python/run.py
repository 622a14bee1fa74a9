"""greenloom's Python face beside the original greenlet, interleaved in one run.

The way of a figure: a file in `rows/` says what is done and `rows/measure.py` how it is timed, each sample in
a process of its own; `runner` takes the samples round by round in the environments that `implementations`
makes, and `report` turns them into tables. `catalog` knows the rows and their marks.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import catalog
import implementations
import report
import runner
from machine import Machine

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / "target" / "bench-python"

EXAMPLES = """\
examples:
  python3.11 benches/python/run.py
      all rows in this Python; builds greenloom and installs it into an environment of its own
  python3.11 benches/python/run.py --quick --rows switch,throw --ours-venv .venv
      two rows, short, with the greenloom that is installed in .venv
  python3.11 benches/python/run.py --python python3.10 --python python3.13 --out docs/benchmarks/python
      a table for each of two Pythons
  python3.11 benches/python/run.py --against-itself --quick
      the original on both sides: how far the ratios stray from 1 is the noise of this machine

No time is ever asserted. The program fails only if greenloom cannot do a row at all.
"""


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="greenloom.greenlet beside greenlet 3.5.6: medians, ratios, spread, CPU time and memory.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--python",
        action="append",
        metavar="PY",
        help="a Python to measure with; may be given several times (default: the one that runs this)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=CACHE / "results",
        metavar="DIR",
        help="where RESULTS.md and results.json go",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, without the million")
    parser.add_argument("--rows", default="", metavar="NAME,...", help="only the rows or jobs of these names")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (default 7, with --quick 3)")
    parser.add_argument(
        "--ours-venv",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="an environment that has greenloom already; may be given several times, one per Python",
    )
    parser.add_argument("--against-itself", action="store_true", help="put the original on both sides")
    parser.add_argument("--instructions", action="store_true", help="also count user instructions (slow)")
    parser.add_argument("--list", action="store_true", help="the rows")
    return parser.parse_args(words)


def bench(given: argparse.Namespace) -> int:
    """The run that users ask for; returns the exit status."""
    jobs = catalog.chosen({name.strip() for name in given.rows.split(",") if name.strip()}, quick=given.quick)
    rounds = max(1, given.rounds or (3 if given.quick else 7))
    settings = runner.Settings(rounds=rounds, millis=60 if given.quick else 300, quick=given.quick)
    machine = Machine.read(REPOSITORY)
    print(machine.line())
    print(*filter(None, [machine.busy()]), sep="\n", end="\n\n", flush=True)
    pythons = [implementations.interpreter(Path(path)) for path in given.python or [sys.executable]]
    progress = runner.Progress(2 * len(pythons) * sum(settings.rounds_of(job) for job in jobs))
    counter = runner.counter_name() if given.instructions else None
    if counter:
        print(f"Instructions counted by: {counter}\n")
    tables: list[report.Table] = []
    failures: list[str] = []
    for python in pythons:
        progress.note(f"environments for Python {python.version}")
        pair = [implementations.original(python, CACHE)]
        if given.against_itself:
            pair.append(implementations.original(python, CACHE, name=f"{implementations.ORIGINAL} again"))
        else:
            pair.append(implementations.ours(python, CACHE, REPOSITORY, given.ours_venv))
        table = report.Table(python, pair, [])
        for job in jobs:
            results = runner.run(job, pair, settings, progress)
            counts = [count(job, one, progress) if given.instructions else None for one in pair]
            # The marks are ours; the original has none to reach.
            rows = [replace(row, mark=None) for row in job.rows] if given.against_itself else job.rows
            table.rows += [report.measured(row, job.about, results, counts, python.minor) for row in rows]
        tables.append(table)
        progress.clear()
        print(report.text(table), flush=True)
        failures += [f"{name} in {python.version}" for name in report.failed(table)]
    if len(tables) > 1:
        print(report.overview(tables))
    report.write(given.out, machine, tables, quick=given.quick, rounds=rounds, counter=counter)
    print(f"Written: RESULTS.md and results.json, in {given.out}")
    if failures:
        print(f"greenloom failed in: {', '.join(failures)}", file=sys.stderr)
    return 1 if failures else 0


def count(
    job: catalog.Job, one: implementations.Implementation, progress: runner.Progress
) -> float | str | None:
    """Instructions of an operation, or why they could not be counted; `None` if there are none to count."""
    if not job.countable:
        return None
    progress.note(f"{job.name}: {one.name}, instructions")
    try:
        return runner.instructions(job, one)
    except runner.SampleError as failure:
        return str(failure)


def main() -> int:
    """Parses, runs, and ends cleanly when interrupted."""
    given = parse()
    if given.list:
        print(catalog.listing())
        return 0
    try:
        return bench(given)
    except (ValueError, implementations.SetupError) as error:
        print(f"\n{error}" if sys.stderr.isatty() else error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # The sample's process got the same signal, and whoever waited for it has ended it.
        print("\nInterrupted; nothing was written.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

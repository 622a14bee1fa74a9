"""greenloom's Python face beside the original greenlet, the original gevent and libc, interleaved in one run.

The way of a figure: a file in `rows/` says what is done and `rows/measure.py` how it is timed, each sample in
a process of its own; `runner` takes the samples round by round in the environments that `implementations`
makes and beside the `servers` that some rows need, `comparison` compares them, and `report` turns them into tables.
`greenlet_rows`, `gevent_rows`, `driver_rows` and `hook_rows` have the rows and their marks.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import comparison
import implementations
import report
import runner
import servers
import suites
from catalog import Job, Suite
from implementations import Implementation, Interpreter
from machine import Machine

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / "target" / "bench-python"

EXAMPLES = """\
examples:
  python3.11 benches/python/run.py
      all rows in this Python; builds greenloom and installs it into an environment of its own
  python3.11 benches/python/run.py --quick --rows switch,throw --ours-venv .venv
      two rows, short, with the greenloom that is installed in .venv; `--rows gevent` is all of that suite
  python3.11 benches/python/run.py --python python3.10 --python python3.13 --out docs/benchmarks/python \\
      --page docs/benchmarks-python.md
      tables for each of two Pythons, and the main ones in the page that explains them
  python3.11 benches/python/run.py --against-itself --quick
      the original on both sides: how far the ratios stray from 1 is the noise of this machine

No time is ever asserted. The program fails only if greenloom cannot do a row at all.
"""


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="greenloom beside greenlet, gevent and C drivers: medians, ratios, spread, CPU time and memory.",
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
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="a page of the documentation to put the main tables into, between its marks",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, without the million")
    parser.add_argument("--rows", default="", metavar="NAME,...", help="only these rows, jobs or suites")
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


class Bench:
    """The run that users ask for."""

    def __init__(self, given: argparse.Namespace) -> None:
        """Says what it will do, and on what."""
        self.given = given
        names = {name.strip() for name in given.rows.split(",") if name.strip()}
        self.chosen = suites.chosen(names, quick=given.quick)
        if given.page:
            # Now rather than after all the measuring.
            for suite, _ in self.chosen:
                report.place(given.page.read_text(encoding="utf-8"), suite.name)
        rounds = max(1, given.rounds or (3 if given.quick else 7))
        self.settings = runner.Settings(rounds=rounds, millis=60 if given.quick else 300, quick=given.quick)
        self.pythons = [implementations.interpreter(Path(path)) for path in given.python or [sys.executable]]
        counter = runner.counter_name() if given.instructions else None
        self.about = report.Run(Machine.read(REPOSITORY), given.quick, rounds, counter)
        samples = sum(
            self.settings.rounds_of(job) * (2 + (0 if given.against_itself else len(job.peers)))
            for _, jobs in self.chosen
            for job in jobs
        )
        self.progress = runner.Progress(len(self.pythons) * samples)
        self.servers = servers.Servers()

    def run(self) -> int:
        """Measures everything; returns the exit status."""
        print("\n".join(self.about.lines()), flush=True)
        environments = [self.environment_of_ours(python) for python in self.pythons]
        tables: list[comparison.Table] = []
        with self.servers:
            for suite, jobs in self.chosen:
                for python, ours in zip(self.pythons, environments, strict=True):
                    table = self.table(suite, jobs, python, ours)
                    self.progress.clear()
                    if table.rows:
                        tables.append(table)
                        print(report.text(table), flush=True)
        report.write(self.given.out, self.about, tables)
        print(f"Written: RESULTS.md and results.json, in {self.given.out}")
        if self.given.page:
            report.put_into(self.given.page, self.about, tables)
            print(f"Written: the tables in {self.given.page}")
        failures = [
            f"{row} in {table.interpreter.version}" for table in tables for row in report.failed(table)
        ]
        if failures:
            print(f"greenloom failed in: {', '.join(failures)}", file=sys.stderr)
        return 1 if failures else 0

    def environment_of_ours(self, python: Interpreter) -> Path | None:
        """The Python that has greenloom, if it is asked for."""
        if self.given.against_itself:
            return None
        self.progress.note(f"greenloom for Python {python.version}")
        return implementations.environment_of_ours(python, CACHE, REPOSITORY, self.given.ours_venv)

    def table(
        self, suite: Suite, jobs: list[Job], python: Interpreter, ours: Path | None
    ) -> comparison.Table:
        """A suite's rows in one Python; without greenloom, the original beside itself."""
        self.progress.note(f"environments for Python {python.version}")
        original = implementations.original(python, CACHE, suite)
        if ours is None:
            pair = [original, replace(original, name=f"{original.name} again")]
            # The marks are ours; the original has none to reach.
            jobs = [
                replace(job, peers=(), rows=tuple(replace(row, mark=None) for row in job.rows))
                for job in jobs
            ]
        else:
            pair = [original, implementations.ours(ours, suite)]
        wanted = dict.fromkeys(peer for job in jobs for peer in job.peers)
        peers = {peer: implementations.peer(python, CACHE, peer) for peer in wanted}
        table = comparison.Table(suite, python, pair, [])
        for job in jobs:
            try:
                words = self.words(job, python)
            except (servers.Missing, implementations.SetupError) as missing:
                self.progress.clear()
                print(f"{job.name} is left out: {missing}\n", flush=True)
                continue
            measured = [
                replace(one, options=(*one.options, *words))
                for one in (*pair, *map(peers.__getitem__, job.peers))
            ]
            results = runner.run(job, measured, self.settings, self.progress)
            counts = [
                self.count(job, one) if index < len(pair) else None for index, one in enumerate(measured)
            ]
            table.rows += [comparison.measured(row, job, results, counts, python.minor) for row in job.rows]
        return table

    def words(self, job: Job, python: Interpreter) -> list[str]:
        """What a row is told of the server that it needs. Raises `Missing` or `SetupError` if it cannot have it."""
        if job.need is None:
            return []
        self.progress.note(f"{job.need.value} for {job.name}")
        url = self.servers.url(job.need)
        drivers = implementations.drivers(python, CACHE, job.need)
        return ["--server", url, "--drivers", str(drivers)] if drivers else []

    def count(self, job: Job, one: Implementation) -> comparison.Count:
        """Instructions of an operation, or why they could not be counted; `None` if there are none to count."""
        if not self.given.instructions or not job.countable:
            return None
        self.progress.note(f"{job.name}: {one.name}, instructions")
        try:
            return runner.instructions(job, one)
        except runner.SampleError as failure:
            return str(failure)


def main() -> int:
    """Parses, runs, and ends cleanly when interrupted."""
    given = parse()
    if given.list:
        print(suites.listing())
        return 0
    try:
        return Bench(given).run()
    except (ValueError, OSError, implementations.SetupError) as error:
        print(f"\n{error}" if sys.stderr.isatty() else error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # The sample's process got the same signal, and whoever waited for it has ended it.
        print("\nInterrupted; nothing was written.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

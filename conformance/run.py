"""Runs the originals' own tests against greenloom and demands that it does as well: see README.md beside this file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from as_main import MONKEY
from baseline import Score, read_baseline, report_score, score
from compare import Verdict, judge, report, run_both, unknown
from files import FileResult
from measure import Side, ask, measure
from suites import HERE, SUITES, Suite, read_lists
from venvs import (
    Bench,
    CannotMake,
    Ours,
    Pair,
    has_tests,
    make_bench,
    make_original,
    make_pair,
    short,
    version_of,
)

REPOSITORY = HERE.parent
EXAMPLES = """\
examples:
  python3 conformance/run.py --python python3.11 --python python3.13
  python3 conformance/run.py --python .venv/bin/python --ours-prefix .venv     use the greenloom built in .venv
  python3 conformance/run.py --python python3.12 --filter test_throw           the cases with this in their name
  python3 conformance/run.py --python python3.12 --suite greenlet --ours greenlet==3.5.6 --no-exceptions
                                                                               try the harness itself

exit status: 0 ours conforms, 1 it does not, 2 wrong usage, nothing to run, or an environment that could not be made
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="conformance/run.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--python",
        action="append",
        required=True,
        metavar="PY",
        help="an interpreter to test with; repeatable",
    )
    add("--suite", choices=[*SUITES, "all"], default="all", help="whose tests (default: all)")
    add("--filter", default="", metavar="TEXT", help="run only the cases whose full name contains TEXT")
    add(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="test files at a time (default: CPUs)",
    )
    add("--timeout", type=float, default=100, metavar="SECONDS", help="what one case may take (default: 100)")
    add(
        "--work",
        type=Path,
        default=REPOSITORY / "target/conformance",
        metavar="DIR",
        help="where the venvs are kept",
    )
    add("--ours", action="append", metavar="REQUIREMENT", help="what pip installs as ours; repeatable")
    add("--ours-prefix", type=Path, metavar="VENV", help="build no greenloom: take the one in this venv")
    add("--no-exceptions", action="store_true", help="demand also what the lists of exceptions say may fail")
    add("--results", type=Path, metavar="FILE", help="write gevent's outcomes there as JSON")
    options = parser.parse_args(arguments)
    if options.jobs < 1 or options.timeout <= 0:
        parser.error("--jobs and --timeout must be positive")
    return options


@dataclass
class Total:
    """What came out over all suites and Pythons."""

    good: int = 0
    bad: int = 0
    not_run: list[str] = field(default_factory=list)
    """Suites that were wanted, but not run."""


def where_ours(suite: Suite, options: argparse.Namespace, built: dict[tuple[str, str], Path]) -> Ours:
    """What to install as ours: the repository and the distributions that stand on it."""
    compat = [str(REPOSITORY / "compat" / name) for name in suite.compat]
    if options.ours_prefix is not None:
        return Ours(tuple(options.ours or compat), options.ours_prefix.absolute(), built)
    return Ours(tuple(options.ours or [str(REPOSITORY), *compat]), None, built)


def run_suite(suite: Suite, pairs: list[Pair], options: argparse.Namespace) -> list[list[Verdict]]:
    """Run every file for every Python, `jobs` at a time, and judge; the verdicts come in the order of `pairs`."""
    lists = [read_lists(suite.name, pair.short) for pair in pairs]
    if options.no_exceptions:
        lists = [dataclasses.replace(each, may_fail={}) for each in lists]
    verdicts: list[list[Verdict]] = [[] for _ in pairs]
    with ThreadPoolExecutor(options.jobs) as pool:
        work = {
            pool.submit(run_both, pair, module, options.timeout, options.filter, lists[index]): index
            for index, pair in enumerate(pairs)
            for module in suite.modules(pair.original.site)
        }
        for done, future in enumerate(as_completed(work)):
            progress(f"{done} of {len(work)} files")
            verdicts[work[future]] += judge(future.result(), lists[work[future]])
    progress("")
    for found, known in zip(verdicts, lists, strict=True):
        found += unknown(known, found) if not options.filter else []
        found.sort(key=lambda verdict: verdict.case)
    return verdicts


def progress(text: str) -> None:
    """Show how far it is, where someone looks on."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it all; returns the exit status."""
    options = parse(arguments)
    # In the background of a shell it is ignored, which the tests would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    total = Total()
    built: dict[tuple[str, str], Path] = {}
    try:
        for suite in SUITES.values():
            if options.suite in (suite.name, "all"):
                run = by_baseline if suite.measured else side_by_side
                run(suite, where_ours(suite, options, built), options, total)
    except CannotMake as error:
        progress("")
        print(f"conformance: an environment could not be made: {error}", file=sys.stderr)
        return 2
    if total.good + total.bad:
        print(f"conformance: {total.good} passed, {total.bad} failed")
    elif not total.not_run:
        print(f"conformance: no case contains {options.filter!r}", file=sys.stderr)
    for suite_not_run in total.not_run:
        print(f"conformance: {suite_not_run}")
    if not total.good + total.bad:
        return 2
    return 1 if total.bad else 0


def side_by_side(suite: Suite, ours: Ours, options: argparse.Namespace, total: Total) -> None:
    """Run a suite with the original and with ours."""
    pairs = []
    for python in options.python:
        progress(f"making the environments for {python}")
        pairs.append(make_pair(python, suite, ours, options.work.absolute()))
    for pair, verdicts in zip(pairs, run_suite(suite, pairs, options), strict=True):
        bad = sum(bool(verdict.wrong) for verdict in verdicts)
        total.bad += bad
        total.good += len(verdicts) - bad
        if verdicts:
            print(report(f"Python {pair.version}, {suite.name}: {pair.wheel}", verdicts), flush=True)


def by_baseline(suite: Suite, ours: Ours, options: argparse.Namespace, total: Total) -> None:
    """Run a suite whose baseline is committed, with the Pythons that there is one for."""
    everything = {}
    for python in options.python:
        version = version_of(python)
        baseline = read_baseline(suite, version)
        if baseline is None:
            print(f"Python {version}, {suite.name}: not run, for there is no baseline", flush=True)
            continue
        if options.no_exceptions:
            baseline = dataclasses.replace(baseline, listed={})
        if not has_tests(python):
            baseline = baseline.without(MONKEY)
            total.not_run.append(
                f"{suite.name}'s tests of the standard library were NOT RUN with Python {version}: "
                f"its package `test` is missing (on Debian: libpython{short(version)}-testsuite)"
            )
        progress(f"making the environment for {python}")
        bench = make_bench(python, suite, ours, options.work.absolute())
        side = Side(suite, bench.ours, bench.stdlib, baseline, options.timeout)
        results = measure(side, jobs=options.jobs, containing=options.filter, progress=progress)
        made = score(results, baseline, {}, options.filter)
        if made.doubtful:
            made = score(results, baseline, ask_original(python, bench, side, made, options), options.filter)
        everything[version] = as_json(results)
        total.good += made.kinds["pass"]
        total.bad += len(made.wrong)
        title = f"Python {version}, {suite.name}: {bench.wheel}"
        if not baseline.exact:
            title += f" (its baseline is of Python {suite.measured[short(version)]})"
        if results:
            print(report_score(title, made), flush=True)
    if not everything:
        known = " and ".join(suite.measured)
        total.not_run.append(f"{suite.name}'s tests were NOT RUN: they need Python {known}")
    if options.results is not None:
        options.results.write_text(json.dumps(everything, indent=1))


def ask_original(
    python: str, bench: Bench, ours: Side, made: Score, options: argparse.Namespace
) -> dict[str, FileResult]:
    """What the original makes of the cases that are wrong by the baseline; nothing if it cannot be asked."""
    progress("making the environment of the original")
    try:
        environment = make_original(python, ours.suite, bench)
    except CannotMake as error:
        progress("")
        print(f"conformance: the original could not be asked: {error}", file=sys.stderr)
        return {}
    original = dataclasses.replace(ours, env=environment)
    return ask(original, made.doubtful, jobs=options.jobs, progress=progress)


def as_json(results: dict[str, FileResult]) -> dict[str, dict[str, list[str]]]:
    """The outcomes of every file, and how its process ended if that was remarkable."""
    made = {}
    for name, result in sorted(results.items()):
        made[name] = {case: [outcome.kind, outcome.detail] for case, outcome in result.outcomes.items()}
        if result.at_exit is not None:
            made[name]["at exit"] = [result.at_exit.kind, result.at_exit.detail]
        if result.broken:
            made[name]["broken"] = ["error", result.broken]
    return made


if __name__ == "__main__":
    sys.exit(main())

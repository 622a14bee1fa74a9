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
from pathlib import Path

from baseline import Baseline, read_baseline, report_score, score
from compare import Verdict, judge, report, run_both, unknown
from files import FileResult
from measure import measure
from suites import HERE, SUITES, Suite, read_lists
from venvs import Bench, CannotMake, Ours, Pair, make_bench, make_pair, short, version_of

REPOSITORY = HERE.parent
EXAMPLES = """\
examples:
  python3 conformance/run.py --python python3.11 --python python3.13
  python3 conformance/run.py --python .venv/bin/python --ours-prefix .venv     use the greenloom built in .venv
  python3 conformance/run.py --python python3.12 --filter test_throw           the cases with this in their name
  python3 conformance/run.py --python python3.12 --ours greenlet==3.5.6 --no-exceptions     try the harness itself

exit status: 0 ours conforms, 1 it does not, 2 wrong usage or an environment that could not be made
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
    add("--suite", choices=sorted(SUITES), default="greenlet", help="whose tests (default: greenlet)")
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


def where_ours(options: argparse.Namespace) -> Ours:
    """What to install as ours: the repository and the distributions that stand on it."""
    compat = [str(REPOSITORY / "compat" / name) for name in SUITES[options.suite].compat]
    if options.ours_prefix is not None:
        return Ours(tuple(options.ours or compat), options.ours_prefix.absolute())
    return Ours(tuple(options.ours or [str(REPOSITORY), *compat]), None)


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
    suite = SUITES[options.suite]
    ours = where_ours(options)
    return (by_baseline if suite.name == "gevent" else side_by_side)(suite, ours, options)


def by_baseline(suite: Suite, ours: Ours, options: argparse.Namespace) -> int:
    """Run a suite whose baseline is committed; returns the exit status."""
    benches: list[tuple[Bench, Baseline]] = []
    try:
        for python in options.python:
            version = version_of(python)
            baseline = read_baseline(suite, short(version))
            if baseline is None:
                print(f"Python {version}, {suite.name}: skipped, for there is no baseline")
                continue
            progress(f"making the environment for {python}")
            benches.append((make_bench(python, suite, ours, options.work.absolute()), baseline))
    except CannotMake as error:
        return cannot_make(error)
    good = bad = 0
    everything = {}
    for bench, baseline in benches:
        if options.no_exceptions:
            baseline = dataclasses.replace(baseline, listed={})
        results = measure(
            suite,
            bench,
            baseline,
            jobs=options.jobs,
            timeout=options.timeout,
            containing=options.filter,
            progress=progress,
        )
        progress("")
        made = score(results, baseline, options.filter)
        print(report_score(f"Python {bench.version}, {suite.name}: {bench.wheel}", made))
        good += made.kinds["pass"]
        bad += len(made.wrong)
        everything[bench.version] = as_json(results)
    if options.results is not None:
        options.results.write_text(json.dumps(everything, indent=1))
    if benches and not good + bad:
        return nothing_contains(options.filter)
    print(f"conformance: {good} passed, {bad} wrong")
    return 1 if bad else 0


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


def side_by_side(suite: Suite, ours: Ours, options: argparse.Namespace) -> int:
    """Run a suite with the original and with ours; returns the exit status."""
    pairs = []
    try:
        for python in options.python:
            progress(f"making the environments for {python}")
            pairs.append(make_pair(python, suite, ours, options.work.absolute()))
    except CannotMake as error:
        return cannot_make(error)
    results = run_suite(suite, pairs, options)
    bad = sum(bool(verdict.wrong) for verdicts in results for verdict in verdicts)
    good = sum(map(len, results)) - bad
    if not good + bad:
        return nothing_contains(options.filter)
    for pair, verdicts in zip(pairs, results, strict=True):
        print(report(f"Python {pair.version}, {suite.name}: {pair.wheel}", verdicts))
    print(f"conformance: {good} passed, {bad} failed")
    return 1 if bad else 0


def cannot_make(error: CannotMake) -> int:
    """Say so; returns the exit status."""
    progress("")
    print(f"conformance: an environment could not be made: {error}", file=sys.stderr)
    return 2


def nothing_contains(text: str) -> int:
    """Say so; returns the exit status."""
    print(f"conformance: no case contains {text!r}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

"""Runs the files of a suite whose baseline is committed, with ours alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

from as_main import MONKEY
from baseline import Baseline
from files import FileResult, Manner, Outcome, run_file
from suites import HERE, Suite
from venvs import Bench

# As gevent's own test runner has it, with what needs the network left out.
VARIABLES = {"GEVENTTEST_USE_RESOURCES": "-network", "PYTHONDEVMODE": "1"}
LEFT_OUT = {
    # It runs the patched standard library's tests, which are run here one by one.
    "gevent.tests.test___monkey_patching",
    # It looks up gevent.org, and does not say that it needs the network.
    "gevent.tests.test__getaddrinfo_import",
}


def files(suite: Suite, bench: Bench, baseline: Baseline) -> list[str]:
    """The names of all test files: those of the standard library first, which take longest."""
    stdlib = sorted(name for name in baseline.cases if name.startswith(MONKEY))
    return stdlib + [name for name in suite.modules(bench.ours.site) if name not in LEFT_OUT]


def measure(
    suite: Suite,
    bench: Bench,
    baseline: Baseline,
    *,
    jobs: int,
    timeout: float,
    containing: str,
    progress: Callable[[str], None],
) -> dict[str, FileResult]:
    """Run every file, `jobs` at a time, or only the cases with `containing` in their names."""
    results: dict[str, FileResult] = {}
    wanted = {}
    for name in files(suite, bench, baseline):
        cases = [case for case in baseline.names(name) if containing in case]
        if cases or not containing:
            wanted[name] = cases if containing and cases != [name] else None
    with ThreadPoolExecutor(jobs) as pool:
        work = {
            pool.submit(measure_file, suite, bench, name, timeout, only, baseline): name
            for name, only in wanted.items()
        }
        for done, future in enumerate(as_completed(work)):
            progress(f"Python {bench.version}: {done + 1} of {len(work)} files, {work[future]}")
            results[work[future]] = future.result()
    return results


def measure_file(
    suite: Suite, bench: Bench, name: str, timeout: float, only: list[str] | None, baseline: Baseline
) -> FileResult:
    """Run one file, and what does not pass of it once more without the rest.

    The baseline was made one case at a time. Here all cases of a file run in one process, which is a hundred times
    faster, so that a case may fail for what another has left behind. A crash or a hang is what it is the first time.
    """
    # As the original's runner has it: some files import what lies beside them.
    folder = bench.ours.site.joinpath(*suite.package.split("."))
    if name.startswith(MONKEY):
        folder = bench.source / "src" / "greentest" / bench.short
    manner = Manner(HERE / "as_main.py", folder, VARIABLES)
    result = run_file(bench.ours, name, timeout, only, manner)
    if result.program is not None:
        if name in baseline.cases:
            # It did not get as far as to its cases.
            missing = Outcome("absent") if result.program.kind == "pass" else result.program
            result.outcomes.update(dict.fromkeys(baseline.names(name), missing))
            return result
        result.outcomes[name] = result.program
    again = [
        case
        for case, known in baseline.expected(name).items()
        if known == "pass"
        and (only is None or case in only)
        and result.outcomes.get(case, Outcome("absent")).kind in ("fail", "error", "absent")
    ]
    if again:
        second = run_file(bench.ours, name, timeout, None if again == [name] else again, manner)
        if second.program is not None:
            result.outcomes[name] = second.program
        else:
            result.outcomes.update(second.outcomes)
    return result

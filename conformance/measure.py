"""Runs the files of a suite that has a baseline: all of them with ours, with the original what is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from as_main import MONKEY
from baseline import Baseline
from compare import RUNS
from files import FileResult, Manner, Outcome, run_file
from suites import HERE, Suite
from venvs import Environment

# As gevent's own test runner has it, with what needs the network left out.
OFFLINE = {"GEVENTTEST_USE_RESOURCES": "-network", "PYTHONDEVMODE": "1"}
# All in; but the C library asks no server, nor does systemd. What is not in /etc/hosts is not found, at once, anywhere.
NETWORKED = {
    "GEVENTTEST_USE_RESOURCES": "all",
    "PYTHONDEVMODE": "1",
    "RES_OPTIONS": "attempts:0",
    "SYSTEMD_NSS_RESOLVE_NETWORK": "0",
}
LEFT_OUT = {
    # It runs the patched standard library's tests, which are run here one by one.
    "gevent.tests.test___monkey_patching",
    # It looks up gevent.org, and does not say that it needs the network.
    "gevent.tests.test__getaddrinfo_import",
}


@dataclass(frozen=True)
class Side:
    """Ours or the original: an environment, and how a suite's files are run in it."""

    suite: Suite
    env: Environment
    stdlib: Path
    """The folder of the standard library's tests."""
    baseline: Baseline
    timeout: float

    def files(self) -> list[str]:
        """The names of all test files: those of the standard library first, which take longest."""
        stdlib = sorted(name for name in self.baseline.cases if name.startswith(MONKEY))
        return stdlib + [name for name in self.suite.modules(self.env.site) if name not in LEFT_OUT]

    def run(self, name: str, cases: Sequence[str] | None = None) -> FileResult:
        """Run a file, or only `cases` of it."""
        if name not in self.baseline.cases:
            return self.run_program(name)
        networked = [case for case in self.baseline.networked.get(name, ()) if cases is None or case in cases]
        others = None if cases is None else [case for case in cases if case not in networked]
        result = FileResult()
        if others is None or others:
            result = run_file(self.env, name, self.timeout, others, self.manner(name, OFFLINE))
            if result.program is not None:
                # It did not get as far as to its cases.
                missing = Outcome("absent") if result.program.kind == "pass" else result.program
                result.outcomes.update(dict.fromkeys(others or self.baseline.names(name), missing))
        if networked:
            more = run_file(self.env, name, self.timeout, networked, self.manner(name, NETWORKED))
            result.outcomes.update(more.outcomes)
            result.broken += more.broken
            result.at_exit = result.at_exit or more.at_exit
        return result

    def run_program(self, name: str) -> FileResult:
        """Run a file that has no cases by the baseline, and is one itself."""
        result = run_file(self.env, name, self.timeout, None, self.manner(name, OFFLINE))
        if result.program is not None:
            result.outcomes[name] = result.program
        return result

    def manner(self, name: str, variables: Mapping[str, str]) -> Manner:
        """How a file is run."""
        # As the original's runner has it: some files import what lies beside them.
        folder = self.env.site.joinpath(*self.suite.package.split("."))
        return Manner(HERE / "as_main.py", self.stdlib if name.startswith(MONKEY) else folder, variables)


def measure(
    side: Side, *, jobs: int, containing: str, progress: Callable[[str], None]
) -> dict[str, FileResult]:
    """Run every file, `jobs` at a time, or only the cases with `containing` in their names."""
    wanted: dict[str, list[str] | None] = {}
    for name in side.files():
        cases = [case for case in side.baseline.names(name) if containing in case]
        if cases:
            wanted[name] = cases if containing else None
    return run_all(run_twice, side, wanted, jobs, progress)


def run_twice(side: Side, name: str, only: Sequence[str] | None) -> FileResult:
    """Run one file, and what does not pass of it once more without the rest.

    The baseline was made one case at a time. Here all cases of a file run in one process, which is a hundred times
    faster, so that a case may fail for what another has left behind. A crash or a hang is what it is the first time.
    """
    result = side.run(name, only)
    again = [
        case
        for case, known in side.baseline.expected(name).items()
        if known == "pass"
        and (only is None or case in only)
        and result.outcomes.get(case, Outcome("absent")).kind in ("fail", "error", "absent")
    ]
    if again:
        result.outcomes.update(side.run(name, again).outcomes)
    return result


def ask(
    side: Side, doubtful: Mapping[str, list[str]], *, jobs: int, progress: Callable[[str], None]
) -> dict[str, FileResult]:
    """What the original makes of some cases of each file."""
    return run_all(run_best, side, doubtful, jobs, progress)


def run_best(side: Side, name: str, cases: Sequence[str] | None) -> FileResult:
    """Run cases of one file up to three times, and keep for each the first run that it passes."""
    result = side.run(name, cases)
    for _ in range(RUNS - 1):
        again = [case for case in cases or () if result.outcomes.get(case, Outcome("absent")).kind != "pass"]
        if again:
            result.outcomes.update(side.run(name, again).outcomes)
    return result


def run_all(
    run: Callable[[Side, str, Sequence[str] | None], FileResult],
    side: Side,
    wanted: Mapping[str, list[str] | None],
    jobs: int,
    progress: Callable[[str], None],
) -> dict[str, FileResult]:
    """Run the wanted files and cases, `jobs` files at a time."""
    results: dict[str, FileResult] = {}
    with ThreadPoolExecutor(jobs) as pool:
        work = {pool.submit(run, side, name, cases): name for name, cases in wanted.items()}
        for done, future in enumerate(as_completed(work)):
            progress(f"{done + 1} of {len(work)} files, {work[future]}")
            results[work[future]] = future.result()
    progress("")
    return results

"""The child: runs the cases of one test file in this process and tells of each as it starts and as it ends.

    python cases.py MODULE REPORT [CASE ...]

REPORT is a file that gets one JSON object a line, flushed at once, so that the parent knows after a crash which case
ran. It is a file and not a pipe because the tests fork and leave processes behind that would hold a pipe open. With
CASE, only those run, in the file's order. Only the standard library is imported, nothing of this folder.
"""

from __future__ import annotations

import json
import sys
import traceback
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

# The more serious outcome wins where a case has several: those of subtests, or a test's and its cleanup's.
SERIOUS = ("pass", "skip", "fail", "error")


class Report:
    """The file that is written to."""

    def __init__(self, path: str) -> None:
        """Open it until the process ends, which a test may bring about at any time."""
        self.file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115

    def tell(self, **event: Any) -> None:
        """Write one event."""
        self.file.write(json.dumps(event) + "\n")
        self.file.flush()


class Streaming(unittest.TestResult):
    """Turns unittest's calls into one outcome a case."""

    def __init__(self, report: Report) -> None:
        """Report to `report`."""
        super().__init__()
        self.report = report
        self.outcome = "pass"
        self.detail = ""

    def name(self, test: unittest.TestCase) -> str:
        """What a case is called in the report."""
        return test.id()

    def startTest(self, test: unittest.TestCase) -> None:
        """A case begins."""
        super().startTest(test)
        self.outcome, self.detail = "pass", ""
        self.report.tell(event="start", case=self.name(test))

    def stopTest(self, test: unittest.TestCase) -> None:
        """A case has ended, with what was noted."""
        super().stopTest(test)
        self.report.tell(event="end", case=self.name(test), outcome=self.outcome, detail=self.detail)

    def note(self, outcome: str, detail: str) -> None:
        """Keep an outcome unless a more serious one is kept already."""
        if SERIOUS.index(outcome) > SERIOUS.index(self.outcome):
            self.outcome, self.detail = outcome, detail

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """Skipped, for a reason."""
        self.note("skip", reason)

    def addFailure(self, test: unittest.TestCase, err: ErrorInfo) -> None:
        """An assertion failed."""
        self.note("fail", describe(err))

    def addError(self, test: object, err: ErrorInfo) -> None:
        """Any other exception."""
        if isinstance(test, unittest.TestCase):
            self.note("error", describe(err))
        else:
            # A class' or a module's fixture, which unittest passes a stand-in for: its cases do not start.
            self.report.tell(event="broken", detail=describe(err))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: ErrorInfo | None) -> None:
        """A part of a case ended, badly if there is an error."""
        if err is not None and err[0] is not None:
            self.note("fail" if issubclass(err[0], test.failureException) else "error", describe(err))

    def addExpectedFailure(self, test: unittest.TestCase, err: ErrorInfo) -> None:
        """Failed as its author expects, which is as good as passing."""
        self.note("pass", "")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """Did not fail as its author expects."""
        self.note("fail", "passes although it is marked as an expected failure")


def describe(err: ErrorInfo) -> str:
    """The traceback of an error as text."""
    return "".join(traceback.format_exception(*err))


def flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The cases of nested suites in the order they would run."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def main(module: str, path: str, wanted: list[str]) -> None:
    """Run the file's cases."""
    report = Report(path)
    try:
        __import__(module)
    except BaseException:
        report.tell(event="broken", detail=traceback.format_exc())
        report.tell(event="done")
        return
    cases = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module])))
    report.tell(event="cases", cases=[case.id() for case in cases])
    chosen = [case for case in cases if not wanted or case.id() in wanted]
    # The suite must own the only reference to each case, so that it frees a case that has run: cases left over would
    # be found by the next one's leak check.
    suite = unittest.TestSuite(chosen)
    del cases, chosen
    suite.run(Streaming(report))
    report.tell(event="done")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    # What the tests see is a plain interpreter: not this folder's modules, not this program's arguments.
    del sys.path[0], sys.argv[1:]
    main(arguments[0], arguments[1], arguments[2:])

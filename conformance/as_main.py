"""The child for files that are programs: runs one as `python -m` would and tells of each of its cases.

    python as_main.py NAME REPORT [CASE ...]

NAME is a module (`gevent.tests.test__hub`) or `stdlib:test_x.py`, a file of the working directory that is run by
`gevent.testing.monkey_test`. The program decides itself what it imports, patches and runs, in its own order; only when
it hands its cases to unittest's runner are they run by `cases.Streaming` instead. A program that never does is judged
by its exit status. REPORT and CASE are as for `cases.py`.

Until then nothing is imported that `python -m` would not: what was imported before the patching is part of the tests.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import unittest

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
MONKEY = "stdlib:"


class Hook:
    """An entry of `sys.meta_path` that waits for unittest's runner to be imported and then changes it."""

    def __init__(self, name: str, path: str, wanted: list[str]) -> None:
        """Report the cases of the program `name`, or only those `wanted`, into the file at `path`."""
        self.name, self.path, self.wanted = name, path, wanted

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the next finders find it, and change it once it has run."""
        if fullname != "unittest.runner":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.change(module)

        # On this one loader, which is thrown away with the spec; the type checker takes it for the class's method.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def change(self, module: ModuleType) -> None:
        """Have the runner's first run done here. What else a test runs is its own affair."""
        runner: Any = module.TextTestRunner
        its_own = runner.run

        def run(runner_object: Any, test: unittest.TestSuite) -> unittest.TestResult:
            runner.run = its_own
            return run_cases(test, self.name, self.path, self.wanted)

        runner.run = run


def run_cases(suite: unittest.TestSuite, name: str, path: str, wanted: list[str]) -> unittest.TestResult:
    """Run a program's cases, which are called as if it had been imported under its name."""
    spec = importlib.util.spec_from_file_location("conformance_cases", os.path.join(HERE, "cases.py"))  # noqa: PTH118
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    process = os.getpid()

    # The module is loaded by its path, so the type checker does not know what these two derive from.
    class Report(cases.Report):  # type: ignore[name-defined, misc]
        def tell(self, **event: Any) -> None:
            # A child of a test that goes on as if it were its parent has nothing to tell.
            if os.getpid() == process:
                super().tell(**event)

    class Streaming(cases.Streaming):  # type: ignore[name-defined, misc]
        def name(self, test: Any) -> str:
            return rename(test.id(), name)

        def addSkip(self, test: Any, reason: str) -> None:
            super().addSkip(test, reason)
            if not isinstance(test, cases.unittest.TestCase):
                # A class that is skipped as a whole by its fixture: there is no start and no end.
                self.report.tell(event="end", case=self.name(test), outcome="skip", detail=reason)

    report = Report(path)
    every = list(cases.flatten(suite))
    report.tell(event="cases", cases=[rename(case.id(), name) for case in every])
    chosen = [case for case in every if not wanted or rename(case.id(), name) in wanted]
    # As in cases.py, a case that has run must not be kept alive from here.
    suite = type(suite)(chosen)
    del every, chosen
    result: unittest.TestResult = Streaming(report)
    suite.run(result)
    report.tell(event="done")
    return result


def rename(case: str, name: str) -> str:
    """A case's name with the program's in the place of `__main__`, which is what every program is called."""
    return case.replace("__main__.", f"{name}.", 1) if "__main__." in case else case


def main(name: str, path: str, wanted: list[str]) -> None:
    """Run the program as the main one, to its end."""
    import runpy

    sys.meta_path.insert(0, Hook(name, path, wanted))
    if name.startswith(MONKEY):
        sys.argv[1:] = [name.removeprefix(MONKEY)]
        name = "gevent.testing.monkey_test"
    # The program's names must not get among those of this file, which has to stay alive.
    sys.modules["conformance_as_main"] = sys.modules["__main__"]
    sys.modules["__main__"] = program = ModuleType("__main__")
    vars(program).update(__builtins__=__builtins__)
    # What `python -m` itself calls: the public functions do not make the module the real `__main__`.
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    # As `python -m` has it: the working directory first, no arguments.
    sys.path[0] = os.getcwd()  # noqa: PTH109
    del sys.argv[1:]
    main(arguments[0], arguments[1], arguments[2:])

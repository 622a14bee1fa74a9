"""Judges ours beside the original, case by case, and says what differs.

The rule: ours does at least as well as the original (passing is better than skipping, skipping better than the rest),
but for what `exceptions.json` says may fail; and what is listed there must be worse, or the entry has to go.

The original marks cases in which it leaks (`fails_leakcheck`). Such a case passes only if its body passes and objects
are left over after it; when nothing is left over, it fails with words of its own, and that counts as passing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from files import FileResult, Outcome, list_cases, run_file
from suites import Lists
from venvs import Pair

# The original is asked so often before a case counts as one that it does not pass.
RUNS = 3
RANK = {"pass": 2, "skip": 1}
COLUMNS = ("pass", "skip", "fail", "error", "crash", "hang", "absent")


@dataclass(frozen=True)
class Verdict:
    """One case: how both ended, and what is wrong with that (nothing if `wrong` is empty)."""

    case: str
    original: Outcome
    ours: Outcome
    wrong: str = ""
    note: str = ""


class Ran(NamedTuple):
    """What both made of one file, and which cases the original is seen or known to pass only sometimes."""

    module: str
    original: FileResult
    ours: FileResult
    flaky: set[str]


def run_both(pair: Pair, module: str, timeout: float, containing: str, lists: Lists) -> Ran:
    """Run a file with the original, then with ours; only the cases with `containing` in their name, if it is set.

    Only for flaky cases ours gets further runs too: where the original is reliable, one failure of ours is a failure.
    """
    cases = None
    if containing:
        cases = [case for case in list_cases(pair.original, module, timeout) if containing in case]
        if not cases:
            return Ran(module, FileResult(), FileResult(), set())
    original = run_file(pair.original, module, timeout, cases)
    flaky = set(pass_again(original, pair, module, timeout, failed(original)))
    flaky |= lists.unreliable.keys() & original.outcomes.keys()
    ours = run_file(pair.ours, module, timeout, list(original.outcomes))
    again = [case for case in failed(ours) if case in flaky]
    for _ in range(RUNS - 1):
        if again:
            ours.outcomes.update(run_file(pair.ours, module, timeout, again).outcomes)
            again = [case for case in again if case in failed(ours)]
    return Ran(module, original, ours, flaky)


def pass_again(
    original: FileResult, pair: Pair, module: str, timeout: float, cases: list[str]
) -> Iterable[str]:
    """Run the original's failed cases again, keep what is better, and yield those that now pass."""
    for _ in range(RUNS - 1):
        if not cases:
            return
        original.outcomes.update(run_file(pair.original, module, timeout, cases).outcomes)
        yield from (case for case in cases if original.outcomes[case].kind == "pass")
        cases = [case for case in cases if case in failed(original)]


def failed(result: FileResult) -> list[str]:
    """The cases that neither pass nor skip."""
    return [case for case, outcome in result.outcomes.items() if outcome.kind not in RANK]


def judge(ran: Ran, lists: Lists) -> list[Verdict]:
    """A verdict for every case of the original's file."""
    module, original, ours, flaky = ran
    listed = lists.may_fail
    verdicts = []
    for case, expected in original.outcomes.items():
        outcome = ours.outcomes.get(case, Outcome("absent"))
        tight = does_not_leak(outcome)
        good = tight or RANK.get(outcome.kind, 0) >= RANK.get(expected.kind, 0)
        wrong, note = "", ""
        if case in listed and good:
            wrong = "listed in exceptions.json, but does as well as the original: take it off the list"
        elif case in listed:
            note = "listed: " + listed[case].reason
        elif not good:
            wrong = f"{outcome.kind}, where the original has {expected.kind}"
        elif tight:
            note = "does not leak, where the original is known to"
        elif outcome.kind != expected.kind:
            note = f"{outcome.kind}, where the original has {expected.kind}"
        if expected.kind not in RANK:
            note = f"{outcome.kind}; the original does not pass it here either: {last_line(expected.detail)}"
        if case in flaky and case not in lists.unreliable:
            note += " (the original passes only sometimes)"
        verdicts.append(Verdict(case, expected, outcome, wrong, note))
    if original.broken:
        wrong = "the original itself could not run all of this file, so there is nothing to compare with"
        verdicts.append(
            Verdict(module, Outcome("error", original.broken), Outcome("absent", original.broken), wrong)
        )
    if ours.at_exit is not None and original.at_exit is None:
        wrong = f"{ours.at_exit.kind} when the process ends after all cases"
        verdicts.append(Verdict(f"{module} (at exit)", Outcome("pass"), ours.at_exit, wrong))
    return verdicts


def does_not_leak(outcome: Outcome) -> bool:
    """Whether all that is wrong with a case is that nothing leaked."""
    line = last_line(outcome.detail)
    begins = line.startswith("greenlet.tests.leakcheck.LeakCheckError: Expected ")
    return outcome.kind in ("fail", "error") and begins and line.endswith(" to leak but it did not.")


def last_line(detail: str) -> str:
    """The end of a traceback, which names the error."""
    return detail.rstrip().rpartition("\n")[2]


def unknown(lists: Lists, verdicts: list[Verdict]) -> list[Verdict]:
    """Entries of the lists that name no case."""
    known = {verdict.case for verdict in verdicts}
    absent = Outcome("absent")
    return [
        Verdict(case, absent, absent, "listed in exceptions.json, but there is no such case")
        for case in [*lists.may_fail, *lists.unreliable]
        if case not in known
    ]


def report(title: str, verdicts: list[Verdict]) -> str:
    """The table of one Python and what there is to say about single cases."""
    lines = [title]
    kinds = [kind for kind in COLUMNS if kind in ("pass", "skip", "fail") or count(verdicts, kind)]
    lines.append("  " + "".join(f"{text:>9}" for text in ("", "cases", *kinds)))
    for name in ("original", "ours"):
        tally = Counter(getattr(verdict, name).kind for verdict in verdicts)
        numbers = [tally.total(), *(tally[kind] for kind in kinds)]
        lines.append(f"  {name:>9}" + "".join(f"{number:>9}" for number in numbers))
    lines += [f"  {verdict.case}\n      {verdict.note.strip()}" for verdict in verdicts if verdict.note]
    for verdict in verdicts:
        if verdict.wrong:
            lines.append(f"  WRONG {verdict.case}\n      {verdict.wrong}")
            detail = verdict.ours.detail if verdict.ours.kind not in RANK else ""
            lines += ["      | " + line for line in detail.rstrip().splitlines()]
    return "\n".join(lines)


def count(verdicts: list[Verdict], kind: str) -> int:
    """How often either side has this outcome."""
    return sum(kind in (verdict.original.kind, verdict.ours.kind) for verdict in verdicts)

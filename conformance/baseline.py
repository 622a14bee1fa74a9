"""What the original passes, as committed in `baselines/`, and how ours is judged by it.

Of the cases that pass there, so many must pass with ours as `DEMANDED` says; nothing may crash or hang; and each case
that does not pass is listed in `gevent-exceptions.json` with its reason. Cases that look into the original's insides
(`gevent-insides.json`) are counted, but not among the others.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from files import FileResult, Outcome
from suites import HERE, Suite

DEMANDED = 0.97
FATAL = ("crash", "hang")
COLUMNS = ("pass", "skip", "fail", "error", "crash", "hang", "absent")


@dataclass(frozen=True)
class Listed:
    """Why a case need not pass. `sometimes` is for one that passes now and then."""

    reason: str
    sometimes: bool = False


@dataclass(frozen=True)
class Baseline:
    """The cases of every file and what the original made of them, and both lists."""

    cases: dict[str, dict[str, str]]
    insides: tuple[str, ...]
    """Names of files, classes and cases."""
    listed: dict[str, Listed]

    def expected(self, file: str) -> dict[str, str]:
        """The outcomes of a file. One without cases is itself a case, which passes by ending well."""
        return self.cases.get(file) or {file: "pass"}

    def names(self, file: str) -> list[str]:
        """The cases of a file."""
        return list(self.expected(file))

    def is_inside(self, file: str, case: str) -> bool:
        """Whether a case is bound to the insides of the original. Doctests are not called after their file."""
        return any(file == name or case == name or case.startswith(name + ".") for name in self.insides)


def baseline_path(suite: Suite, short: str) -> Path:
    """The file with what the original passes on a Python."""
    return HERE / "baselines" / f"{suite.original.replace('==', '-')}-py{short.replace('.', '')}.json.gz"


def read_baseline(suite: Suite, short: str) -> Baseline | None:
    """What is known of a suite on a Python, named by its first two numbers; None where nothing is."""
    path = baseline_path(suite, short)
    if not path.exists():
        return None
    insides = json.loads((HERE / f"{suite.name}-insides.json").read_text())
    listed: dict[str, Listed] = {}
    for entry in json.loads((HERE / f"{suite.name}-exceptions.json").read_text()):
        unknown = set(entry) - {"reason", "cases", "pythons", "sometimes"}
        if unknown or not entry["reason"].strip():
            raise ValueError(
                f"{suite.name}-exceptions.json: no reason, or unknown {sorted(unknown)}: {entry}"
            )
        if short in entry.get("pythons", [short]):
            for case in entry["cases"]:
                listed[case] = Listed(entry["reason"], entry.get("sometimes", False))
    with gzip.open(path, "rt") as file:
        return Baseline(json.load(file), tuple(name for names in insides.values() for name in names), listed)


@dataclass
class Score:
    """The outcomes of ours where the original passes, and what is wrong with them."""

    kinds: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    notes: list[tuple[str, str]] = field(default_factory=list)
    """Cases that are listed, and why."""
    wrong: list[tuple[str, str, Outcome]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of the demanded cases that pass."""
        return self.kinds["pass"] / max(1, self.kinds.total())


def score(results: dict[str, FileResult], baseline: Baseline, containing: str = "") -> Score:
    """Judge all files; with `containing` only the cases that were run, and not their share."""
    made = Score()
    for file, result in sorted(results.items()):
        for case, outcome in result.outcomes.items():
            known = baseline.expected(file).get(case)
            # What the original does not pass ours need not either, but it may not take the interpreter with it.
            if known != "pass" and outcome.kind in FATAL:
                made.wrong.append((case, outcome.kind, outcome))
        for case, known in baseline.expected(file).items():
            if known == "pass" and containing in case:
                judge(made, baseline, file, case, result.outcomes.get(case, Outcome("absent", result.broken)))
        if result.at_exit is not None and result.at_exit.kind in FATAL:
            made.wrong.append((f"{file} (at exit)", f"{result.at_exit.kind} after all cases", result.at_exit))
    if containing:
        return made
    known_cases = {case for file in results for case in baseline.expected(file)}
    for case in sorted(baseline.listed.keys() - known_cases):
        made.wrong.append((case, "listed in the exceptions, but there is no such case", Outcome("absent")))
    for file in sorted(baseline.cases.keys() - results.keys()):
        made.wrong.append((file, "in the baseline, but there is no such file", Outcome("absent")))
    if made.share < DEMANDED:
        made.wrong.append((f"{made.share:.2%} pass", f"at least {DEMANDED:.0%} must", Outcome("absent")))
    return made


def judge(made: Score, baseline: Baseline, file: str, case: str, outcome: Outcome) -> None:
    """Count one case that the original passes, and say what is wrong with it."""
    inside = baseline.is_inside(file, case)
    (made.inside if inside else made.kinds)[outcome.kind] += 1
    listed = baseline.listed.get(case)
    if outcome.kind in FATAL:
        made.wrong.append((case, outcome.kind, outcome))
    elif outcome.kind == "pass":
        if listed is not None and not listed.sometimes:
            made.wrong.append((case, "listed in the exceptions, but passes: take it off the list", outcome))
    elif listed is not None:
        made.notes.append((case, f"{outcome.kind}; listed: {listed.reason}"))
    elif not inside:
        made.wrong.append((case, f"{outcome.kind}, where the original passes", outcome))


def report_score(title: str, made: Score) -> str:
    """The table of one Python and what there is to say about single cases."""
    lines = [title]
    kinds = [
        kind for kind in COLUMNS if kind in ("pass", "skip", "fail") or made.kinds[kind] + made.inside[kind]
    ]
    lines.append("  " + "".join(f"{text:>9}" for text in ("", "cases", *kinds, "share")))
    for name, tally in (("demanded", made.kinds), ("insides", made.inside)):
        total = tally.total()
        numbers = [str(total), *(str(tally[kind]) for kind in kinds), f"{tally['pass'] / max(1, total):.2%}"]
        lines.append(f"  {name:>9}" + "".join(f"{number:>9}" for number in numbers))
    by_note: dict[str, list[str]] = {}
    for case, note in made.notes:
        by_note.setdefault(note, []).append(case)
    for note, cases in by_note.items():
        lines += [f"  {case}" for case in cases]
        lines.append(f"      {note}")
    for case, wrong, outcome in made.wrong:
        lines.append(f"  WRONG {case}\n      {wrong}")
        detail = outcome.detail if outcome.kind not in ("pass", "skip") else ""
        lines += ["      | " + line for line in detail.rstrip().splitlines()]
    return "\n".join(lines)

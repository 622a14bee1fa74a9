"""What the original passes, as committed in `baselines/`, and how ours is judged by it.

Of the cases that pass there, so many must pass with ours as `DEMANDED` says; nothing may crash or hang; and each case
that does not pass is listed in `gevent-exceptions.json` with its reason. Cases that look into the original's insides
(`gevent-insides.json`) are counted, but not among the others.

A baseline is true of the machine that it was measured on. Another release of Python, OpenSSL or the kernel may change
what a case sees; so before one is called wrong the original is asked about it, on this machine.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from files import FileResult, Outcome
from suites import HERE, Suite
from venvs import short

DEMANDED = 0.97
# If the original does not pass more than this here, it is this machine that is not fit to judge by.
UNFIT = 0.2
# So many cases are shown one by one.
SHOWN = 50
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
    networked: dict[str, dict[str, str]]
    """Those that the tests skip unless they are told that there is a network, and which need none."""
    insides: tuple[str, ...]
    """Names of files, classes and cases."""
    listed: dict[str, Listed]
    exact: bool = True
    """Whether it was measured on this very release of Python."""

    def expected(self, file: str) -> dict[str, str]:
        """The outcomes of a file. One without cases is itself a case, which passes by ending well."""
        return self.cases.get(file) or {file: "pass"}

    def names(self, file: str) -> list[str]:
        """The cases of a file."""
        return list(self.expected(file))

    def without(self, prefix: str) -> Baseline:
        """The same without the files whose names begin so."""
        return dataclasses.replace(
            self,
            cases={file: cases for file, cases in self.cases.items() if not file.startswith(prefix)},
            listed={case: entry for case, entry in self.listed.items() if not case.startswith(prefix)},
        )

    def is_inside(self, file: str, case: str) -> bool:
        """Whether a case is bound to the insides of the original. Doctests are not called after their file."""
        return any(file == name or case == name or case.startswith(name + ".") for name in self.insides)


def read_baseline(suite: Suite, version: str) -> Baseline | None:
    """What is known of a suite on a release of Python, or on others like it; None where nothing is."""
    python = short(version)
    if python not in suite.measured:
        return None
    insides = json.loads((HERE / f"{suite.name}-insides.json").read_text())
    networked = read_cases(suite, f"dns-py{python.replace('.', '')}")
    cases = read_cases(suite, f"py{python.replace('.', '')}")
    for file, more in networked.items():
        cases[file].update(more)
    return Baseline(
        cases,
        networked,
        tuple(name for names in insides.values() for name in names),
        read_listed(suite, python),
        exact=version == suite.measured[python],
    )


def read_cases(suite: Suite, kind: str) -> dict[str, dict[str, str]]:
    """One of the committed files."""
    path = HERE / "baselines" / f"{suite.original.replace('==', '-')}-{kind}.json.gz"
    with gzip.open(path, "rt") as file:
        cases: dict[str, dict[str, str]] = json.load(file)
    return cases


def read_listed(suite: Suite, python: str) -> dict[str, Listed]:
    """What ours need not pass on a Python, which is named by its first two numbers."""
    path = HERE / f"{suite.name}-exceptions.json"
    listed: dict[str, Listed] = {}
    for entry in json.loads(path.read_text()):
        unknown = set(entry) - {"reason", "cases", "pythons", "sometimes"}
        if unknown or not entry["reason"].strip():
            raise ValueError(f"{path.name}: no reason, or unknown {sorted(unknown)}: {entry}")
        if python in entry.get("pythons", [python]):
            for case in entry["cases"]:
                listed[case] = Listed(entry["reason"], entry.get("sometimes", False))
    return listed


@dataclass
class Score:
    """The outcomes of ours where the original passes, and what is wrong with them."""

    kinds: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    not_here: Counter[str] = field(default_factory=Counter)
    """Of the cases that the original passes by the baseline, but not on this machine."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """Cases that need not pass, and why."""
    wrong: list[tuple[str, str, Outcome]] = field(default_factory=list)
    doubtful: dict[str, list[str]] = field(default_factory=dict)
    """The cases of each file that are wrong unless the original does no better here."""

    @property
    def share(self) -> float:
        """The share of the demanded cases that pass."""
        return self.kinds["pass"] / max(1, self.kinds.total())

    def blame(self, file: str, case: str, wrong: str, outcome: Outcome) -> None:
        """A case is wrong."""
        self.wrong.append((case, wrong, outcome))
        self.doubtful.setdefault(file, []).append(case)


def score(
    results: Mapping[str, FileResult],
    baseline: Baseline,
    original: Mapping[str, FileResult],
    containing: str = "",
) -> Score:
    """Judge all files; with `containing` only the cases that were run, and not their share.

    `original` is what the original made here of those cases that it was asked about.
    """
    made = Score()
    for file, result in sorted(results.items()):
        here = original.get(file, FileResult()).outcomes
        for case, outcome in result.outcomes.items():
            # What the original does not pass ours need not either, but it may not take the interpreter with it.
            if baseline.expected(file).get(case) != "pass" and outcome.kind in FATAL:
                if no_better(here.get(case), outcome):
                    made.notes.append((case, f"{outcome.kind}, as with the original"))
                else:
                    made.blame(file, case, outcome.kind, outcome)
        for case, known in baseline.expected(file).items():
            if known == "pass" and containing in case:
                outcome = result.outcomes.get(case, Outcome("absent", result.broken))
                judge(made, baseline, file, case, outcome, here.get(case))
        if result.at_exit is not None and result.at_exit.kind in FATAL:
            made.wrong.append((f"{file} (at exit)", f"{result.at_exit.kind} after all cases", result.at_exit))
    if not containing:
        judge_all(made, baseline, results)
    return made


def judge(
    made: Score, baseline: Baseline, file: str, case: str, outcome: Outcome, here: Outcome | None
) -> None:
    """Count one case that the original passes, and say what is wrong with it."""
    if outcome.kind != "pass" and no_better(here, outcome):
        made.not_here[outcome.kind] += 1
        made.notes.append((case, f"{outcome.kind}; the original does not pass it on this machine either"))
        return
    inside = baseline.is_inside(file, case)
    (made.inside if inside else made.kinds)[outcome.kind] += 1
    listed = baseline.listed.get(case)
    if outcome.kind in FATAL:
        made.blame(file, case, outcome.kind, outcome)
    elif listed is not None and outcome.kind != "pass":
        made.notes.append((case, f"{outcome.kind}; listed: {listed.reason}"))
    elif listed is not None and not listed.sometimes:
        if baseline.exact:
            made.wrong.append((case, "listed in the exceptions, but passes: take it off the list", outcome))
        else:
            made.notes.append((case, "listed in the exceptions, but passes on this release of Python"))
    elif outcome.kind != "pass" and not inside:
        made.blame(file, case, f"{outcome.kind}, where the original passes", outcome)


def no_better(original: Outcome | None, ours: Outcome) -> bool:
    """Whether the original was asked about a case that ours does not pass, and does not pass it either."""
    if original is None or original.kind == "pass":
        return False
    return original.kind in FATAL or ours.kind not in FATAL


def judge_all(made: Score, baseline: Baseline, results: Mapping[str, FileResult]) -> None:
    """Say what is wrong with the whole."""
    known_cases = {case for file in results for case in baseline.expected(file)}
    for case in sorted(baseline.listed.keys() - known_cases):
        made.wrong.append((case, "listed in the exceptions, but there is no such case", Outcome("absent")))
    for file in sorted(baseline.cases.keys() - results.keys()):
        made.wrong.append((file, "in the baseline, but there is no such file", Outcome("absent")))
    if made.share < DEMANDED:
        made.wrong.append((f"{made.share:.2%} pass", f"at least {DEMANDED:.0%} must", Outcome("absent")))
    unfit = made.not_here.total()
    if unfit > UNFIT * (made.kinds.total() + unfit):
        wrong = "so many that this machine with this release of Python proves nothing"
        made.wrong.append((f"the original does not pass {unfit} cases", wrong, Outcome("absent")))


def in_brief(cases: list[str]) -> list[str]:
    """The names of the cases, or of their classes if they are many."""
    if len(cases) <= SHOWN:
        return cases
    classes = Counter(case.rpartition(".")[0] for case in cases)
    return [f"{name}: {number}" for name, number in classes.items()]


def report_score(title: str, made: Score) -> str:
    """The table of one Python and what there is to say about single cases."""
    rows = {"demanded": made.kinds, "insides": made.inside}
    if made.not_here:
        rows["not here"] = made.not_here
    seen = {"pass", "skip", "fail", *made.kinds, *made.inside, *made.not_here}
    kinds = [kind for kind in COLUMNS if kind in seen]
    lines = [title, "  " + "".join(f"{text:>9}" for text in ("", "cases", *kinds, "share"))]
    for name, tally in rows.items():
        total = tally.total()
        numbers = [str(total), *(str(tally[kind]) for kind in kinds), f"{tally['pass'] / max(1, total):.2%}"]
        lines.append(f"  {name:>9}" + "".join(f"{number:>9}" for number in numbers))
    by_note: dict[str, list[str]] = {}
    for case, note in made.notes:
        by_note.setdefault(note, []).append(case)
    for note, cases in by_note.items():
        lines += [f"  {name}" for name in in_brief(cases)]
        lines.append(f"      {note}")
    for case, wrong, outcome in made.wrong[:SHOWN]:
        lines.append(f"  WRONG {case}\n      {wrong}")
        detail = outcome.detail if outcome.kind not in ("pass", "skip") else ""
        lines += ["      | " + line for line in detail.rstrip().splitlines()]
    if len(made.wrong) > SHOWN:
        lines.append(f"  WRONG and {len(made.wrong) - SHOWN} more, which --results FILE keeps")
    return "\n".join(lines)

"""The tests of the judge, which `ci/conformance.sh` runs first: `python3 -m unittest discover conformance`."""

from __future__ import annotations

import dataclasses
import unittest

from as_main import MONKEY
from baseline import Baseline, Listed, Score, read_baseline, score
from files import FileResult, Outcome
from suites import SUITES

FILE = "gevent.tests.test_it"
# So many that one case more or less is no matter of percents.
OTHERS = {f"{FILE}.Test.test_{number}": "pass" for number in range(200)}


def judged(
    ours: str, original: str = "", known: str = "pass", listed: Listed | None = None, exact: bool = True
) -> Score:
    """The score of a file where all pass but `case`, which ends as `ours`, and as `original` if that was asked."""
    entries = {} if listed is None else {"case": listed}
    baseline = Baseline({FILE: OTHERS | {"case": known}}, {}, (), entries, exact)
    results = {FILE: FileResult({case: Outcome("pass") for case in OTHERS} | {"case": Outcome(ours)})}
    here = {FILE: FileResult({"case": Outcome(original)})} if original else {}
    return score(results, baseline, here)


def wrong(made: Score) -> list[str]:
    """What is wrong with the case."""
    assert {case for case, _, _ in made.wrong} <= {"case"}
    return [why for _, why, _ in made.wrong]


class OneCase(unittest.TestCase):
    """What is demanded of a case."""

    def test_passes(self) -> None:
        """Then there is nothing to ask."""
        made = judged("pass")
        assert not wrong(made)
        assert not made.doubtful
        assert made.kinds == {"pass": len(OTHERS) + 1}

    def test_does_not_pass(self) -> None:
        """Then the original is to be asked."""
        for kind in ("skip", "fail", "error", "absent"):
            made = judged(kind)
            assert wrong(made) == [f"{kind}, where the original passes"]
            assert made.doubtful == {FILE: ["case"]}

    def test_original_passes_here(self) -> None:
        """Then the case stays wrong."""
        assert wrong(judged("fail", original="pass")) == ["fail, where the original passes"]

    def test_original_does_not_pass_here_either(self) -> None:
        """Then the case is not demanded, and the report says so."""
        for kind in ("skip", "fail", "error", "absent", "crash"):
            made = judged("fail", original=kind)
            assert not wrong(made)
            assert (made.kinds.total(), made.not_here) == (len(OTHERS), {"fail": 1})
            assert made.notes == [("case", "fail; the original does not pass it on this machine either")]

    def test_crashes(self) -> None:
        """Only a crash of the original excuses it."""
        for kind in ("crash", "hang"):
            assert wrong(judged(kind)) == wrong(judged(kind, original="fail")) == [kind]
            assert not wrong(judged(kind, original="crash"))

    def test_original_never_passed(self) -> None:
        """Ours may fail it too, but not crash."""
        assert not wrong(judged("fail", known="fail"))
        assert wrong(judged("crash", known="fail")) == ["crash"]
        assert wrong(judged("crash", known="skip", original="skip")) == ["crash"]
        assert not wrong(judged("crash", known="fail", original="crash"))

    def test_listed(self) -> None:
        """It may fail and is not asked about, but it may not crash."""
        made = judged("fail", listed=Listed("known"))
        assert not wrong(made)
        assert not made.doubtful
        assert made.notes == [("case", "fail; listed: known")]
        assert wrong(judged("hang", listed=Listed("known"))) == ["hang"]

    def test_listed_and_passes(self) -> None:
        """It has to go from the list, unless it passes now and then, or this is another release of Python."""
        text = "listed in the exceptions, but passes: take it off the list"
        assert wrong(judged("pass", listed=Listed("known"))) == [text]
        assert not wrong(judged("pass", listed=Listed("luck", sometimes=True)))
        elsewhere = judged("pass", listed=Listed("known"), exact=False)
        assert not wrong(elsewhere)
        assert len(elsewhere.notes) == 1


class AllCases(unittest.TestCase):
    """What is demanded of the whole."""

    def failing(self, number: int, original: str = "") -> list[str]:
        """What is wrong where so many cases fail, which are listed if the original was not asked."""
        fails = dict.fromkeys(list(OTHERS)[:number], Outcome("fail"))
        results = {FILE: FileResult({case: Outcome("pass") for case in OTHERS} | fails)}
        listed = {} if original else dict.fromkeys(fails, Listed("known"))
        here = {FILE: FileResult(dict.fromkeys(fails, Outcome(original)))} if original else {}
        return [why for _, why, _ in score(results, Baseline({FILE: OTHERS}, {}, (), listed), here).wrong]

    def test_share(self) -> None:
        """It has to be 97 %, even if the rest is listed."""
        assert not self.failing(6)
        assert self.failing(7) == ["at least 97% must"]

    def test_unfit_machine(self) -> None:
        """Where the original does not pass a fifth of the cases, nothing is proved."""
        assert not self.failing(40, "fail")
        assert self.failing(41, "fail") == [
            "so many that this machine with this release of Python proves nothing"
        ]


class Committed(unittest.TestCase):
    """The files of `baselines/`."""

    def test_all_there(self) -> None:
        """There is one for each Python that the suite names, and it serves the other releases of it."""
        suite = SUITES["gevent"]
        for python, version in suite.measured.items():
            for release in (version, f"{python}.99"):
                baseline = read_baseline(suite, release)
                assert baseline is not None
                assert baseline.exact == (release == version)
                for file, networked in baseline.networked.items():
                    assert set(networked.values()) == {"pass"}
                    assert networked.items() <= baseline.cases[file].items()

    def test_without_the_standard_library(self) -> None:
        """Nothing is expected of its tests, and nothing listed."""
        baseline = read_baseline(SUITES["gevent"], "3.11.7")
        assert baseline is not None
        assert MONKEY + "test_socket.py" in baseline.cases
        fewer = dataclasses.replace(baseline, listed={MONKEY + "test_socket.py.A.b": Listed("known")})
        fewer = fewer.without(MONKEY)
        assert not [name for name in (*fewer.cases, *fewer.listed) if name.startswith(MONKEY)]
        assert set(fewer.networked) <= set(fewer.cases)

    def test_none_for_other_pythons(self) -> None:
        """There is nothing to judge those by."""
        assert read_baseline(SUITES["gevent"], "3.12.1") is None


if __name__ == "__main__":
    unittest.main()

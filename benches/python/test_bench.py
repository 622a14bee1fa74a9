"""Tests of the bench itself: `python -m pytest benches/python`. They measure nothing."""

import catalog
import report
from runner import Samples
from stats import Spread

SPEED = catalog.Row("r", "Row", "cpu_ns", catalog.Unit.NANOSECONDS, catalog.TimesFaster(2.0, since=11))
SIZE = catalog.Row("s", "Size", "rss", catalog.Unit.BYTES, catalog.AtMost(100.0))


def samples(name: str, metric: str, *values: float) -> Samples:
    """Samples of one metric."""
    return Samples(name, [{metric: value} for value in values])


def measured(row: catalog.Row, original: Samples, ours: Samples, minor: int = 11) -> report.Measured:
    """A row without counts."""
    return report.measured(row, "nothing", [original, ours], [None, None], minor)


def test_median_and_quartiles_interpolate() -> None:
    """As numpy's default does."""
    spread = Spread.of([4.0, 1.0, 3.0, 2.0])
    assert spread == Spread(median=2.5, q1=1.75, q3=3.25, min=1.0, max=4.0)
    assert spread.iqr_percent == 60.0


def test_no_sample_has_no_spread() -> None:
    """Nothing was measured, so nothing is said."""
    assert Spread.of([]) is None


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that halves its speed in the second round leaves the ratio alone."""
    row = measured(SPEED, samples("a", "cpu_ns", 20, 40, 20), samples("b", "cpu_ns", 10, 20, 10))
    assert (row.ratio, row.verdict) == (2.0, "reached")


def test_a_missed_mark_says_by_how_much() -> None:
    """In per cent of the mark, for both kinds of mark."""
    row = measured(SPEED, samples("a", "cpu_ns", 15), samples("b", "cpu_ns", 10))
    assert row.verdict == "falls short by 25.0%"
    row = measured(SIZE, samples("a", "rss", 50), samples("b", "rss", 110))
    assert row.verdict == "falls short, 10.0% over"


def test_a_mark_for_later_pythons_is_none_for_earlier_ones() -> None:
    """The figure is still shown."""
    row = measured(SPEED, samples("a", "cpu_ns", 15), samples("b", "cpu_ns", 10), minor=10)
    assert (row.ratio, row.mark, row.verdict) == (1.5, "", "")


def test_without_figures_nothing_is_claimed() -> None:
    """A failure is neither reached nor a number."""
    row = measured(SPEED, samples("a", "cpu_ns", 15), Samples("b", failure="it broke"))
    assert (row.ratio, row.verdict) == (None, "not measured")


def test_every_job_has_its_file() -> None:
    """A job names a file in `rows/`."""
    missing = [job.file for job in catalog.JOBS if not (catalog.ROWS / job.file).is_file()]
    assert missing == []


def test_rows_families_and_jobs_can_be_chosen() -> None:
    """A row chooses its job, and asking for a slow one overrules `--quick`."""
    assert [job.name for job in catalog.chosen({"rss"}, quick=True)] == ["rss-10k", "rss-100k"]
    assert [job.name for job in catalog.chosen({"tables-1m"}, quick=True)] == ["million"]
    assert "million" not in [job.name for job in catalog.chosen(set(), quick=True)]


def test_an_unknown_name_is_refused() -> None:
    """Rather than measured as nothing."""
    message = ""
    try:
        catalog.chosen({"swich"}, quick=False)
    except ValueError as error:
        message = str(error)
    assert message.startswith("there is no row 'swich'")

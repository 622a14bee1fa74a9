"""What came out of a row: the figures of all who were measured, and how greenloom's compares with each."""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog import AtMost, AtMostMore, Job, Mark, Row, Suite, TimesFaster, Unit
from implementations import Implementation, Interpreter
from runner import Samples
from stats import Spread

# User instructions of an operation, or why there are none.
Count = float | str | None


@dataclass(frozen=True)
class Figure:
    """What one implementation did in a row."""

    name: str
    value: Spread | None
    wall: Spread | None
    peak_rss: float | None
    instructions: Count
    failure: str | None
    samples: list[float]


@dataclass(frozen=True)
class Beside:
    """Another's figure, and greenloom's seen from there."""

    figure: Figure
    # Median over the rounds of the other's figure by ours in the same round; over 1 is faster or smaller.
    ratio: float | None
    mark: str
    verdict: str


@dataclass(frozen=True)
class Measured:
    """A row with its figures, in one Python."""

    row: Row
    about: str
    ours: Figure
    original: Beside
    peers: list[Beside]

    @property
    def figures(self) -> list[Figure]:
        """The original's, ours, and those of the peers."""
        return [self.original.figure, self.ours, *(peer.figure for peer in self.peers)]


@dataclass
class Table:
    """The rows of a suite in one Python."""

    suite: Suite
    interpreter: Interpreter
    # Who is compared: the original, and ours or the original again.
    pair: list[Implementation]
    rows: list[Measured]

    @property
    def names(self) -> list[str]:
        """Of the two columns."""
        return [implementation.name for implementation in self.pair]


def measured(row: Row, job: Job, results: Sequence[Samples], counts: Sequence[Count], minor: int) -> Measured:
    """A row from its job's samples: first the original's, then ours, then those of the job's peers if there are any."""
    figures = [_figure(row, samples, count) for samples, count in zip(results, counts, strict=True)]
    ours = figures.pop(1)
    marks = [row.mark, *(TimesFaster(1.0) if peer is row.level_with else None for peer in job.peers)]
    original, *peers = (
        _beside(row, figure, ours, mark, minor) for figure, mark in zip(figures, marks, strict=False)
    )
    return Measured(row, job.about, ours, original, peers)


def show(unit: Unit, value: float) -> str:
    """A figure with its unit, three or four digits."""
    if unit is Unit.BYTES:
        return f"{value:.0f} B"
    if value < 100:
        return f"{value:.1f} ns"
    return f"{value:.0f} ns" if value < 10_000 else f"{value / 1000:.1f} us"


def _figure(row: Row, samples: Samples, count: Count) -> Figure:
    def of(metric: str) -> list[float]:
        return [sample[metric] for sample in samples.rounds if metric in sample]

    peak = Spread.of(of("peak_rss_bytes"))
    return Figure(
        name=samples.name,
        value=Spread.of(of(row.metric)),
        wall=Spread.of(of("wall_ns")) if row.unit is Unit.NANOSECONDS else None,
        peak_rss=peak.median if peak else None,
        instructions=count,
        failure=samples.failure,
        samples=of(row.metric),
    )


def _beside(row: Row, other: Figure, ours: Figure, mark: Mark | None, minor: int) -> Beside:
    pairs = zip(other.samples, ours.samples, strict=False)
    spread = Spread.of(theirs / our for theirs, our in pairs if our > 0)
    ratio = spread.median if spread else None
    value = ours.value.median if ours.value else None
    match mark:
        case TimesFaster(factor, since) if minor >= since:
            return Beside(other, ratio, f"at least {factor:g}x", _faster(ratio, factor))
        case AtMost(limit):
            return Beside(other, ratio, f"at most {show(row.unit, limit)}", _at_most(value, limit))
        case AtMostMore(limit):
            pairs = zip(other.samples, ours.samples, strict=False)
            more = Spread.of(our - theirs for theirs, our in pairs)
            said = f"at most {show(row.unit, limit)} more"
            return Beside(other, ratio, said, _at_most_more(row.unit, more.median if more else None, limit))
    return Beside(other, ratio, "", "")


def _faster(ratio: float | None, factor: float) -> str:
    if ratio is None:
        return "not measured"
    return "reached" if ratio >= factor else f"falls short by {(1 - ratio / factor) * 100:.1f}%"


def _at_most(value: float | None, limit: float) -> str:
    if value is None:
        return "not measured"
    return "reached" if value <= limit else f"falls short, {(value / limit - 1) * 100:.1f}% over"


def _at_most_more(unit: Unit, more: float | None, limit: float) -> str:
    if more is None:
        return "not measured"
    said = f"{show(unit, abs(more))} {'more' if more > 0 else 'less'}"
    return f"reached, {said}" if more <= limit else f"falls short, {said}"

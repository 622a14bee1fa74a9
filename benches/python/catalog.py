"""What is measured: the jobs, each a file in `rows/`, and the rows of the table that come out of each."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROWS = Path(__file__).resolve().parent / "rows"


class Unit(Enum):
    """What a figure counts. The smaller figure is the better one in all of them."""

    NANOSECONDS = "ns"
    BYTES = "B"


@dataclass(frozen=True)
class TimesFaster:
    """A mark: so many times the original's speed, from this minor version of Python 3 on."""

    factor: float
    since: int = 10


@dataclass(frozen=True)
class AtMost:
    """A mark: a figure that is not to be exceeded, whatever the original's is."""

    limit: float


Mark = TimesFaster | AtMost


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    title: str
    # The name of the figure in a sample.
    metric: str
    unit: Unit
    mark: Mark | None = None


@dataclass(frozen=True)
class Job:
    """What one process measures."""

    name: str
    file: str
    rows: tuple[Row, ...]
    # What an operation is, for the reader of the table.
    about: str
    # The row's own number, passed on to its file.
    number: int | None = None
    # A name that chooses several jobs at once.
    family: str = ""
    # Left out of a quick run.
    slow: bool = False
    # Most rounds that it is worth; memory hardly varies.
    rounds: int = 99
    # Memory that has to be free, in bytes.
    needs: int = 0
    # Whether it has operations that `--instructions` can count.
    countable: bool = True

    def is_chosen(self, names: set[str]) -> bool:
        """Whether one of the names is this job's, its family's or one of its rows'."""
        return not names.isdisjoint({self.name, self.family, *(row.name for row in self.rows)})


def _timed(
    name: str, title: str, about: str, mark: Mark | None = None, *, file: str = "", number: int | None = None
) -> Job:
    """A job of one row whose figure is the CPU time of an operation."""
    row = Row(name, title, "cpu_ns", Unit.NANOSECONDS, mark)
    return Job(name, file or name.replace("-", "_") + ".py", (row,), about, number)


def _parked(
    name: str, count: int, label: str, *, rounds: int, slow: bool = False, needs: int = 0, family: str = ""
) -> Job:
    """A job that looks at what `count` suspended greenlets take."""
    most = AtMost(4600.0)
    rows = (
        Row(f"rss-{label}", f"RSS per suspended greenlet, {count:,}", "rss", Unit.BYTES, most),
        Row(f"tables-{label}", f"Page tables per suspended greenlet, {count:,}", "page_tables", Unit.BYTES),
        Row(f"make-{label}", f"Make and suspend one of {count:,}", "cpu_ns", Unit.NANOSECONDS),
    )
    return Job(
        name=name,
        file="parked.py",
        rows=rows,
        about=f"{count:,} greenlets, each suspended in its first line: what the process grew by",
        number=count,
        family=family,
        slow=slow,
        rounds=rounds,
        needs=needs,
        countable=False,
    )


JOBS: tuple[Job, ...] = (
    _timed(
        "switch",
        "Switch",
        "main and a child hand a value back and forth; one of the two switches",
        TimesFaster(6.0),
    ),
    _timed(
        "switch-deep",
        "Switch below 20 nested calls through C",
        "the same, each side below 20 times `next(map(...))`: five C frames each, 11 to 15 KB of stack",
        TimesFaster(13.0),
        number=20,
    ),
    _timed(
        "switch-deep-4",
        "Switch below 4 nested calls through C",
        "the same with 4 of them: 20 C frames, 2 to 5 KB of stack",
        file="switch_deep.py",
        number=4,
    ),
    _timed(
        "create-run-finish",
        "Create, run and finish",
        "`greenlet(f).switch()`, where `f` returns at once",
        TimesFaster(20.0, since=11),
    ),
    _timed(
        "throw",
        "Throw",
        "`throw` of an instance into a suspended greenlet, which catches it and switches back: both switches",
        TimesFaster(5.0),
    ),
    _timed(
        "switch-many",
        "Switch round robin, 10,000 greenlets",
        "a ring of suspended greenlets, each switching to the next; one of the switches",
        number=10_000,
    ),
    _parked("rss-10k", 10_000, "10k", rounds=5, family="rss"),
    _parked("rss-100k", 100_000, "100k", rounds=3, needs=2_000_000_000, family="rss"),
    _parked("million", 1_000_000, "1m", slow=True, rounds=2, needs=9_000_000_000),
)


def chosen(names: set[str], *, quick: bool) -> list[Job]:
    """The jobs of these names, or all that belong to the run if there are none.

    Raises `ValueError` with a readable message for a name that no job has.
    """
    for name in sorted(names):
        if not any(job.is_chosen({name}) for job in JOBS):
            raise ValueError(f"there is no row {name!r}; see --list")
    return [job for job in JOBS if (job.is_chosen(names) if names else not (quick and job.slow))]


def listing() -> str:
    """All jobs and their rows, for `--list`."""
    lines = []
    for job in JOBS:
        lines.append(f"{job.name:<20} {job.about}{' (not with --quick)' if job.slow else ''}")
        lines.extend(f"  {row.name:<18} {row.title}" for row in job.rows if row.name != job.name)
    return "\n".join(lines)

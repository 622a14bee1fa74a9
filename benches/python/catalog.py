"""The terms of the bench: a suite has jobs, each a file in `rows/`, and each job some rows of the table."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROWS = Path(__file__).resolve().parent / "rows"


class Unit(Enum):
    """What a figure counts. The smaller figure is the better one in all of them."""

    NANOSECONDS = "ns"
    BYTES = "B"


class Peer(Enum):
    """Who is measured besides the original and greenloom, where it has something like the row."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"
    ASYNCIO_STREAMS = "asyncio streams"
    UVLOOP_STREAMS = "uvloop streams"
    # Nothing but the system calls, in Python: what no server can be much cheaper than.
    EPOLL = "bare epoll loop"
    THREADS = "threads"
    ASYNCPG = "asyncpg"
    ASYNCPG_UVLOOP = "asyncpg, uvloop"


class Need(Enum):
    """What a job needs besides Python. Where it is missing the job is left out."""

    POSTGRES = "PostgreSQL"
    MARIADB = "MariaDB"
    COMPILER = "a C compiler"


@dataclass(frozen=True)
class TimesFaster:
    """A mark: so many times another's speed, from this minor version of Python 3 on."""

    factor: float
    since: int = 10


@dataclass(frozen=True)
class AtMost:
    """A mark: a figure that is not to be exceeded, whatever the original's is."""

    limit: float


@dataclass(frozen=True)
class AtMostMore:
    """A mark: a figure that is to exceed the original's by no more than this."""

    limit: float


Mark = TimesFaster | AtMost | AtMostMore


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    title: str
    # The name of the figure in a sample.
    metric: str
    unit: Unit
    # To be reached beside the original.
    mark: Mark | None = None
    # A peer that greenloom is to be at least as good as.
    level_with: Peer | None = None


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
    # The same, where it is words.
    words: tuple[str, ...] = ()
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
    # Who else is measured.
    peers: tuple[Peer, ...] = ()
    need: Need | None = None

    def is_chosen(self, names: set[str]) -> bool:
        """Whether one of the names is this job's, its family's or one of its rows'."""
        return not names.isdisjoint({self.name, self.family, *(row.name for row in self.rows)})


@dataclass(frozen=True)
class Suite:
    """The jobs that are measured beside one original."""

    # The original's package, unless that is said below.
    name: str
    jobs: tuple[Job, ...]
    # The module that the original's samples are told to measure.
    module: str = ""

    @property
    def original(self) -> str:
        """The original's module."""
        return self.module or self.name


def timed(
    name: str,
    title: str,
    about: str,
    mark: Mark | None = None,
    *,
    file: str = "",
    number: int | None = None,
    family: str = "",
    peers: tuple[Peer, ...] = (),
) -> Job:
    """A job of one row whose figure is the CPU time of an operation."""
    row = Row(name, title, "cpu_ns", Unit.NANOSECONDS, mark)
    file = file or name.replace("-", "_") + ".py"
    return Job(name, file, (row,), about, number, family=family, peers=peers)

"""What is measured of `greenloom.greenlet`, beside greenlet."""

from catalog import AtMost, Job, Row, Suite, TimesFaster, Unit, timed


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


GREENLET = Suite(
    "greenlet",
    (
        timed(
            "switch",
            "Switch",
            "main and a child hand a value back and forth; one of the two switches",
            TimesFaster(6.0),
        ),
        timed(
            "switch-deep",
            "Switch below 20 nested calls through C",
            "the same, each side below 20 times `next(map(...))`: five C frames each, 11 to 15 KB of stack",
            TimesFaster(13.0),
            number=20,
        ),
        timed(
            "switch-deep-4",
            "Switch below 4 nested calls through C",
            "the same with 4 of them: 20 C frames, 2 to 5 KB of stack",
            file="switch_deep.py",
            number=4,
        ),
        timed(
            "create-run-finish",
            "Create, run and finish",
            "`greenlet(f).switch()`, where `f` returns at once",
            TimesFaster(20.0, since=11),
        ),
        timed(
            "throw",
            "Throw",
            "`throw` of an instance into a suspended greenlet, which catches it and switches back: both switches",
            TimesFaster(5.0),
        ),
        timed(
            "switch-many",
            "Switch round robin, 10,000 greenlets",
            "a ring of suspended greenlets, each switching to the next; one of the switches",
            number=10_000,
        ),
        _parked("rss-10k", 10_000, "10k", rounds=5, family="rss"),
        _parked("rss-100k", 100_000, "100k", rounds=3, needs=2_000_000_000, family="rss"),
        _parked("million", 1_000_000, "1m", slow=True, rounds=2, needs=9_000_000_000),
    ),
)

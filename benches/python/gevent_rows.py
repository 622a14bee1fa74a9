"""What is measured of `greenloom` as gevent, beside gevent, and beside asyncio and uvloop where they have the like."""

from catalog import AtMost, Job, Peer, Row, Suite, TimesFaster, Unit, timed

TASKS = (Peer.ASYNCIO, Peer.UVLOOP)
STREAMS = (Peer.ASYNCIO_STREAMS, Peer.UVLOOP_STREAMS)


def _echo(connections: int, peers: tuple[Peer, ...]) -> Job:
    """A job that looks at what a server's process takes to answer."""
    row = Row(
        f"echo-{connections}",
        f"TCP echo, {connections} connections",
        "cpu_ns",
        Unit.NANOSECONDS,
        TimesFaster(2.5),
        level_with=Peer.UVLOOP,
    )
    return Job(
        name=row.name,
        file="echo.py",
        rows=(row,),
        about="a server with blocking `socket` code after `patch_all()`, a greenlet for each connection, beside a "
        "`Protocol`; 64 bytes there and back, all connections busy; CPU time of the server's process",
        number=connections,
        family="echo",
        countable=False,
        peers=peers,
    )


def _waiting(count: int, label: str) -> Job:
    """A job that looks at what `count` greenlets take that wait for one event."""
    return Job(
        name="waiting",
        file="waiting.py",
        rows=(
            Row("rss-waiting", f"RSS per waiting greenlet, {label}", "rss", Unit.BYTES, AtMost(5500.0)),
            Row("tables-waiting", f"Page tables per waiting greenlet, {label}", "page_tables", Unit.BYTES),
            Row("make-waiting", f"Spawn one of {label} and let it wait", "cpu_ns", Unit.NANOSECONDS),
        ),
        about=f"{count:,} greenlets, or tasks, all in `wait` of one `Event`: what the process grew by",
        number=count,
        rounds=3,
        needs=2_000_000_000,
        countable=False,
        peers=TASKS,
    )


GEVENT = Suite(
    "gevent",
    (
        timed(
            "spawn-join",
            "Spawn and join",
            "`spawn(f).join()`, where `f` returns at once; a task that is awaited",
            TimesFaster(15.0),
            peers=TASKS,
        ),
        timed(
            "spawn-many",
            "Spawn 10,000, then join all",
            "`spawn` of functions that return at once, then `joinall`; `gather`; one greenlet of them",
            number=10_000,
            peers=TASKS,
        ),
        timed(
            "spawn-kill",
            "Spawn and kill",
            "a greenlet is spawned, begins to sleep, and is killed; a task that is cancelled and awaited",
            TimesFaster(15.0),
            peers=TASKS,
        ),
        timed(
            "pool-spawn",
            "Pool.spawn",
            "`spawn` of functions that return at once in a `Pool(100)`, which makes the spawner wait",
            TimesFaster(10.0),
        ),
        timed(
            "sleep-zero",
            "sleep(0)",
            "main alone gives way to the loop and comes back",
            TimesFaster(10.0),
            peers=TASKS,
        ),
        timed(
            "event-ping-pong",
            "Event ping-pong",
            "two greenlets wake each other by an `Event` each; there and back",
            TimesFaster(8.0),
            peers=TASKS,
        ),
        timed(
            "async-result",
            "AsyncResult set and get",
            "an `AsyncResult` is made, set, and asked for its value; a future that is awaited",
            peers=TASKS,
        ),
        timed(
            "queue-hand-over",
            "Queue hand-over",
            "two greenlets hand an item back and forth through two queues; one of the two",
            TimesFaster(10.0),
            peers=TASKS,
        ),
        timed(
            "channel-hand-over",
            "Channel hand-over",
            "one greenlet puts items into a `Channel`, another takes them; one item",
            TimesFaster(6.0),
        ),
        timed(
            "semaphore",
            "Semaphore, free",
            "`acquire` and `release` of a `Semaphore` that nobody else wants",
            peers=TASKS,
        ),
        timed(
            "semaphore-hand-over",
            "Semaphore hand-over",
            "two greenlets release each other from a `Semaphore` each; one of the two",
            peers=TASKS,
        ),
        timed(
            "rlock",
            "RLock, free",
            "`with` of an `RLock` that nobody else wants",
        ),
        timed(
            "timeout-cancel",
            "Timeout start and cancel",
            "a `Timeout` of a minute is made, started and cancelled; `async with asyncio.timeout(60)`",
            TimesFaster(8.0),
            peers=TASKS,
        ),
        timed(
            "local-read",
            "Read of a local's attribute",
            "an attribute of a `local` is read, in a greenlet that has set it",
        ),
        timed(
            "socketpair",
            "Socket pair round trip",
            "two greenlets send each other 16 bytes through a `socketpair`; `sock_sendall` and `sock_recv`; there and "
            "back",
            TimesFaster(3.0),
            peers=(*TASKS, Peer.EPOLL),
        ),
        _waiting(100_000, "100,000"),
        _echo(50, (*TASKS, *STREAMS, Peer.EPOLL)),
        _echo(500, (*TASKS, Peer.EPOLL)),
    ),
)

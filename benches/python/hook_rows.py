"""What a hooked call costs that need not wait, beside libc's own. A C library calls, with the GIL released."""

from catalog import AtMostMore, Job, Need, Row, Suite, Unit

CALLS = {
    "recv": "`recv` of a byte that is there",
    "read-socket": "`read` of a byte that is there, of a socket",
    "read-pipe": "`read` of a byte that is there, of a pipe",
    "poll": "`poll` of a socket that is ready",
    "mutex": "`pthread_mutex_lock` and `_unlock`, uncontended",
}


def _job(call: str, title: str, where: str) -> Job:
    """A job for a call, in a greenlet or in a thread that has no hub."""
    name = f"hook-{call}" if where == "greenlet" else f"hook-{call}-{where}"
    row = Row(name, f"{title}, in a {where}", "cpu_ns", Unit.NANOSECONDS, AtMostMore(100.0))
    return Job(
        name,
        "hooked.py",
        (row,),
        "called again and again by a C library that Python has called without the GIL: with libc in its table, and "
        "with hooks",
        words=(call, where),
        family=f"hook-{call}",
        countable=False,
        need=Need.COMPILER,
    )


HOOKS = Suite(
    "hooks",
    tuple(_job(call, title, where) for where in ("greenlet", "thread") for call, title in CALLS.items()),
    module="libc",
)

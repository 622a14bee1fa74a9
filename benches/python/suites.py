"""All suites, and the choice of their jobs by name."""

from catalog import Job, Suite
from driver_rows import DRIVERS
from gevent_rows import GEVENT
from greenlet_rows import GREENLET
from hook_rows import HOOKS

SUITES = (GREENLET, GEVENT, DRIVERS, HOOKS)


def chosen(names: set[str], *, quick: bool) -> list[tuple[Suite, list[Job]]]:
    """The jobs of these names, by suite, or all that belong to the run if there are none.

    A suite's name chooses all that belongs to it. Raises `ValueError` with a readable message for a name that
    nothing has.
    """
    for name in sorted(names):
        if not any(name == suite.name or job.is_chosen({name}) for suite in SUITES for job in suite.jobs):
            raise ValueError(f"there is no row {name!r}; see --list")
    picked: list[tuple[Suite, list[Job]]] = []
    for suite in SUITES:
        whole = not names or suite.name in names
        jobs = [job for job in suite.jobs if job.is_chosen(names) or (whole and not (quick and job.slow))]
        if jobs:
            picked.append((suite, jobs))
    return picked


def listing() -> str:
    """All jobs and their rows, for `--list`."""
    lines = []
    for suite in SUITES:
        lines.append(f"{suite.name}:")
        for job in suite.jobs:
            lines.append(f"  {job.name:<20} {job.about}{' (not with --quick)' if job.slow else ''}")
            lines.extend(f"    {row.name:<18} {row.title}" for row in job.rows if row.name != job.name)
    return "\n".join(lines)

"""Makes C libraries cooperative: their blocking calls of libc let other greenlets run.

A driver in C calls ``recv`` or ``poll`` through a table of its object file, and that table can be written. What the
hooks do, and why only these objects get them: docs/design/patching.md.
"""

from __future__ import annotations

from collections.abc import Iterable

#: What :func:`patch_native` patches unless told otherwise: database drivers and curl, and the libraries that they use.
#: A name stands for all files called so up to a dot or a hyphen: ``libpq`` for ``libpq.so.5`` and ``libpq-1f3a.so.5``.
NATIVE_OBJECTS: tuple[str, ...] = (
    # PostgreSQL: the client library, and what psycopg2 and psycopg have in C.
    "libpq",
    "_psycopg",
    # MySQL and MariaDB; mysqlclient's module.
    "libmysqlclient",
    "libmariadb",
    "_mysql",
    # curl, and pycurl.
    "libcurl",
    "pycurl",
    "_pycurl",
    # FreeTDS, and pymssql, which may have it linked in.
    "libsybdb",
    "libct",
    "_mssql",
    # SQLite, whose busy handler sleeps.
    "libsqlite3",
    "_sqlite3",
    # What they use to connect: TLS, Kerberos, LDAP, SASL, SSH.
    "libssl",
    "libcrypto",
    "libkrb5",
    "libkrb5support",
    "libldap",
    "libsasl2",
    "libssh2",
)

#: Their locks are taken for a moment at a time, by every thread of the process: they are left as they are.
_WITHOUT_LOCKS = frozenset(NATIVE_OBJECTS[NATIVE_OBJECTS.index("libssl") :])

#: What was asked for, with whether locks are.
_asked: dict[str, bool] = {}


def patch_native(objects: Iterable[str] | None = None, *, locks: bool = True) -> list[str]:
    """Let the blocking calls of C libraries switch to other greenlets, in those named *objects* and no others.

    Each is a name such as ``libpq``, a pattern of file names such as ``libmy*``, or a path; without *objects* they are
    :data:`NATIVE_OBJECTS`. Libraries that are loaded later count as well. *locks*: also their mutexes and condition
    variables, which drivers hold while they wait.

    Only greenlets of threads that have a hub are switched from, and only where the GIL is not held; everything else
    goes to libc as before. The calling thread gets a hub if it has none. A second call adds to the first.

    Returns the paths of the objects that are loaded and patched. Raises TypeError and ValueError for what cannot be a
    name, NotImplementedError where this cannot be done, RuntimeError and OSError when it fails.
    """
    wanted = _checked(objects)
    from greenloom import _greenloom
    from greenloom.hub import get_hub

    get_hub()
    new = {name: locks and name not in _WITHOUT_LOCKS for name in wanted}
    report = _greenloom.native_patch([rule for rule in new.items() if _asked.get(rule[0]) != rule[1]])
    for name, with_locks in new.items():
        _asked[name] = with_locks or _asked.get(name, False)
    refused = [(path, why) for path, why in report["refused"] if objects is not None]
    if refused:
        from ._util import _process_warnings

        _process_warnings(f"{path} is not patched: {why}" for path, why in refused)
    return report["matched"]


def unpatch_native() -> None:
    """Take back what :func:`patch_native` did. Greenlets that wait in such a call wait on.

    Raises RuntimeError if another library has changed the same places since; those are left as they are.
    """
    from greenloom import _greenloom

    _asked.clear()
    _greenloom.native_unpatch()


def is_native_patched(name: str | None = None) -> bool:
    """Whether :func:`patch_native` was called and not taken back; with *name*, whether it was given that name."""
    return bool(_asked) if name is None else name in _asked


def _checked(objects: Iterable[str] | None) -> list[str]:
    """The names that are asked for."""
    if objects is None:
        return [*NATIVE_OBJECTS]
    if isinstance(objects, (str, bytes)):
        name = objects if isinstance(objects, str) else objects.decode(errors="replace")
        raise TypeError(f"objects is a list of names, not {objects!r}; for that one write [{name!r}]")
    try:
        names = [*objects]
    except TypeError:
        raise TypeError(f"objects is a list of names, not {type(objects).__name__}") from None
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"objects is a list of names, and {name!r} in it is no string")
    return names

"""``python -m greenloom doctor``: the command line of :mod:`greenloom.doctor`."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from typing import TextIO

HELP = """\
usage: python -m greenloom doctor [--json] [[--module] PROGRAM [ARGUMENT...]]

Say what still blocks every greenlet, and what to do about it: C libraries that are not patched, and Python
names that were taken before they were replaced.

With PROGRAM, run it to its end or to Ctrl-C, then look. It patches itself or does not; doctor patches nothing.
Without, patch everything, import the database drivers and their like that are installed, and look at those.

  PROGRAM         a script, a directory or zip file with __main__.py, or with --module a module's name
  -m, --module    PROGRAM is a module, as for `python -m`
  --json          write the findings as JSON; what PROGRAM prints goes to the standard error then
  -h, --help      show this

exit status: 0 nothing to do, 1 something to do, 2 wrong usage

examples:
  python -m greenloom doctor
  python -m greenloom doctor server.py --port 8000
  python -m greenloom doctor --json --module myapp.worker > findings.json
"""

#: Modules in C that are known to wait, each with what is imported for it.
DRIVERS = {
    "psycopg2": "psycopg2",
    "psycopg": "psycopg.pq",
    "psycopg_binary": "psycopg_binary._psycopg",
    "psycopg_c": "psycopg_c._psycopg",
    "MySQLdb": "MySQLdb",
    "mysql": "_mysql_connector",
    "pycurl": "pycurl",
    "pymssql": "pymssql",
    "pyodbc": "pyodbc",
    "oracledb": "oracledb",
    "sqlite3": "sqlite3",
    "ssl": "ssl",
}


def main(arguments: list[str]) -> None:
    """Do what *arguments* say. Ends with :class:`SystemExit`."""
    as_json = as_module = False
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option == "--json":
            as_json = True
        elif option in ("-m", "--module"):
            as_module = True
            break
        elif option in ("-h", "--help"):
            print(HELP, end="")
            raise SystemExit(0)
        else:
            _refuse(f"greenloom doctor: unknown option {option}\n{HELP}")
    if as_module and not arguments:
        _refuse(f"greenloom doctor: --module needs the name of a module\n{HELP}")
    if arguments:
        _check(arguments[0], as_module)
    with _report_stream(as_json) as out:
        if arguments:
            _run(arguments, as_module)
        else:
            _load_drivers()
        from greenloom import doctor

        try:
            found = doctor.examine()
        except NotImplementedError as error:
            sys.stderr.write(f"greenloom doctor: {error}\n")
            raise SystemExit(1) from None
        text = json.dumps(found.as_json(), indent=2) if as_json else f"\n{found}" if arguments else str(found)
        print(text, file=out, flush=True)
    raise SystemExit(1 if found.todo else 0)


def _check(program: str, as_module: bool) -> None:
    """Refuse a program that is not there."""
    if as_module and importlib.util.find_spec(program.partition(".")[0]) is None:
        _refuse(f"greenloom doctor: no module named {program}\n")
    if not as_module and not os.path.exists(program):  # noqa: PTH110
        _refuse(f"greenloom doctor: can't open {program!r}: there is no such file\n")


def _refuse(message: str) -> None:
    sys.stderr.write(message)
    raise SystemExit(2)


@contextlib.contextmanager
def _report_stream(as_json: bool) -> Iterator[TextIO]:
    """Where the findings go. With *as_json*, all else that is printed goes to the standard error."""
    if not as_json:
        yield sys.stdout
        return
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        yield out


def _run(arguments: list[str], as_module: bool) -> None:
    """Run the program, whatever comes of it."""
    from greenloom import _run

    try:
        _run.run_program(arguments, as_module=as_module)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        pass
    except BaseException:
        _run.hide_our_frames()
        sys.excepthook(*sys.exc_info())
    # What it wrote comes before what is said of it.
    with contextlib.suppress(Exception):
        sys.stdout.flush()


def _load_drivers() -> None:
    """Patch everything, then import the drivers that are installed, as a program would."""
    from greenloom import monkey

    monkey.patch_all(native=True)
    for top, module in DRIVERS.items():
        if importlib.util.find_spec(top) is None:
            continue
        try:
            importlib.import_module(module)
        except Exception as error:
            sys.stderr.write(f"greenloom doctor: {module} cannot be imported: {error}\n")

"""The command line: ``python -m greenloom.monkey [--verbose] [--[no-]MODULE] [--module] PROGRAM ARGUMENTS``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

#: The modules that can be chosen, in the order of :func:`greenloom.monkey.patch_all`'s arguments.
_MODULES = (
    "socket",
    "dns",
    "time",
    "select",
    "thread",
    "os",
    "ssl",
    "subprocess",
    "sys",
    "builtins",
    "signal",
    "queue",
    "contextvars",
)
#: Its other arguments.
_SETTINGS = ("aggressive", "Event", "native")


def _help() -> str:
    options = " ".join(f"[--[no-]{name}]" for name in (*_MODULES, *_SETTINGS))
    return f"""\
gevent.monkey - runs a program with the standard library made cooperative

USAGE: ``python -m gevent.monkey [MONKEY OPTIONS] [--module] PROGRAM [ARGUMENTS]``

PROGRAM is whatever ``python PROGRAM`` can run or, after --module, the name of a module.
Without options everything is patched that ``patch_all()`` patches. --no-MODULE leaves a module
out. --MODULE patches only this one, and the others named so. --native patches C libraries as well,
such as database drivers. --verbose shows what is done.

MONKEY OPTIONS: [--verbose] {options}"""


def _parse(options: Iterable[str]) -> dict[str, bool]:
    """The arguments for ``patch_all`` that the options say. Ends with SystemExit for an unknown one."""
    arguments: dict[str, bool] = {}
    for option in options:
        name = option.removeprefix("no-")
        if name not in _MODULES and name not in _SETTINGS:
            sys.exit(f"{_help()}\n\nCannot patch {option!r}")
        arguments[name] = name == option
    if any(arguments.get(name) for name in _MODULES):
        for name in _MODULES:
            arguments.setdefault(name, False)
    return arguments


def main() -> object:
    """Run what ``sys.argv`` says, patched. Returns the globals of the program, as ``runpy`` does."""
    argv = sys.argv[1:]
    options: list[str] = []
    verbose = module = False
    while argv and argv[0].startswith("--"):
        option = argv.pop(0)[2:]
        if option == "verbose":
            verbose = True
        elif option == "module":
            module = True
        else:
            options.append(option)
    arguments = _parse(options)
    if verbose:
        _show_surroundings(arguments)
    if not argv:
        print(_help())
        return None
    sys.argv[:] = argv

    from . import patch_all

    patch_all(**arguments)

    import runpy

    run = runpy.run_module if module else runpy.run_path
    return run(argv[0], run_name="__main__")


def _show_surroundings(arguments: dict[str, bool]) -> None:
    import os
    import pprint

    print(f"gevent.monkey.patch_all({', '.join(f'{name}={value}' for name, value in arguments.items())})")
    print(f"sys.version={' '.join(sys.version.split())}")
    print(f"sys.path={pprint.pformat(sys.path)}")
    print(f"sys.modules={pprint.pformat(sorted(sys.modules))}")
    print(f"cwd={os.getcwd()}")  # noqa: PTH109

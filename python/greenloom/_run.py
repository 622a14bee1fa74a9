"""Runs a program as ``python`` would, with the aliases installed before its first line.

``python -m greenloom script.py`` must not be told apart from ``python script.py`` by the script: the same
``sys.argv``, ``sys.path``, ``__main__``, traceback and exit status.
"""

from __future__ import annotations

import builtins
import os
import pkgutil
import runpy
import sys
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType

import greenloom
from greenloom import _alias, greenlet

HELP = """\
usage: python -m greenloom [--module] PROGRAM [ARGUMENT...]
       python -m greenloom doctor [--help] [PROGRAM [ARGUMENT...]]

Run a program that was written for greenlet or gevent, unchanged: `import gevent` gives greenloom.
`doctor` says what in a program still blocks every greenlet, and what to do about it.

  PROGRAM         a script, a directory or zip file with __main__.py, or with --module a module's name
  -m, --module    PROGRAM is a module, as for `python -m`
  -V, --version   show greenloom's version and those of the APIs
  -h, --help      show this

environment:
  GREENLOOM_STACK_SIZE   size of a greenlet's stack: 64k, 1m, or a number of bytes; from 64k to 64m
  GREENLOOM_WATCHDOG     seconds (0.1) after which a hub that does not turn is told of, with what blocks it

examples:
  python -m greenloom examples/python/eat_play_switch.py
  python -m greenloom server.py --port 8000
  python -m greenloom --module gunicorn --worker-class gevent app:app
  python -m greenloom doctor server.py --port 8000
"""


def main() -> None:
    """Run what ``sys.argv`` says.

    Ends with :class:`SystemExit` 2 if it says nothing that can be run, and otherwise as the program does.
    """
    arguments = sys.argv[1:]
    as_module = False
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option in ("-m", "--module"):
            as_module = True
            break
        if option in ("-V", "--version"):
            apis = f"greenlet {greenlet.__version__} and gevent {_alias.GEVENT_VERSION}"
            print(f"greenloom {greenloom.__version__} (APIs of {apis})")
            return
        if option in ("-h", "--help"):
            print(HELP, end="")
            return
        _refuse(f"greenloom: unknown option {option}\n{HELP}")
    if not arguments:
        _refuse(HELP)
    if arguments[0] == "doctor" and not as_module:
        from greenloom import _doctor

        _doctor.main(arguments[1:])
    try:
        run_program(arguments, as_module=as_module)
    except SystemExit:
        raise
    except BaseException:
        hide_our_frames()
        raise


def run_program(arguments: list[str], *, as_module: bool) -> None:
    """Run the script or module ``arguments[0]``, which finds the aliases."""
    _alias.install_as_gevent()
    if as_module:
        _run_module(arguments)
    else:
        _run_path(arguments)


def _refuse(message: str) -> None:
    sys.stderr.write(message)
    raise SystemExit(2)


def _run_module(arguments: list[str]) -> None:
    """Run the module ``arguments[0]`` as ``python -m`` does; it has put the directory into ``sys.path``."""
    # What the module's package sees while it is imported; the module itself sees its file.
    sys.argv = ["-m", *arguments[1:]]
    _fresh_main()
    # The function behind `python -m`: same messages, same exit status. `runpy.run_module` would take the
    # module away from `sys.modules` when it returns, while the program's threads still need it.
    runpy._run_module_as_main(arguments[0])  # type: ignore[attr-defined]


def _run_path(arguments: list[str]) -> None:
    """Run the script, directory or zip file ``arguments[0]``."""
    sys.argv = arguments
    # Not normalised: neither does Python.
    path = os.path.join(os.getcwd(), arguments[0])  # noqa: PTH109, PTH118
    if pkgutil.get_importer(path) is not None:
        _set_first_path(path, always=True)
        _fresh_main()
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    code, compiled = _read_code(path)
    _set_first_path(os.path.dirname(os.path.realpath(path)))  # noqa: PTH120
    module = _fresh_main()
    loader = SourcelessFileLoader if compiled else SourceFileLoader
    vars(module).update(__file__=path, __cached__=None, __loader__=loader("__main__", path))
    exec(code, vars(module))


def _read_code(path: str) -> tuple[CodeType, bool]:
    """Return the code of the script, and whether the file had it compiled."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            code = pkgutil.read_code(file)
            if code is not None:
                return code, True
            file.seek(0)
            source = file.read()
    except OSError as error:
        # Python's own message for it, and status.
        _refuse(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n")
    return compile(source, path, "exec", dont_inherit=True), False


def _set_first_path(path: str, *, always: bool = False) -> None:
    """Make ``path`` the first of ``sys.path``, in the place of the directory that ``-m greenloom`` put there.

    With ``-I`` or ``-P`` nothing was put there, and only a directory or zip file that is run comes in.
    """
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = path
    elif always:
        sys.path.insert(0, path)


def _fresh_main() -> ModuleType:
    """Put a new ``__main__`` in the place of greenloom's. It stays until the process ends, as Python's does."""
    module = ModuleType("__main__")
    vars(module).update(__builtins__=builtins)
    if sys.version_info < (3, 14):
        vars(module).update(__annotations__={})
    sys.modules["__main__"] = module
    return module


def hide_our_frames() -> None:
    """Let the error on its way out be shown without the frames down to the program's first.

    Only then: while the program runs, ``sys.excepthook`` is what the program made it.
    """
    show = sys.excepthook

    def show_the_program_only(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        first = entry = traceback
        while entry is not None:
            if entry.tb_frame.f_code.co_filename == __file__:
                first = entry.tb_next
            elif first is not traceback:
                break
            entry = entry.tb_next
        show(kind, error.with_traceback(first), first)

    sys.excepthook = show_the_program_only

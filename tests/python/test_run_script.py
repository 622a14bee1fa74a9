"""``python -m greenloom program``: the program cannot tell it from ``python program``."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from programs import run

GREENLOOM = (sys.executable, "-m", "greenloom")

SHOW = """
import sys
shown = "__name__", "__file__", "__package__", "__cached__", "__doc__"
print(*(f"{name}={globals().get(name)!r}" for name in shown), sep="\\n")
print(sys.argv, sys.path[0], len(sys.path), sorted(globals()), __builtins__, __spec__ and __spec__.name)
print(type(__loader__).__name__, sys.modules["__main__"].__dict__ is globals(), sys.excepthook is sys.__excepthook__)
import neighbour
"""

#: Ways for a program to end, and what it writes when it does.
ENDINGS = {
    "a status": "import sys; sys.exit(3)",
    "a message": "import sys; sys.exit('no way')",
    "an error": "def f():\n    1 / 0\nf()",
    "an error in a library": "import json\njson.loads('{')",
    "an error with a cause": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e",
    "an error with a context": "try:\n    1 / 0\nfinally:\n    {}['missing']",
    "too deep a recursion": "import sys; sys.setrecursionlimit(100)\ndef f(): f()\nf()",
    "a syntax error": "print('never')\nif :\n    pass\n",
    "a tab error": "if 1:\n        1\n\t2\n",
    "source in another encoding": "# coding: latin-1\nprint(ascii('\u00e4'))",
    "an interrupt": "raise KeyboardInterrupt",
    "an error in a thread": "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start(); t.join()",
    "a hook of its own": "import sys\nsys.excepthook = lambda k, e, t: print(k, e, t.tb_lineno, t.tb_next)\n1 / 0",
    "an exit function": "import atexit\natexit.register(lambda: print('bye', neighbour))\nimport neighbour\n1 / 0",
    "a thread that outlives main": (
        "import threading, time\n"
        "def late():\n    threading.main_thread().join()\n    import __main__\n    print(__main__.late is late)\n"
        "threading.Thread(target=late).start()"
    ),
    "no ceremony": "import os; os._exit(7)",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with programs of every kind; ``neighbour`` is beside each of them."""
    for place in (tmp_path, tmp_path / "folder", tmp_path / "package", tmp_path / "below"):
        place.mkdir(exist_ok=True)
        (place / "neighbour.py").write_text(
            "import sys; print('neighbour of', sys.modules['__main__'].__name__)\n"
        )
    (tmp_path / "script.py").write_text(SHOW)
    (tmp_path / "folder" / "script.py").write_text(SHOW)
    (tmp_path / "folder" / "__main__.py").write_text(SHOW)
    (tmp_path / "package" / "__init__.py").write_text("import sys; print('package sees', sys.argv)\n")
    (tmp_path / "package" / "__main__.py").write_text(SHOW)
    (tmp_path / "package" / "part.py").write_text(SHOW + "from . import neighbour\n")
    (tmp_path / "below" / "link.py").symlink_to("../script.py")
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "zipped.pyz", "w") as archive:
        archive.writestr("__main__.py", SHOW)
        archive.writestr("neighbour.py", "print('zipped neighbour')\n")
    return tmp_path


def said(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """What the process wrote, without addresses, and without the depth of a recursion: greenloom stands below it."""
    varying = r"0x[0-9a-f]+|repeated \d+ more times"
    return re.sub(varying, "", done.stdout), re.sub(varying, "", done.stderr)


def assert_alike(
    directory: Path, *program: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the program plainly and by greenloom; assert that both ended with the same, and return that."""
    plain = run(sys.executable, *options, *program, cwd=directory)
    ours = run(sys.executable, *options, "-m", "greenloom", *program, cwd=directory)
    assert (ours.returncode, said(ours)) == (plain.returncode, said(plain))
    return ours


@pytest.mark.parametrize(
    "program",
    [
        "script.py",
        "./script.py",
        "folder/script.py",
        "below/../script.py",
        "below/link.py",
        "folder",
        "folder/",
        "zipped.pyz",
        "-m script",
        "-m package",
        "-m package.part",
        "-m below.link",
    ],
)
def test_a_program_of_any_kind_sees_what_it_sees_under_plain_python(directory: Path, program: str) -> None:
    done = assert_alike(directory, *program.split(), "one", "two")
    assert done.returncode == 0
    assert "neighbour" in done.stdout


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_ends_as_it_does_under_plain_python(directory: Path, ending: str) -> None:
    encoding = "latin-1" if "encoding" in ending else "utf-8"
    (directory / "ending.py").write_text(ENDINGS[ending], encoding=encoding)
    by_path = assert_alike(directory, "ending.py")
    assert "greenloom" not in by_path.stderr
    by_name = assert_alike(directory, "-m", "ending")
    assert by_name.returncode == by_path.returncode


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("missing.py", 2),
        ("missing/", 2),
        ("empty", 1),
        ("-m missing", 1),
        ("-m missing.part", 1),
        ("-m empty", 1),
    ],
)
def test_a_program_that_is_not_there_is_reported_as_python_does(
    directory: Path, program: str, status: int
) -> None:
    assert assert_alike(directory, *program.split()).returncode == status


@pytest.mark.parametrize("program", ["script.py", "folder", "zipped.pyz"])
def test_isolated_mode_keeps_the_directory_out_of_the_path(directory: Path, program: str) -> None:
    assert_alike(directory, program, options=("-I",))


def test_a_compiled_script_runs(directory: Path) -> None:
    (directory / "source.py").write_text("import sys; print(__name__, sys.argv, type(__loader__).__name__)\n")
    compiled = run(sys.executable, "-m", "compileall", "-q", "-b", "source.py", cwd=directory)
    assert compiled.returncode == 0, compiled.stderr
    assert assert_alike(directory, "source.pyc", "x").stdout.startswith("__main__ ['source.pyc', 'x']")


def test_a_script_sees_its_own_arguments(directory: Path) -> None:
    (directory / "arguments.py").write_text("import sys; print(sys.argv)\n")
    arguments = ["--help", "-m", "--", "-V", "", "a b", "--module=x"]
    for program in (["arguments.py"], ["-m", "arguments"], ["--module", "arguments"]):
        done = run(*GREENLOOM, *program, *arguments, cwd=directory)
        assert done.stdout.endswith(f"{arguments!r}"[1:] + "\n"), done


def test_a_script_gets_greenloom_for_greenlet(directory: Path) -> None:
    (directory / "who.py").write_text(
        "import greenlet, greenloom\n"
        "from importlib.metadata import version\n"
        "assert greenlet is greenloom.greenlet\n"
        "print(greenlet.greenlet(lambda: 6 * 7).switch(), version('greenlet'))\n"
    )
    for program in (["who.py"], ["--module", "who"]):
        done = run(*GREENLOOM, *program, cwd=directory)
        assert (done.stdout, done.stderr) == ("42 3.5.6\n", "")


def test_an_error_that_ends_a_greenlet_is_shown_from_the_scripts_first_line(directory: Path) -> None:
    (directory / "failing.py").write_text(
        "from greenlet import greenlet\ndef fail():\n    raise ValueError('here')\ngreenlet(fail).switch()\n"
    )
    done = run(*GREENLOOM, "failing.py", cwd=directory)
    lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("  File")]
    assert done.returncode == 1
    path = directory / "failing.py"
    assert lines == [f'File "{path}", line 4, in <module>', f'File "{path}", line 3, in fail']


def test_a_submodule_runs_by_its_alias(directory: Path) -> None:
    (directory / "sitting.py").write_text("")
    done = run(sys.executable, "-W", "ignore", "-m", "greenloom", "-m", "greenlet._greenlet", cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(*GREENLOOM, "-m", "greenlet", cwd=directory)
    assert done.returncode == 1
    assert "No module named greenlet.__main__" in done.stderr


def test_an_interrupt_from_the_terminal_ends_it_as_it_ends_python(directory: Path) -> None:
    (directory / "waiting.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [*GREENLOOM, "waiting.py"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has it ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert error.endswith("KeyboardInterrupt\n")
    assert "greenloom" not in error.replace(str(directory), "")


def test_without_a_program_it_shows_help_and_fails() -> None:
    done = run(*GREENLOOM)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m greenloom [--module] PROGRAM")
    assert run(*GREENLOOM, "--module").returncode == 2


def test_help_has_examples_and_the_environment() -> None:
    done = run(*GREENLOOM, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m greenloom --module gunicorn" in done.stdout
    assert "GREENLOOM_STACK_SIZE" in done.stdout


def test_version_names_greenloom_and_the_api() -> None:
    import greenloom

    done = run(*GREENLOOM, "--version")
    assert (done.returncode, done.stdout) == (
        0,
        f"greenloom {greenloom.__version__} (APIs of greenlet 3.5.6 and gevent 26.9.0)\n",
    )


def test_an_unknown_option_is_refused_and_nothing_runs(directory: Path) -> None:
    done = run(*GREENLOOM, "--fast", "script.py", cwd=directory)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("greenloom: unknown option --fast\n")


def test_the_environment_sets_the_size_of_stacks(directory: Path) -> None:
    (directory / "size.py").write_text("import greenloom; print(greenloom.stack_size())\n")
    done = run(*GREENLOOM, "size.py", cwd=directory, env={"GREENLOOM_STACK_SIZE": "2m"})
    assert (done.stdout, done.stderr) == (f"{2 << 20}\n", "")

"""Every example runs in each of the three ways, and says the same."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import greenloom
from programs import ROOT, output, run

EXAMPLES = ROOT / "examples" / "python"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))

#: They take two, and have tests of their own below.
SERVER, CLIENT = EXAMPLES / "upper_server.py", EXAMPLES / "client_500.py"

#: It takes a PostgreSQL: native/test_example.py has it.
NATIVE = EXAMPLES / "native_postgres.py"

LAUNCHER = """
import greenloom
greenloom.install_as_gevent()
import runpy, sys
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
for name, ours in ("greenlet", greenloom.greenlet), ("gevent", greenloom):
    assert sys.modules.get(name, ours) is ours
"""

_EACH = range(10)
_ONE_BY_ONE = " ".join(f"+{n} -{n}" for n in _EACH)
_AT_ONCE = " ".join([f"+{n}" for n in _EACH] + [f"-{n}" for n in _EACH])
_VALUES = [n * n for n in _EACH]

SAID = {
    "crawler.py": (
        "/bread: 1200 bytes\n/cheese: 34000 bytes\n/wine: 560000 bytes\n3 pages in (?P<seconds>[\\d.]+) s\n"
    ),
    "eat_play_gevent.py": (
        "Ada eats 1\nAda plays 1\nAda plays 2\nAda eats 2\nboth took [\\d.]+ s, and not 0.6 s\n"
    ),
    "eat_play_patched.py": (
        "Dummy-1: eat 1\nDummy-2: play 1\nDummy-2: play 2\nDummy-1: eat 2\nMainThread: done\n"
    ),
    "eat_play_switch.py": (
        "eat: an apple\n"
        "play: with a ball\n"
        "eat: done, play asks for a kite\n"
        "play: with a kite\n"
        "eat: done, play found a friend\n"
        "main: eat is full\n"
    ),
    "generator_cost.py": (
        r"serially: sum (\d+), [\d.]+ ms, (9999|200000) held at once\n"
        r"in_turns: sum \1, [\d.]+ ms, 1 held at once\n"
    ),
    "processes_threads_greenlets.py": r"2 processes, 4 hubs, 200 greenlets: (?P<seconds>[\d.]+) s\n",
    "switch_cost.py": r" serially: +[\d.]+ ms, sum (\d+)\n in_turns: +[\d.]+ ms, sum \1\none switch: -?\d+ ns\n",
    "ten_tasks.py": (
        rf"synchronous: [\d.]+ s\n  order {re.escape(_ONE_BY_ONE)}\n  values {re.escape(str(_VALUES))}\n"
        rf"asynchronous: (?P<seconds>[\d.]+) s\n  order {re.escape(_AT_ONCE)}\n  values {re.escape(str(_VALUES))}\n"
    ),
    "twenty_tasks.py": re.escape(f"20 tasks took 80 turns: {[3 * number for number in range(20)]}\n"),
}

#: What they would take one after the other, in seconds.
SERIALLY = {"crawler.py": 3 * 0.5, "processes_threads_greenlets.py": 200 * 0.2, "ten_tasks.py": 10 * 0.1}


@pytest.fixture(scope="session")
def stand_in_python(compat_python: Path) -> Path:
    """The Python of an environment where both distributions of ``compat/`` stand in, and ``requests`` is."""
    packages = [str(ROOT / "compat" / "gevent"), "requests>=2.31,<3"]
    installed = run(compat_python, "-m", "pip", "install", *packages, seconds=240)
    assert installed.returncode == 0, installed.stderr
    return compat_python


@pytest.fixture(params=["by the program's name", "by a launcher", "by the stand-in distributions"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command that runs an example which is put behind it."""
    if request.param == "by the program's name":
        return [sys.executable, "-m", "greenloom"]
    if request.param == "by the stand-in distributions":
        return [str(request.getfixturevalue("stand_in_python"))]
    launcher = tmp_path / "launcher.py"
    launcher.write_text(LAUNCHER)
    return [sys.executable, str(launcher)]


@pytest.mark.parametrize("script", sorted(SAID))
def test_an_example_runs_and_says_what_it_shows(way: list[str], script: str) -> None:
    # An odd count, while the default is even: either greenlet is the last one once.
    count = ["9999"] if script.endswith("_cost.py") else []
    said = re.fullmatch(SAID[script], output(*way, EXAMPLES / script, *count))
    assert said
    if script in SERIALLY:
        assert float(said["seconds"]) < SERIALLY[script]


@pytest.mark.parametrize("script", ["generator_cost.py", "switch_cost.py"])
def test_a_cost_needs_no_arguments(script: str) -> None:
    assert re.fullmatch(SAID[script], output(sys.executable, "-m", "greenloom", EXAMPLES / script))


def test_every_example_is_run() -> None:
    assert set(SCRIPTS) == SAID.keys() | {SERVER.name, CLIENT.name, NATIVE.name}


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_is_short_and_listed_and_knows_nothing_of_greenloom(script: str) -> None:
    text = (EXAMPLES / script).read_text()
    assert text.count("\n") < 60
    assert "greenloom" not in text
    assert f"`{script}" in (EXAMPLES / "README.md").read_text()


def test_the_demo_runs_them() -> None:
    said = output(ROOT / "ci" / "demo-python.sh", sys.executable)
    assert said.count("500 answers are right") == 2
    assert said.endswith("of them at once\n")


class Server:
    """A running upper_server.py."""

    def __init__(self, process: subprocess.Popen[str], port: str) -> None:
        self.port = port
        self._process = process

    def end(self, number: signal.Signals) -> str:
        """Send it the signal, and return what it says at its end, which has to be a good one."""
        self._process.send_signal(number)
        said, errors = self._process.communicate()
        assert (self._process.returncode, errors) == (0, "")
        return said


@contextmanager
def upper_server(way: list[str]) -> Iterator[Server]:
    """A server that is there while the block runs, for at most a minute."""
    with subprocess.Popen(
        [*way, str(SERVER)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        limit = threading.Timer(60, process.kill)
        limit.start()
        try:
            assert process.stdout
            listening = re.fullmatch(r"listening on port (\d+)\n", process.stdout.readline())
            assert listening
            yield Server(process, listening[1])
        finally:
            limit.cancel()
            process.kill()


@pytest.mark.parametrize(("options", "threads"), [([], 500), (["--patched"], 1)])
def test_500_connections_are_served_at_once(way: list[str], options: list[str], threads: int) -> None:
    with upper_server(way) as server:
        said = output(*way, CLIENT, server.port, *options)
        assert re.fullmatch(
            rf"500 connections are open; threads of the system: {threads}\n"
            r"500 answers are right, in [\d.]+ s\n",
            said,
        )
        assert server.end(signal.SIGTERM) == "500 connections, 500 of them at once\n"


def test_ctrl_c_ends_the_server_and_its_connections(way: list[str]) -> None:
    with (
        upper_server(way) as server,
        socket.create_connection(("127.0.0.1", int(server.port)), timeout=30) as client,
    ):
        client.sendall(b"some words")
        assert client.recv(100) == b"SOME WORDS"
        assert server.end(signal.SIGINT) == "1 connections, 1 of them at once\n"
        assert client.recv(100) == b""


def test_a_client_that_vanishes_does_not_disturb_the_server(way: list[str]) -> None:
    with upper_server(way) as server:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", int(server.port)), timeout=30) as client:
                # Closing sends a reset instead of the end.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
                client.sendall(b"x")
                client.recv(1)
        output(*way, CLIENT, server.port, "--threads", "2")
        assert server.end(signal.SIGTERM).startswith("5 connections")


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port of this process that nobody can listen on, and nobody listens on."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed


def test_the_server_takes_the_port_that_it_is_told(taken: socket.socket) -> None:
    refused = run(sys.executable, "-m", "greenloom", SERVER, str(taken.getsockname()[1]))
    assert refused.returncode == 1
    assert os.strerror(errno.EADDRINUSE) in refused.stderr


@pytest.mark.parametrize("options", [[], ["--patched"]])
def test_the_client_fails_if_nobody_listens(taken: socket.socket, options: list[str]) -> None:
    failed = run(sys.executable, "-m", "greenloom", CLIENT, str(taken.getsockname()[1]), *options)
    assert failed.returncode == 1
    assert failed.stdout.startswith("0 answers are right")
    assert re.fullmatch(r"client_500.py: ConnectionRefusedError\(.*\)\n", failed.stderr)


@pytest.mark.parametrize("options", [[], ["--patched"]])
def test_the_client_fails_if_an_answer_is_wrong(options: list[str]) -> None:
    def echo() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        server = threading.Thread(target=echo)
        server.start()
        port = str(listener.getsockname()[1])
        failed = run(sys.executable, "-m", "greenloom", CLIENT, port, "--threads", "1", *options)
        server.join()
    assert (failed.returncode, failed.stderr) == (1, "client_500.py: a wrong answer\n")


@pytest.mark.parametrize(
    "arguments", [[], ["x"], ["0"], ["65536"], ["8000", "--threads", "0"], ["8000", "--patch-all"]]
)
def test_the_client_refuses_arguments_that_make_no_sense(arguments: list[str]) -> None:
    refused = run(sys.executable, "-m", "greenloom", CLIENT, *arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("usage: client_500.py [-h] [--patched] [--threads N] port\n")


@pytest.mark.parametrize("program", [SERVER, CLIENT])
def test_help_is_there(program: Path) -> None:
    said = output(sys.executable, "-m", "greenloom", program, "--help")
    assert said.startswith(f"usage: {program.name} [-h] ")
    assert ("client_500.py 8000 --patched" if program == CLIENT else "Ctrl-C or SIGTERM ends it") in said


def test_the_stand_in_has_the_objects_of_greenloom(compat_python: Path) -> None:
    code = """
import greenlet, greenlet._greenlet as inner, greenloom.greenlet as ours
assert "greenloom" not in greenlet.__file__ and greenlet.__path__
for theirs, own in (greenlet, ours), (inner, ours._greenlet):
    for name in dir(own):
        if (name == "_C_API" or name[0] != "_") and name not in ("Any", "TYPE_CHECKING", "annotations"):
            assert getattr(theirs, name) is getattr(own, name), name
assert greenlet._greenlet is inner and greenlet.__all__ == ours.__all__
print(greenlet.__version__)
"""
    assert output(compat_python, "-c", code) == "3.5.6\n"


def test_the_stand_in_is_greenlet_for_pip_and_needs_only_greenloom(compat_python: Path) -> None:
    assert output(compat_python, "-m", "pip", "check", "--disable-pip-version-check")
    code = "from importlib import metadata as m; print(m.version('greenlet'), m.requires('greenlet'))"
    expected = f"3.5.6+greenloom.{greenloom.__version__} ['greenloom']\n"
    assert output(compat_python, "-c", code) == expected
    assert output(compat_python, "-c", "import greenloom; greenloom.install_as_gevent(); " + code) == expected


def test_the_stand_in_and_the_alias_agree_in_one_process(compat_python: Path) -> None:
    code = """
import greenlet, greenloom
greenloom.install_as_gevent()
import greenlet._greenlet
assert greenlet.greenlet is greenlet._greenlet.greenlet is greenloom.greenlet.greenlet
"""
    assert output(compat_python, "-W", "error", "-c", code) == ""

"""Cooperative child processes: the standard Popen and functions, in which only the current greenlet waits."""

from __future__ import annotations

import os
import subprocess as standard
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

import greenloom
from greenloom import Timeout, sleep, spawn, subprocess

PIPE = subprocess.PIPE


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    with Timeout(20, ref=False):
        yield


def test_only_the_one_who_waits_for_it_waits() -> None:
    ran: list[int] = []
    spawn(ran.append, 1)
    assert subprocess.call(["sleep", "0.05"]) == 0
    assert ran == [1]


def test_many_run_at_once() -> None:
    start = monotonic()
    running = [spawn(subprocess.call, ["sleep", "0.3"]) for _ in range(5)]
    assert [one.get() for one in running] == [0] * 5
    assert monotonic() - start < 1.2


def test_communicate_feeds_and_reads_all_streams() -> None:
    program = "import sys; data = sys.stdin.read(); sys.stdout.write(data); sys.stderr.write(data[:3])"
    with subprocess.Popen([sys.executable, "-c", program], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        data = b"abc" * 100_000
        assert process.communicate(data) == (data, b"abc")
        assert process.returncode == 0


def test_run_with_a_timeout_returns_after_the_timeout_and_not_after_the_child() -> None:
    start = monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        subprocess.run("echo early; sleep 5; echo late", shell=True, timeout=0.3, stdout=PIPE)
    assert monotonic() - start < 3
    assert caught.value.stdout == b"early\n"


@pytest.mark.parametrize("timeout", [-1, 0, 0.1])
@pytest.mark.parametrize("stdout", [None, PIPE])
def test_what_expires_tells_the_timeout_that_was_asked_for(timeout: float, stdout: int | None) -> None:
    with pytest.raises(subprocess.TimeoutExpired, match=f" {timeout} seconds") as caught:
        subprocess.run(["sleep", "5"], timeout=timeout, stdout=stdout)
    assert caught.value.timeout == timeout


def test_after_a_timeout_communicate_goes_on_where_it_was() -> None:
    with subprocess.Popen("echo one; sleep 0.3; echo two", shell=True, stdout=PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.1)
        assert process.communicate()[0] == b"one\ntwo\n"


def test_text_is_decoded_and_lines_are_read_as_they_come() -> None:
    with subprocess.Popen(
        ["cat"], stdin=PIPE, stdout=PIPE, text=True, bufsize=1, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in ("zwölf\n", "noch eine\n"):
            process.stdin.write(line)
            assert process.stdout.readline() == line


def test_unbuffered_input_is_written_whole() -> None:
    with subprocess.Popen(["wc", "-c"], stdin=PIPE, stdout=PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdin.write(b"x" * 300_000) == 300_000
        assert process.communicate()[0].strip() == b"300000"


def test_wait_and_poll_know_the_exit_code() -> None:
    process = subprocess.Popen("exit 7", shell=True)
    assert process.wait() == process.poll() == process.returncode == 7
    process = subprocess.Popen(["sleep", "5"])
    assert process.poll() is None
    for timeout in (0, 0.01):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout)
    process.terminate()
    assert process.wait() == -15
    process.kill()


def test_polling_alone_sees_the_end() -> None:
    process = subprocess.Popen(["true"])
    while process.poll() is None:
        pass
    assert process.returncode == 0


def test_a_process_can_be_waited_for_with_other_objects() -> None:
    process = subprocess.Popen(["sleep", "0.05"])
    assert greenloom.wait([process], timeout=5) == [process]
    assert process.returncode == 0


def test_the_functions_check_and_capture() -> None:
    assert subprocess.check_output(["echo", "x"], text=True) == "x\n"
    assert subprocess.getstatusoutput("echo y; exit 2") == (2, "y")
    done = subprocess.run(["cat"], input=b"in", capture_output=True, check=True)
    assert isinstance(done, standard.CompletedProcess)
    assert done.stdout == b"in"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.check_call(["false"])
    assert caught.value.returncode == 1


def test_a_program_that_is_not_there_is_the_systems_error_and_leaks_nothing() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - not a directory of files
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            subprocess.Popen(["/no/such/program"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_the_child_gets_blocking_streams() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    with subprocess.Popen(["cat"], stdin=read, stdout=PIPE) as process:
        os.close(read)
        sleep(0.05)
        assert process.poll() is None
        os.write(write, b"late")
        os.close(write)
        assert process.communicate()[0] == b"late"


def test_leaving_the_block_ends_a_foreign_reader_too() -> None:
    with subprocess.Popen(["sleep", "100"], stdout=PIPE) as process:
        assert process.stdout is not None
        reader = spawn(process.stdout.read)
        sleep(0.01)
        process.kill()
    assert process.stdout.closed
    assert reader.get() == b""


def test_the_kill_of_the_one_who_communicates_leaves_the_process() -> None:
    with subprocess.Popen(["sleep", "100"], stdout=PIPE) as process:
        talking = spawn(process.communicate)
        sleep(0.01)
        talking.kill()
        assert process.poll() is None
        process.kill()
    assert process.returncode == -9


def test_it_works_in_a_thread_of_its_own() -> None:
    got: list[Any] = []

    def other() -> None:
        got.append(subprocess.check_output(["echo", "x"]))
        greenloom.get_hub().destroy()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(10)
    assert got == [b"x\n"]


def test_the_patched_module_is_the_standard_one_with_this_popen(tmp_path: Path) -> None:
    program = """
from greenloom import monkey; monkey.patch_all()
import subprocess, greenloom
assert subprocess.Popen is greenloom.subprocess.Popen
greenloom.spawn(print, "others run")
print(subprocess.run(["sh", "-c", "sleep .1; echo done"], capture_output=True, text=True).stdout, end="")
# The standard library starts this one by os.posix_spawn, which is patched as well.
print(subprocess.call(["/bin/sh", "-c", "exit 3"], close_fds=False))
"""
    path = tmp_path / "program.py"
    path.write_text(program)
    done = standard.run([sys.executable, str(path)], capture_output=True, text=True, timeout=30)
    assert done.stdout == "others run\ndone\n3\n", done.stderr

"""Cooperative file objects: the arguments and methods of ``open``, on pipes and on files."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import greenloom
from greenloom import Timeout, sleep, spawn
from greenloom.fileobject import FileObject, FileObjectBlock, FileObjectPosix, FileObjectThread
from greenloom.lock import Semaphore

kinds = pytest.mark.parametrize("kind", [FileObjectPosix, FileObjectThread, FileObjectBlock])
cooperative = pytest.mark.parametrize("kind", [FileObjectPosix, FileObjectThread])


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    with Timeout(10, ref=False):
        yield


@cooperative
def test_only_the_reader_waits(kind: Any) -> None:
    read, write = os.pipe()
    with kind(read, "r") as reader, kind(write, "w") as writer:
        reading = spawn(reader.readline)
        sleep(0.01)
        assert not reading.ready()
        writer.write("line\n")
        writer.flush()
        assert reading.get() == "line\n"


@kinds
def test_a_file_is_what_open_makes_of_it(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with kind(path, "w", encoding="utf-8", newline="\r\n") as file:
        assert file.write("ä\nzwei\n") == 7
        assert file.name == str(path)
    assert path.read_bytes() == "ä\r\nzwei\r\n".encode()
    with kind(str(path), encoding="utf-8") as file:
        assert list(file) == ["ä\n", "zwei\n"]
    with kind(path, "rb") as file:
        assert file.seek(2) == file.tell() == 2
        assert file.read1(2) == b"\r\n"
        buffer = bytearray(4)
        assert file.readinto(buffer) == 4
        assert bytes(buffer) == b"zwei"
        assert file.readable()
        assert not file.writable()


@kinds
def test_a_closed_one_keeps_its_name_and_refuses_the_rest(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    file = kind(path)
    assert not file.closed
    file.close()
    file.close()
    assert file.closed
    assert file.name == str(path)
    with pytest.raises(OSError, match="closed"):
        file.read()


@kinds
def test_the_descriptor_may_be_left_open(kind: Any) -> None:
    read, write = os.pipe()
    with kind(write, "wb", closefd=False) as file:
        file.write(b"x")
    if kind is FileObjectThread:
        # It does not flush what it does not close in the thread.
        file = None
    os.write(write, b"y")
    os.close(write)
    with kind(read, "rb") as reader:
        assert reader.read() == b"xy"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"mode": 42}, TypeError),
        ({"mode": "rw"}, ValueError),
        ({"mode": "rtb"}, ValueError),
        ({"mode": "+"}, ValueError),
        ({"mode": "rb", "encoding": "ascii"}, ValueError),
        ({"buffering": "many"}, TypeError),
        ({"buffering": 1, "bufsize": 1}, TypeError),
        ({"closefd": True, "close": True}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        FileObject(0, **arguments)


def test_close_ends_the_wait_of_a_raw_reader() -> None:
    read, write = os.pipe()
    file = FileObjectPosix(read, "rb", 0)
    assert file.fileio is not None
    reading = spawn(file.fileio.read, 1)
    sleep(0)
    file.close()
    with pytest.raises(OSError, match="closed in another greenlet"):
        reading.get()
    os.close(write)


def test_an_object_with_a_descriptor_is_used_and_closed_with_us() -> None:
    read, write = os.pipe()
    os.close(write)
    raw = io.FileIO(read)
    with FileObjectPosix(raw, "rb") as file:
        assert file.read() == b""
    assert raw.closed


def test_a_big_write_is_written_whole() -> None:
    read, write = os.pipe()
    data = b"x" * 1_000_000
    with FileObjectPosix(read, "rb") as reader, FileObjectPosix(write, "wb") as writer:
        writing = spawn(lambda: (writer.write(data), writer.close()))
        assert reader.read() == data
        writing.get()


def test_a_pipe_may_be_read_in_another_thread() -> None:
    read, write = os.pipe()
    file = FileObjectPosix(read, "rb", 0)
    got: list[bytes] = []

    def other() -> None:
        got.append(file.read(1))
        greenloom.get_hub().destroy()

    thread = threading.Thread(target=other)
    thread.start()
    sleep(0.05)
    os.write(write, b"x")
    thread.join(5)
    assert got == [b"x"]
    os.close(write)
    file.close()


def test_the_methods_of_the_threaded_one_take_their_turn(tmp_path: Path) -> None:
    lock = Semaphore()
    with FileObjectThread(tmp_path / "file", "w", lock=lock) as file:
        with lock:
            writing = spawn(file.write, "x")
            sleep(0.01)
            assert not writing.ready()
        assert writing.get() == 1
    with pytest.raises(TypeError):
        FileObjectThread(tmp_path / "file", lock=42)

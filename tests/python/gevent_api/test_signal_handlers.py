"""``signal_handler``: a function in a greenlet of its own for each signal, until it is cancelled."""

from __future__ import annotations

import os
import signal
from io import StringIO

import pytest

import greenloom
from greenloom import signal_handler, sleep


def test_the_handler_runs_in_a_greenlet_and_may_wait() -> None:
    got: list[str] = []

    def handler(word: str, end: str = "") -> None:
        sleep(0.001)
        got.append(word + end)

    watching = signal_handler(signal.SIGUSR1, handler, "hello", end="!")
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        sleep(0.05)
    finally:
        watching.cancel()
        watching.cancel()
    assert got == ["hello!"]


def test_it_does_not_keep_the_loop_running_unless_asked_to() -> None:
    watching = signal_handler(signal.SIGUSR1, int)
    try:
        assert watching.ref is False
        assert greenloom.wait() is True
        watching.ref = True
        assert greenloom.wait(timeout=0.001) is False
    finally:
        watching.cancel()


def test_an_error_in_the_handler_is_raised_in_the_main_greenlet(printed: StringIO) -> None:
    watching = signal_handler(signal.SIGUSR1, lambda: 1 / 0)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(ZeroDivisionError):
            sleep(1)
    finally:
        watching.cancel()
    assert "ZeroDivisionError" in printed.getvalue()


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="callable"):
        signal_handler(signal.SIGUSR1, None)  # type: ignore[arg-type]

"""A C library calls libc again and again, and never has to wait. An operation is one call.

Without the GIL: that is when a hook might park the greenlet, and so has to find out whether it may. The library is
compiled here. What is measured beside is the same library with libc in its table.
"""

import ctypes
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from measure import Asked, ask, timed

# A whole number of the library's parts, so that nothing is left in a pipe.
CALLS = 4096
NAME = "libhooked"


def library() -> ctypes.CDLL:
    """Compiles and loads it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"{NAME}.so"
        source = Path(__file__).with_suffix(".c")
        words = ["cc", "-O2", "-shared", "-fPIC", "-pthread", "-o", str(path), str(source)]
        subprocess.run(words, check=True)
        return ctypes.CDLL(str(path))


def runner(call: str) -> Callable[[int], None]:
    """A function that has the library call so many times."""
    function = library()[f"call_{call.partition('-')[0]}"]
    function.argtypes = (ctypes.c_int,) * 3
    here, there = socket.socketpair()
    if call == "recv":
        there.send(b"x")
    ends = os.pipe() if call == "read-pipe" else (here.detach(), there.detach())

    def run(turns: int) -> None:
        for _ in range(turns):
            if function(*ends, CALLS):
                raise RuntimeError(f"{call} has failed")

    return run


def measure(asked: Asked, run: Callable[[int], None]) -> None:
    """Measures in a greenlet or a thread; prints the sample and ends the process.

    Where there are no greenlets it is the main thread instead: beside a second thread each call costs the kernel more.
    """
    if asked.name != "libc":
        greenloom = asked.module
        greenloom.get_hub()
        from greenloom import monkey

        if not any(NAME in name for name in monkey.patch_native([NAME])):
            raise RuntimeError("the library was not patched")
        if asked.words[1] == "greenlet":
            greenloom.spawn(timed, asked, run, CALLS).get()
    elif asked.words[1] == "greenlet":
        timed(asked, run, CALLS)
    thread = threading.Thread(target=timed, args=(asked, run, CALLS))
    thread.start()
    thread.join()


if __name__ == "__main__":
    asked = ask()
    measure(asked, runner(asked.words[0]))

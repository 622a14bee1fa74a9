"""A watchdog names what keeps a hub from turning, in C and in Python, and is silent as long as nothing does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from greenloom import watchdog
from programs import run
from slow_library import PRELUDE, environment

STALL = "has not turned for"


def told(code: str, tmp_path: Path, **variables: str) -> str:
    """Run a program and return what the watchdog said."""
    program = tmp_path / "program.py"
    program.write_text(f"{PRELUDE}\nfrom greenloom import watchdog\n{code}\n")
    done = run(sys.executable, str(program), env=environment() | variables, seconds=30)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("library", ["held", "slow"])
def test_a_call_of_c_is_named_with_the_line_that_called_it(library: str, tmp_path: Path) -> None:
    """Whether it holds the GIL or the library is not patched."""
    text = told(
        f"""
watchdog.start(0.1)
def handler():
    {library}.slow_sleep(0.6)
gevent.spawn(handler).join()
""",
        tmp_path,
    )
    assert text.count(STALL) == 1, text
    blocked, called = text.index("blocked in: "), text.index("called by: ")
    assert "sleep" in text[blocked:called]
    assert "slow_sleep (libslow.so.1)" in text[called:]
    assert "program.py:" in text
    assert " in handler" in text
    assert "doctor" in text


@pytest.mark.parametrize("on_another_thread", [False, True])
def test_a_computation_is_named_with_its_line(on_another_thread: bool, tmp_path: Path) -> None:
    text = told(
        f"""
watchdog.start(0.1)
def work():
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        pass
def main():
    gevent.sleep(0.01)
    gevent.spawn(work).join()
if {on_another_thread}:
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
else:
    main()
""",
        tmp_path,
    )
    assert text.count(STALL) == 1, text
    assert "it is computing" in text
    assert " in work" in text


def test_a_patched_library_and_an_idle_hub_are_silent(tmp_path: Path) -> None:
    text = told(
        """
watchdog.start(0.2)
monkey.patch_native(["libslow"])
gevent.joinall([gevent.spawn(slow.slow_sleep, 1) for _ in range(10)])
gevent.sleep(0.5)
""",
        tmp_path,
    )
    assert text == ""


def test_it_can_be_stopped_and_started_again(tmp_path: Path) -> None:
    text = told(
        """
watchdog.start(0.1)
watchdog.start(0.1)
gevent.sleep(0)
watchdog.stop()
watchdog.stop()
held.slow_sleep(0.4)
gevent.sleep(0)
print("stopped", file=sys.stderr, flush=True)
watchdog.start(0.1)
gevent.spawn(held.slow_sleep, 0.4).join()
""",
        tmp_path,
    )
    stopped, again = text.split("stopped\n")
    assert stopped == ""
    assert again.count(STALL) == 1


def test_the_environment_can_ask_for_it(tmp_path: Path) -> None:
    text = told("gevent.spawn(held.slow_sleep, 0.6).join()", tmp_path, GREENLOOM_WATCHDOG="0.1")
    assert text.count(STALL) == 1


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "1e9", "0,1", "100ms", ""])
@pytest.mark.parametrize("words", [(), ("-m", "greenloom")])
def test_the_environment_is_told_of_nonsense(value: str, words: tuple[str, ...], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"{PRELUDE}\nmonkey.patch_all()\ntime.sleep(0)\nprint('ran')\n")
    variables = environment() | {"GREENLOOM_WATCHDOG": value}
    done = run(sys.executable, *words, str(program), env=variables, seconds=30)
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert done.stderr.count(f"GREENLOOM_WATCHDOG={value!r}") == 1, done.stderr


@pytest.mark.parametrize("after", [0, -1, float("nan"), 1e9])
def test_nonsense_is_refused(after: float) -> None:
    with pytest.raises(ValueError, match="a watchdog waits between"):
        watchdog.start(after)


def test_a_forked_child_is_not_watched_and_ends(tmp_path: Path) -> None:
    text = told(
        """
watchdog.start(0.1)
gevent.sleep(0)
child = os.fork()
if child == 0:
    held.slow_sleep(0.3)
    gevent.sleep(0)
    watchdog.stop()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
gevent.sleep(0)
""",
        tmp_path,
    )
    assert text.count(STALL) <= 1, text

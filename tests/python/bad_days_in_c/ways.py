"""What happens to a greenlet while a C library waits in it, and what is to come of that."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import greenloom
from bad_days_in_c.calls import NOTHING, Call, Setting, Wait
from greenloom import Greenlet, GreenletExit, Timeout, get_hub, monkey, sleep, spawn
from greenloom.exceptions import InvalidSwitchError
from greenloom.greenlet import greenlet as RawGreenlet

#: Within this many seconds everything has to come.
SOON = 20


class Unwanted(Exception):
    """What a greenlet is ended with where GreenletExit would not do."""


def let_run(seconds: float = 0.003) -> None:
    """Let others come to where they wait."""
    for _ in range(3):
        sleep(0)
    sleep(seconds)


class Victim:
    """A greenlet in the call, and what was raised in it there."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.raised: BaseException | None = None
        self.greenlet: Greenlet = spawn(self._suffer)
        let_run()
        self.check_waits()

    def _suffer(self) -> int | None:
        try:
            return self.call()
        except BaseException as error:
            self.raised = error
            return None

    def check_waits(self) -> None:
        """See that it is in the call still."""
        assert not self.greenlet.ready(), f"it does not wait: {self.raised!r}, {self.call.told.value}"
        assert self.call.told.value == NOTHING, self.call.told.value

    def check_returned(self, result: int) -> None:
        """See that the call has returned that."""
        self.greenlet.join(timeout=SOON)
        assert self.greenlet.ready(), "it waits still"
        assert self.raised is None, repr(self.raised)
        assert self.greenlet.value == result == self.call.told.value, (
            self.greenlet.value,
            self.call.told.value,
        )


def check_interrupted(wait: Wait, victim: Victim) -> None:
    """See that C was told, and that it can be waited for once more."""
    if wait.insists:
        let_run()
        victim.check_waits()
        wait.finish()
    victim.greenlet.join(timeout=SOON)
    assert victim.greenlet.ready(), "it waits still"
    expected = wait.result if wait.insists else wait.interrupted
    assert victim.call.told.value == expected, victim.call.told.value
    if wait.again and not wait.insists:
        check_again(wait)


def check_again(wait: Wait) -> None:
    wait.call.told.value = NOTHING
    other = Victim(wait.brief or wait.call)
    wait.finish()
    other.check_returned(wait.result)


def kill(wait: Wait) -> None:
    victim = Victim(wait.call)
    victim.greenlet.kill(block=False)
    check_interrupted(wait, victim)
    assert isinstance(victim.raised, GreenletExit), repr(victim.raised)


def kill_with_an_error(wait: Wait) -> None:
    victim, error = Victim(wait.call), Unwanted()
    victim.greenlet.kill(error, block=False)
    check_interrupted(wait, victim)
    assert victim.raised is error, repr(victim.raised)


def time_out_in_main(wait: Wait) -> None:
    if wait.insists:
        greenloom.spawn_later(0.05, wait.finish)
    try:
        with Timeout(0.01) as limit:
            wait.call()
    except Timeout as error:
        raised = error
    else:
        raise AssertionError("no Timeout")
    assert raised is limit, repr(raised)
    expected = wait.result if wait.insists else wait.interrupted
    assert wait.call.told.value == expected, wait.call.told.value
    if wait.again and not wait.insists:
        check_again(wait)


@contextmanager
def handling(number: int, handle: Callable[[], object]) -> Iterator[None]:
    before = signal.signal(number, lambda *_: handle())
    try:
        yield
    finally:
        signal.signal(number, before)


def signalled(wait: Wait) -> None:
    """While the hub sleeps: the handler runs at once, and the call goes on."""
    victim, seen = Victim(wait.brief or wait.call), []

    def handle() -> None:
        seen.append(victim.greenlet.ready())
        wait.finish()

    with handling(signal.SIGALRM, handle):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        victim.check_returned(wait.result)
    assert seen == [False], seen


def signalled_in_main(wait: Wait) -> None:
    call = wait.brief or wait.call
    seen: list[int] = []

    def handle() -> None:
        seen.append(call.told.value)
        wait.finish()

    with handling(signal.SIGALRM, handle):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        result = call()
    assert result == wait.result, result
    assert seen == [NOTHING], seen


def stormed(wait: Wait) -> None:
    """By signals that come one after the other."""
    victim, seen = Victim(wait.brief or wait.call), []
    with handling(signal.SIGALRM, lambda: seen.append(1)):
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        while len(seen) < 20 and (wait.brief or not victim.greenlet.ready()):
            sleep(0.001)
        wait.finish()
        victim.check_returned(wait.result)
        signal.setitimer(signal.ITIMER_REAL, 0)
        let_run()


def interrupted_in_main(wait: Wait) -> None:
    """By Ctrl-C."""
    get_hub().exception_stream = None
    if wait.insists:
        greenloom.spawn_later(0.1, wait.finish)
    thread = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    thread.start()
    try:
        wait.call()
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("no KeyboardInterrupt")
    finally:
        thread.join()
    expected = wait.result if wait.insists else wait.interrupted
    assert wait.call.told.value == expected, wait.call.told.value
    if wait.again and not wait.insists:
        check_again(wait)


def forked(wait: Wait) -> None:
    """The child has a hub that works, and the parent's call goes on."""
    victim = Victim(wait.brief or wait.call)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            check_works()
            if not wait.insists:
                victim.greenlet.kill(timeout=SOON)
                assert victim.greenlet.ready()
                check_works()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0) == (pid, 0), "the child failed"
    wait.finish()
    victim.check_returned(wait.result)


def check_works() -> None:
    """See that greenlets run, and wait in C."""
    assert spawn(lambda: 42).get(timeout=SOON) == 42
    mine, theirs = os.pipe()
    sleepers = [spawn(Call("in_nanosleep", 0.01)) for _ in range(5)]
    reader = spawn(Call("in_read", mine))
    let_run()
    assert not reader.ready()
    os.write(theirs, b"x")
    assert reader.get(timeout=SOON) == 1
    assert [one.get(timeout=SOON) for one in sleepers] == [0] * 5
    os.close(mine)
    os.close(theirs)


def closed(wait: Wait) -> None:
    """By another greenlet, and its number is another file's at once."""
    if wait.fd >= 0:
        check_closed(wait, lambda: Call("in_close", wait.fd)())


def closed_by_a_thread(wait: Wait) -> None:
    def close() -> None:
        thread = threading.Thread(target=Call("in_close", wait.fd))
        thread.start()
        thread.join()

    if wait.fd >= 0:
        check_closed(wait, close)


def check_closed(wait: Wait, close: Callable[[], object]) -> None:
    victim = Victim(wait.call)
    close()
    null = os.open("/dev/null", os.O_RDWR)
    if null != wait.fd:
        os.dup2(null, wait.fd)
        os.close(null)
    victim.check_returned(wait.closed)
    os.close(wait.fd)


def unpatched(wait: Wait) -> None:
    """The call that waits goes on, and so does the next, which is libc's."""
    victim = Victim(wait.brief or wait.call)
    monkey.unpatch_native()
    try:
        if wait.call.name == "in_condition":
            # It is libc that waits for it from here on, and with it the thread.
            threading.Timer(0.05, wait.finish).start()
        else:
            wait.finish()
        victim.check_returned(wait.result)
    finally:
        monkey.patch_native([os.environ["WAITS_LIBRARY"]])


def switched_to(wait: Wait) -> None:
    victim = Victim(wait.call)
    get_hub().loop.run_callback(victim.greenlet.switch, "nothing")
    check_interrupted(wait, victim)
    assert isinstance(victim.raised, InvalidSwitchError), repr(victim.raised)


def thrown_at(wait: Wait) -> None:
    victim, error = Victim(wait.call), Unwanted()
    get_hub().loop.run_callback(victim.greenlet.throw, error)
    check_interrupted(wait, victim)
    assert victim.raised is error, repr(victim.raised)


def thrown_at_raw(wait: Wait) -> None:
    """A greenlet that no hub has made."""
    raw = RawGreenlet(wait.call)
    greenloom.spawn_later(0.005, raw.throw, Unwanted)
    if wait.insists:
        greenloom.spawn_later(0.05, wait.finish)
    try:
        raw.switch()
    except Unwanted:
        pass
    else:
        raise AssertionError("nothing was raised")
    expected = wait.result if wait.insists else wait.interrupted
    assert wait.call.told.value == expected, wait.call.told.value
    assert raw.dead


#: By name.
WAYS: dict[str, Callable[[Wait], None]] = {
    "killed": kill,
    "killed with an error": kill_with_an_error,
    "timed out in main": time_out_in_main,
    "signalled": signalled,
    "signalled in main": signalled_in_main,
    "in a storm of signals": stormed,
    "interrupted in main": interrupted_in_main,
    "forked": forked,
    "closed": closed,
    "closed by a thread": closed_by_a_thread,
    "unpatched": unpatched,
    "switched to": switched_to,
    "thrown at": thrown_at,
    "thrown at, and no hub has made it": thrown_at_raw,
}


def try_one(setting: Setting, way: Callable[[Wait], None]) -> None:
    """Let it happen, and see that nothing is left behind."""
    with Timeout(2 * SOON, AssertionError("it hangs"), ref=False), turning():
        before = open_descriptors(), get_hub().loop.activecnt
        with contextmanager(setting)() as wait:
            way(wait)
        for _ in range(1000):
            # Fewer descriptors than before: what the one before this has left was closed late.
            if open_descriptors() <= before[0] and get_hub().loop.activecnt == before[1]:
                return
            let_run()
        after = open_descriptors(), get_hub().loop.activecnt
        raise AssertionError(f"descriptors and watchers: {before} before, {after} after")


@contextmanager
def turning() -> Iterator[None]:
    """Have the hub turn now and then. A signal that comes just before it falls asleep is seen in its next turn."""
    tick = get_hub().loop.timer(0.25, 0.25, ref=False)
    tick.start(lambda: None)
    try:
        yield
    finally:
        tick.close()


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())

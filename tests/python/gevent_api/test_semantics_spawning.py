"""Spawning, links, waiting and errors, where greenlets observably differ from threads and plain callbacks."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from io import StringIO
from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, getcurrent, iwait, joinall, sleep, spawn, wait
from greenloom.event import Event
from greenloom.exceptions import LoopExit
from greenloom.greenlet import GreenletExit, error as GreenletError
from greenloom.hub import Hub
from programs import run


def sleepers(*seconds: float) -> list[Any]:
    return [spawn(sleep, one) for one in seconds]


# Spawning.


def test_what_is_spawned_meanwhile_comes_after_what_was_spawned_before() -> None:
    order: list[str] = []

    def first() -> None:
        order.append("first")
        spawn(order.append, "child of the first")
        order.append("first goes on")

    last = spawn(lambda: None)
    joinall([last, spawn(first), spawn(order.append, "second")])
    sleep(0)
    assert order == ["first", "first goes on", "second", "child of the first"]


def test_idents_stay_small_however_many_there_were() -> None:
    alive = spawn(sleep, 5)
    highest = 0
    for _ in range(300):
        one = spawn(int)
        highest = max(highest, one.minimal_ident)
        one.join()
        del one
        sleep(0)
    # Other tests of this process may have left some alive.
    assert highest - alive.minimal_ident < 100
    alive.kill()


# Kill.


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize("kind", [GreenletExit, KeyError])
@pytest.mark.parametrize("block", [True, False])
def test_who_kills_itself_ends_at_once_unless_it_asks_to_end_later(
    kind: type[BaseException], block: bool
) -> None:
    reached: list[str] = []

    def work() -> None:
        current: Any = getcurrent()
        try:
            current.kill(kind, block=block)
            reached.append("after the call")
            sleep(5)
            reached.append("after the wait")
        finally:
            reached.append("finally")

    one = spawn(work)
    one.join()
    assert reached == (["finally"] if block else ["after the call", "finally"])
    assert isinstance(one.value if kind is GreenletExit else one.exception, kind)


# Links.


def test_links_are_called_in_a_later_callback_than_the_end() -> None:
    order: list[str] = []
    one = spawn(order.append, "the end")
    one.rawlink(lambda _: order.append("the link"))
    other = spawn(order.append, "another greenlet")
    joinall([one, other])
    assert order == ["the end", "another greenlet", "the link"]


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_a_raw_link_must_not_wait_and_the_others_are_called(seconds: float, printed: StringIO) -> None:
    called: list[Any] = []

    def waiting(source: Any) -> None:
        sleep(seconds)
        called.append("never")

    one = spawn(int)
    one.rawlink(waiting)
    one.rawlink(called.append)
    one.join()
    sleep(0.01)
    assert called == [one]
    assert "BlockingSwitchOutError: Impossible to call blocking function" in printed.getvalue()


# Waiting for several.


def test_count_gives_the_first_to_end_whichever_function_waits() -> None:
    slow, fast, middle = three = sleepers(5, 0.001, 0.02)
    assert list(iwait(three, count=1)) == [fast]
    assert wait(three, count=2) == [fast, middle]
    assert not slow.has_links()
    slow.kill()


def test_wait_returns_what_is_done_when_its_time_is_over() -> None:
    slow, fast = sleepers(5, 0)
    assert wait([slow, fast], timeout=0.02) == [fast]
    assert wait([slow, fast], timeout=0) == [fast]
    slow.kill()
    assert wait([slow, fast], timeout=0) == [slow, fast]


@pytest.mark.usefixtures("printed")
def test_raise_error_raises_the_very_exception_of_the_first_to_fail() -> None:
    def fail(seconds: float) -> None:
        sleep(seconds)
        raise KeyError(seconds)

    late, early = spawn(fail, 0.02), spawn(fail, 0.001)
    with pytest.raises(KeyError) as caught:
        joinall([late, early], raise_error=True)
    assert caught.value is early.exception
    assert not late.ready()
    late.join()
    assert str(late.exception) == "0.02"


# Errors.


def test_the_hub_has_its_lists_of_special_errors() -> None:
    raised_in_main, not_printed = Hub.SYSTEM_ERROR, Hub.NOT_ERROR
    assert raised_in_main == (KeyboardInterrupt, SystemExit, SystemError)
    assert not_printed == (GreenletExit, SystemExit)


@pytest.mark.parametrize(
    ("kind", "is_printed"), [(KeyboardInterrupt, True), (SystemError, True), (SystemExit, False)]
)
def test_a_system_error_is_raised_in_main_and_printed_unless_it_is_no_error(
    kind: type[BaseException], is_printed: bool, printed: StringIO
) -> None:
    def fail() -> None:
        raise kind("up")

    one = spawn(fail)
    with pytest.raises(kind) as caught:
        sleep(5)
    assert caught.value is one.exception
    assert (one.successful(), one.value) == (False, None)
    assert printed.getvalue().rstrip().endswith(f"failed with {kind.__name__}") is is_printed
    assert ("Traceback" in printed.getvalue()) is is_printed
    sleep(0)


def test_the_time_of_an_error_is_that_of_greenwich() -> None:
    code = "import greenloom; greenloom.spawn(int, 'x').join()"
    before = datetime.now(timezone.utc).replace(microsecond=0)
    failed = run(sys.executable, "-c", code, env={"TZ": "XYZ-9"})
    told = re.search(r"^(\S+)Z <Greenlet .*> failed with ValueError$", failed.stderr, re.MULTILINE)
    assert told
    assert before <= datetime.fromisoformat(f"{told[1]}+00:00") <= datetime.now(timezone.utc)


def test_a_deadlock_is_an_ordinary_exception_of_the_main_greenlet_alone() -> None:
    assert LoopExit.__bases__ == (Exception,)
    ended: list[BaseException] = []

    def wait_for_ever() -> None:
        try:
            Event().wait()
        except BaseException as error:
            ended.append(error)
            raise

    one = spawn(wait_for_ever)
    waits: list[Callable[[], object]] = [one.join, one.get, lambda: joinall([one]), lambda: wait([one])]
    for call in waits:
        with pytest.raises(LoopExit):
            call()
    # Who has set itself a limit waits for that.
    assert joinall([one], timeout=0.001) == []
    assert ended == []
    assert not one.ready()
    one.kill()
    assert [type(error) for error in ended] == [GreenletExit]


# Threads.


@pytest.mark.parametrize("method", ["join", "get"])
def test_a_thread_without_a_hub_cannot_wait_for_a_greenlet_of_another(method: str) -> None:
    one = Greenlet.spawn(sleep, 5)
    sleep(0)
    errors: list[BaseException] = []

    def call() -> None:
        try:
            getattr(one, method)()
        except GreenletError as error:
            errors.append(error)
        if greenloom._hub_local.get_hub_if_exists():
            greenloom.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(30)
    assert [str(error).splitlines()[0] for error in errors] == ["Cannot switch to a different thread"]
    assert not one.has_links()
    one.kill()

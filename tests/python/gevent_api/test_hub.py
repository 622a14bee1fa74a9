"""The hub: one for each thread, errors that nobody waits for, its end, and its successor."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, get_hub, getcurrent, sleep, spawn, spawn_raw
from greenloom.exceptions import (
    BlockingSwitchOutError,
    ConcurrentObjectUseError,
    InvalidSwitchError,
)
from greenloom.greenlet import error as GreenletError
from greenloom.hub import Hub, Waiter
from programs import python


def in_a_thread(function: Any) -> Any:
    """Return what ``function`` returns in a thread of its own, whose hub is destroyed afterwards."""
    got: list[Any] = []

    def target() -> None:
        try:
            got.append(function())
        finally:
            get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(30)
    return got.pop()


def test_a_thread_has_one_hub_and_another_thread_another() -> None:
    assert get_hub() is get_hub()
    assert isinstance(get_hub(), Hub)
    other = in_a_thread(get_hub)
    assert other is not get_hub()
    assert get_hub().main_hub
    assert not other.main_hub
    assert other.minimal_ident > get_hub().minimal_ident


def test_a_thread_may_ask_for_another_class_of_hub() -> None:
    from greenloom import _hub_local

    class Other(Hub):
        pass

    def make() -> Any:
        _hub_local._threadlocal.Hub = Other
        return get_hub()

    assert type(in_a_thread(make)) is Other


def test_the_repr_says_what_it_is() -> None:
    hub = get_hub()
    assert re.match(r"<Hub '' at 0x[0-9a-f]+ .*thread_ident=0x[0-9a-f]+>$", repr(hub))


def test_greenlets_of_several_threads_do_not_disturb_each_other() -> None:
    def wait(number: int) -> int:
        sleep(0.001)
        return number

    def work() -> list[Any]:
        return [one.get() for one in [spawn(wait, number) for number in range(10)]]

    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(in_a_thread(work))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [list(range(10))] * 4


def test_joining_a_greenlet_of_another_thread_is_refused() -> None:
    one = spawn(sleep, 5)
    sleep(0)

    def join() -> Any:
        with pytest.raises(GreenletError):
            one.join()
        return one.has_links()

    assert in_a_thread(join) == 0
    one.kill()


def test_hubs_of_finished_threads_are_freed_with_their_descriptors() -> None:
    hubs: list[Any] = []

    def work() -> None:
        hubs.append(weakref.ref(get_hub()))
        spawn(sleep, 0.0001).join()

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    in_a_thread(work)
    before = descriptors()
    for _ in range(20):
        in_a_thread(work)
    gc.collect()
    assert [reference() for reference in hubs] == [None] * 21
    assert descriptors() <= before


def test_waiting_in_a_callback_of_the_loop_is_refused(printed: StringIO) -> None:
    get_hub().loop.run_callback(sleep, 1)
    sleep(0)
    sleep(0)
    assert BlockingSwitchOutError.__name__ in printed.getvalue()


def test_a_callback_that_raises_is_reported_and_the_loop_goes_on(printed: StringIO) -> None:
    get_hub().loop.run_callback(lambda: 1 / 0)
    sleep(0)
    assert spawn(lambda: 5).get() == 5
    assert "ZeroDivisionError" in printed.getvalue()


def test_a_raw_greenlet_that_raises_is_reported(printed: StringIO) -> None:
    spawn_raw(lambda: 1 / 0)
    sleep(0)
    sleep(0)
    assert "ZeroDivisionError" in printed.getvalue()


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, SystemError])
def test_system_errors_are_raised_in_the_main_greenlet(kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("up")

    one = spawn(fail)
    with pytest.raises(kind, match="up"):
        sleep(5)
    assert isinstance(one.exception, kind)
    sleep(0)


def test_the_greenlet_goes_on_if_main_survives_a_system_error(printed: StringIO) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    def report() -> str:
        get_hub().handle_error(None, ValueError, ValueError("no context"), None)
        return "went on"

    one = spawn(report)
    with pytest.raises(ValueError, match="no context"):
        sleep(5)
    assert one.get() == "went on"
    assert "no context" in printed.getvalue()


def test_handle_error_may_be_replaced() -> None:
    errors: list[Any] = []
    get_hub().handle_error = lambda *error: errors.append(error)
    try:
        one = spawn(lambda: 1 / 0)
        one.join()
    finally:
        del get_hub().handle_error
    ((context, kind, value, _),) = errors
    assert context is one
    assert kind is ZeroDivisionError
    assert value is one.exception


def test_errors_are_not_printed_without_a_stream() -> None:
    get_hub().exception_stream = None
    try:
        spawn(lambda: 1 / 0).join()
    finally:
        del get_hub().exception_stream


def test_a_greenlet_that_is_switched_to_by_somebody_else_says_so() -> None:
    def wait() -> None:
        with get_hub().loop.timer(5) as timer:
            get_hub().wait(timer)

    one = spawn(wait)
    sleep(0)
    get_hub().exception_stream = None
    try:
        get_hub().loop.run_callback(one.switch, "wrong")
        with pytest.raises(InvalidSwitchError, match="wrong"):
            one.get()
    finally:
        del get_hub().exception_stream


def test_cancel_wait_raises_in_the_one_that_waits() -> None:
    hub = get_hub()

    def wait() -> str:
        with hub.loop.timer(5) as timer:
            hub.loop.run_callback(hub.cancel_wait, timer, KeyError("cancelled"), True)
            with pytest.raises(KeyError, match="cancelled"):
                hub.wait(timer)
        return "cancelled"

    assert spawn(wait).get() == "cancelled"
    hub.cancel_wait(None, KeyError)


def test_switch_out_is_called_on_the_one_that_leaves() -> None:
    left: list[Any] = []

    class Noting(Greenlet):
        def switch_out(self) -> None:
            left.append(self)

    one = Noting.spawn(sleep, 0)
    one.join()
    assert left == [one]


def test_join_waits_for_the_end_of_all_work_or_for_its_time() -> None:
    ran: list[int] = []
    greenloom.spawn_later(0.01, ran.append, 1)
    hub = get_hub()
    assert hub.join(timeout=0.0001) is False
    assert hub.join() is True
    assert ran == [1]


def test_a_join_is_only_for_the_main_greenlet() -> None:
    get_hub().exception_stream = None
    try:
        with pytest.raises(AssertionError, match="MAIN"):
            spawn(get_hub().join).get()
    finally:
        del get_hub().exception_stream


def test_a_destroyed_hub_is_replaced_by_a_new_one() -> None:
    python("""
        import greenloom
        from greenloom import get_hub, sleep
        first = get_hub()
        sleep(0.001)
        first.destroy()
        assert first.loop is None and "destroyed" in repr(first)
        second = get_hub()
        assert second is not first
        sleep(0.001)
        second.destroy(destroy_loop=True)
        sleep(0.001)
    """)


def test_pending_greenlets_do_not_keep_the_interpreter_from_its_end() -> None:
    assert (
        python("""
        import greenloom
        greenloom.spawn(print, "never")
        greenloom.spawn(greenloom.sleep, 1000)
        greenloom.sleep(0.001)
        greenloom.spawn(print, "never either")
        print("end")
        """)
        == "never\nend\n"
    )


def test_a_waiter_keeps_a_value_for_the_one_that_comes() -> None:
    waiter = Waiter()
    assert not waiter.ready()
    waiter.switch(5)
    assert waiter.ready()
    assert waiter.successful()
    assert waiter.get() == 5
    waiter.clear()
    waiter.throw(KeyError("x"))
    assert not waiter.successful()
    with pytest.raises(KeyError, match="x"):
        waiter.get()


def test_a_waiter_resumes_the_one_that_waits_and_takes_only_one() -> None:
    waiter = Waiter()
    one = spawn(waiter.get)
    sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        waiter.get()
    with pytest.raises(AssertionError, match="Hub greenlet"):
        waiter.switch(1)
    get_hub().loop.run_callback(waiter.switch, 7)
    assert one.get() == 7


def test_a_waiter_may_be_a_link() -> None:
    waiter = Waiter()
    spawn(lambda: 5).rawlink(waiter)
    assert waiter.get() == 5


def test_idle_waits_until_there_is_nothing_else() -> None:
    ran: list[int] = []

    def work() -> None:
        sleep(0)
        ran.append(1)

    spawn(work)
    greenloom.idle()
    assert ran == [1]


def test_spawned_greenlets_have_the_hub_for_a_parent() -> None:
    assert spawn(lambda: getcurrent().parent).get() is get_hub()


@pytest.mark.parametrize("pool", [False, True])
def test_a_hub_may_be_destroyed_after_its_thread_has_ended_and_twice(pool: bool) -> None:
    left: list[Any] = []

    def work() -> None:
        greenloom.spawn(abs, -1).join()
        hub = greenloom.get_hub()
        if pool:
            assert hub.threadpool.apply(abs, (-1,)) == 1
        left.append(hub)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    hub = left.pop()
    assert hub.dead
    hub.destroy(destroy_loop=True)
    hub.destroy()
    assert hub.loop is None

"""Greenlets that go on to the next one in the loop's queue without the hub in between: nobody can tell."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, get_hub, joinall, sleep, spawn
from greenloom._greenloom import getcurrent, greenlet as raw_greenlet, settrace
from greenloom.event import Event
from greenloom.socket import socketpair

#: The class, for calls that its types forbid.
ANYHOW: Any = Greenlet


def test_everybody_has_a_turn_in_order_with_callbacks_between() -> None:
    seen: list[str] = []

    def work(name: str) -> None:
        for turn in range(3):
            seen.append(f"{name}{turn}")
            sleep(0)

    greenlets = [spawn(work, "a"), spawn(work, "b")]
    get_hub().loop.run_callback(seen.append, "callback")
    greenlets.append(spawn(work, "c"))
    joinall(greenlets)
    assert seen == ["a0", "b0", "callback", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_endless_turns_starve_neither_timers_nor_descriptors() -> None:
    running = True

    def spin() -> None:
        while running:
            sleep(0)

    spinners = [spawn(spin) for _ in range(3)]
    try:
        a, b = socketpair()
        with a, b, greenloom.Timeout(10):
            reader = spawn(b.recv, 5)
            spawn(a.sendall, b"hello")
            assert reader.get() == b"hello"
            sleep(0.001)
    finally:
        running = False
    joinall(spinners, timeout=10)


def test_a_trace_function_sees_the_hub_in_between() -> None:
    hub = get_hub()
    events: list[tuple[Any, Any]] = []

    def work() -> None:
        sleep(0)

    one, two = spawn(work), spawn(work)
    old = settrace(lambda event, pair: events.append(pair))
    try:
        joinall([one, two])
    finally:
        settrace(old)
    assert (one, hub) in events
    assert (hub, two) in events
    assert (one, two) not in events


def test_a_greenlet_is_as_deep_as_the_hub_whoever_came_before() -> None:
    depths: list[int] = []

    def depth_of_caller() -> int:
        depth, frame = 0, sys._getframe()
        while frame.f_back is not None:
            depth, frame = depth + 1, frame.f_back
        return depth

    def recurse(left: int) -> None:
        if left:
            recurse(left - 1)
        else:
            spawn(lambda: depths.append(depth_of_caller()))
            # Whoever starts now is begun from this depth.
            sleep(0)

    def use_nearly_all() -> None:
        recurse(sys.getrecursionlimit() // 2)

    spawn(use_nearly_all).get()
    spawn(recurse, 2).get()
    assert depths[0] == depths[1]

    def deep(left: int) -> int:
        return deep(left - 1) + 1 if left else 0

    def start_one_at_the_bottom(left: int) -> int:
        if left:
            return start_one_at_the_bottom(left - 1)
        # It has the limit for itself, though it begins where this has used most of it.
        return int(spawn(deep, sys.getrecursionlimit() // 2).get())

    half = sys.getrecursionlimit() // 2
    assert spawn(start_one_at_the_bottom, half).get() == half


def test_a_raw_greenlet_that_fails_is_named_whoever_ran_before(capsys: pytest.CaptureFixture[str]) -> None:
    hub = get_hub()
    reported: list[tuple[Any, Any]] = []

    def fail() -> None:
        sleep(0)
        raise ValueError("mine")

    hub.handle_error, kept = (
        lambda context, kind, value, tb: reported.append((context, kind)),
        hub.handle_error,
    )
    try:
        raw = raw_greenlet(fail, hub)
        hub.loop.run_callback(raw.switch)
        others = [spawn(sleep, 0) for _ in range(3)]
        joinall(others)
        sleep(0)
    finally:
        hub.handle_error = kept
    assert [kind for _, kind in reported] == [ValueError]
    assert reported[0][0] is raw


def test_a_greenlet_that_is_over_is_not_kept_alive_by_the_hub() -> None:
    gc.disable()
    try:
        event = Event()
        waiting = spawn(event.wait)
        sleep(0)
        gone = weakref.ref(waiting)
        event.set()
        waiting.join()
        del waiting
        sleep(0)
        assert gone() is None
    finally:
        gc.enable()


def test_methods_of_a_subclass_are_called() -> None:
    calls: list[str] = []

    class Loud(Greenlet):
        def start(self) -> None:
            calls.append("start")
            super().start()

        def run(self) -> None:
            calls.append("run")
            super().run()

        def switch(self, *args: Any) -> Any:
            calls.append("switch")
            return super().switch(*args)

        def throw(self, *args: Any) -> Any:
            calls.append("throw")
            return super().throw(*args)

        def join(self, timeout: float | None = None) -> None:
            calls.append("join")
            super().join(timeout)

    one = Loud.spawn(sleep, 10)
    assert calls == ["start"]
    sleep(0)
    assert calls == ["start", "switch", "run"]
    one.kill()
    assert calls[3:] == ["throw", "join"]
    assert isinstance(one.value, greenloom.GreenletExit)
    del calls[:]
    two = Loud.spawn(sleep, 0)
    two.join()
    assert calls == ["start", "join", "switch", "run", "switch"]


def test_a_run_of_an_instance_is_called() -> None:
    one = Greenlet(sleep, 0)
    called: list[int] = []
    one.run = lambda: called.append(1)  # type: ignore[method-assign]
    one.start()
    sleep(0)
    sleep(0)
    assert called == [1]


def test_a_greenlet_that_is_switched_to_by_hand_does_not_start_twice() -> None:
    calls: list[Any] = []
    one = Greenlet(calls.append, 1)
    get_hub().loop.run_callback(one.switch)
    one.start()
    sleep(0)
    assert calls == [1]
    assert one.ready()


def test_a_stranger_that_switches_into_a_wait_is_reported() -> None:
    event = Event()
    one = spawn(event.wait)
    other = spawn(sleep, 10)
    joiner = spawn(other.join)
    sleep(0)
    get_hub().loop.run_callback(joiner.switch, "stray")
    with pytest.raises(greenloom.exceptions.InvalidSwitchError, match="stray"):
        joiner.get()
    assert other.has_links() == 0
    event.set()
    other.kill()
    assert one.get() is True


def test_kill_finds_a_greenlet_in_any_state() -> None:
    states: list[Greenlet] = []

    def stubborn() -> str:
        try:
            sleep(10)
        except greenloom.GreenletExit:
            sleep(0)
        return "survived"

    def kill_myself() -> None:
        greenlet = getcurrent()
        assert isinstance(greenlet, Greenlet)
        greenlet.kill()

    states += [spawn(stubborn), spawn(kill_myself), Greenlet(stubborn), spawn(sleep, 0)]
    sleep(0)
    for one in states:
        one.kill()
        assert one.ready(), one
    assert states[0].value == "survived"
    for one in states[1:3]:
        assert isinstance(one.value, greenloom.GreenletExit)


def test_two_that_kill_each_other_come_to_an_end() -> None:
    pair: list[Greenlet] = []

    def attack(number: int) -> None:
        sleep(0)
        pair[1 - number].kill()

    pair += [spawn(attack, 0), spawn(attack, 1)]
    joinall(pair, timeout=10)
    assert all(one.dead for one in pair)


def test_a_killer_that_is_killed_meanwhile_leaves_the_killed_alone() -> None:
    victim = spawn(sleep, 10)
    sleep(0)
    killer = spawn(victim.kill)
    sleep(0)
    killer.kill()
    victim.join(timeout=10)
    assert victim.dead
    assert killer.dead


def test_links_are_called_in_order_beside_those_who_wait() -> None:
    order: list[str] = []
    one = spawn(sleep, 0)
    one.rawlink(lambda _: order.append("first"))

    def join() -> None:
        one.join()
        order.append("joined")

    waiting = spawn(join)
    sleep(0)
    one.rawlink(lambda _: order.append("last"))
    waiting.join()
    assert order == ["first", "joined", "last"]


def test_arguments_can_be_looked_at_and_replaced_before_the_start() -> None:
    one: Any = Greenlet(lambda *args, **kwargs: (args, kwargs), 1, two=2)
    assert (one.args, one.kwargs) == ((1,), {"two": 2})
    one.args = (3,)
    one.kwargs["four"] = 4
    one.start()
    assert one.get() == ((3,), {"two": 2, "four": 4})
    assert (one.args, one.kwargs) == ((), {})


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ANYHOW(5), "must be callable"),
        (lambda: spawn(None, 1).get(), "takes 1 positional argument"),
        (lambda: ANYHOW.spawn(int, run=int), "multiple values"),
        (lambda: ANYHOW(int).join(1, 2), "at most 1"),
        (lambda: ANYHOW(int).get(blok=True), "unexpected keyword argument 'blok'"),
        (lambda: ANYHOW(int).kill(None, True, 1, 2), "at most 3"),
        (lambda: ANYHOW(int).throw(1, 2, 3, 4), "at most 3"),
        (lambda: ANYHOW(int).rawlink(3), "must be callable"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, error: str) -> None:
    with pytest.raises(TypeError, match=error):
        make()


def test_a_cycle_through_a_greenlet_is_collected() -> None:
    class Holder:
        def __init__(self) -> None:
            self.greenlet = Greenlet(self.work)
            self.greenlet.rawlink(self.done)

        def work(self) -> None:
            pass

        def done(self, _: Any) -> None:
            pass

    holder = Holder()
    gone = weakref.ref(holder)
    del holder
    gc.collect()
    assert gone() is None
    ran = Holder()
    ran.greenlet.start()
    ran.greenlet.join()
    gone = weakref.ref(ran)
    del ran
    sleep(0)
    gc.collect()
    assert gone() is None


def test_one_that_the_collector_ends_tells_its_links() -> None:
    ended: list[Any] = []

    def leave_one_behind() -> None:
        # It and the event hold each other, and nobody else holds them.
        event = Event()
        waiting = spawn(event.wait)
        waiting.rawlink(lambda source: ended.append(source.value))
        sleep(0)

    leave_one_behind()
    gc.collect()
    sleep(0)
    assert [type(value) for value in ended] == [greenloom.GreenletExit]

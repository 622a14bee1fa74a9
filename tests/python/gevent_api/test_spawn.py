"""Spawning: what is scheduled, in which order it runs, and what a greenlet knows of its origin."""

from __future__ import annotations

from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, getcurrent, joinall, sleep, spawn, spawn_later, spawn_raw
from greenloom.greenlet import greenlet as RawGreenlet


def test_nothing_runs_before_the_spawner_waits() -> None:
    ran: list[int] = []
    started = [spawn(ran.append, number) for number in range(3)]
    assert ran == []
    assert not any(one.ready() for one in started)
    sleep(0)
    assert ran == [0, 1, 2]


def test_arguments_and_keywords_are_passed_on() -> None:
    def function(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        return args, kwargs

    assert spawn(function, 1, 2, key="value").get() == ((1, 2), {"key": "value"})


def test_a_greenlet_is_true_from_its_start_to_its_end() -> None:
    one = Greenlet(sleep, 0)
    assert (bool(one), one.started) == (False, False)
    one.start()
    assert (bool(one), one.started) == (True, True)
    one.join()
    assert (bool(one), one.started) == (False, False)
    assert one.dead
    assert one.ready()


def test_starting_twice_runs_once() -> None:
    ran: list[int] = []
    one = Greenlet(ran.append, 1)
    one.start()
    one.start()
    one.start_later(0.01)
    one.join()
    sleep(0.02)
    assert ran == [1]


def test_a_subclass_may_say_what_to_run_by_its_method() -> None:
    class Doubler(Greenlet):
        def _run(self, number: int = 0) -> int:
            return number * 2

    assert Doubler.spawn().get() == 0
    doubler = Doubler(None, 21)
    doubler.start()
    assert doubler.get() == 42


@pytest.mark.parametrize("make", [Greenlet, spawn, spawn_raw])
def test_what_cannot_be_called_is_refused_at_once(make: Any) -> None:
    with pytest.raises(TypeError, match="callable"):
        make(5)


def test_spawn_later_runs_after_the_time_and_not_before() -> None:
    ran: list[int] = []
    one = spawn_later(0.02, ran.append, 1)
    sleep(0)
    assert ran == []
    one.join()
    assert ran == [1]


def test_spawn_later_without_a_function_is_refused() -> None:
    with pytest.raises(TypeError):
        spawn_later(0.01)


def test_a_raw_greenlet_runs_with_arguments_and_knows_its_loop() -> None:
    got: list[Any] = []
    plain = spawn_raw(got.append, 1)
    spawn_raw(lambda **kwargs: got.append(kwargs), key=2)
    assert plain.loop is greenloom.get_hub().loop
    assert isinstance(plain, RawGreenlet)
    sleep(0)
    assert got == [1, {"key": 2}]


def test_a_greenlet_knows_who_spawned_it_and_where() -> None:
    def parent() -> Greenlet:
        return spawn(int)  # type: ignore[no-any-return]

    spawner = spawn(parent)
    child = spawner.get()
    assert child.spawning_greenlet() is spawner
    frames = []
    frame = child.spawning_stack
    while frame is not None:
        frames.append((frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    assert frames[0] == ("parent", parent.__code__.co_firstlineno + 1)
    assert len(frames) <= Greenlet.spawning_stack_limit


def test_spawn_tree_locals_are_shared_with_what_is_spawned() -> None:
    def parent() -> Any:
        current: Any = getcurrent()
        current.spawn_tree_locals["key"] = "value"
        child = spawn(getcurrent)
        assert child.spawn_tree_locals is current.spawn_tree_locals
        return current.spawn_tree_locals

    first, second = spawn(parent), spawn(int)
    assert first.get() == {"key": "value"}
    assert second.spawn_tree_locals == {}
    joinall([second])


def test_without_tracking_a_greenlet_knows_nothing_of_its_origin() -> None:
    greenloom.config.track_greenlet_tree = False
    try:
        one = spawn(int)
    finally:
        greenloom.config.track_greenlet_tree = True
    assert one.spawning_greenlet is None
    assert one.spawn_tree_locals is None
    assert one.spawning_stack is None
    one.join()


def test_spawn_callbacks_are_told_of_each_start_once() -> None:
    told: list[Any] = []
    Greenlet.add_spawn_callback(told.append)
    Greenlet.add_spawn_callback(told.append)
    try:
        one, two = spawn(int), spawn_later(0, int)
    finally:
        Greenlet.remove_spawn_callback(told.append)
    Greenlet.remove_spawn_callback(told.append)
    three = spawn(int)
    assert told == [one, two]
    joinall([one, two, three])


def test_idents_are_small_and_used_again() -> None:
    one, two = spawn(int), spawn(int)
    first, second = one.minimal_ident, two.minimal_ident
    assert first != second
    assert one.name == f"Greenlet-{first}"
    joinall([one, two])
    del one, two
    again = spawn(int)
    assert again.minimal_ident in (first, second)
    again.join()


def test_the_repr_says_what_runs_with_which_arguments() -> None:
    one = spawn(int, 1)
    assert ": int(1)>" in repr(one)
    one.name = "the one"
    assert '"the one"' in repr(one)
    one.join()
    assert ": int(1)>" in repr(one), "it still knows after the end"


def test_spawning_many_keeps_nothing() -> None:
    import gc
    import weakref

    class Argument:
        pass

    argument = Argument()
    gone = weakref.ref(argument)
    joinall([spawn(id, argument) for _ in range(100)])
    del argument
    gc.collect()
    assert gone() is None

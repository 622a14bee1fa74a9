"""Waits with a time limit: how they end, and what they leave behind."""

from __future__ import annotations

import gc
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import greenloom
from greenloom import Greenlet, Timeout, get_hub, getcurrent, sleep, spawn
from greenloom.event import AsyncResult, Event
from greenloom.lock import RLock, Semaphore
from greenloom.queue import Channel, Empty, Full, Queue


@pytest.fixture(autouse=True)
def no_timer_is_left() -> Iterator[None]:
    sleep(0)
    before = get_hub().loop.activecnt
    yield
    sleep(0)
    assert get_hub().loop.activecnt == before


def full_queue() -> Queue:
    queue: Queue = Queue(1)
    queue.put(0)
    return queue


class Never:
    """Things that nobody ever makes ready, and what waits for each of them."""

    def __init__(self) -> None:
        self.event, self.result, self.semaphore = Event(), AsyncResult[int](), Semaphore(0)
        self.empty, self.full, self.channel = Queue(), full_queue(), Channel()
        self.greenlet = Greenlet(sleep)

    def waits(self) -> dict[str, Callable[[Any], object]]:
        return {
            "event": self.event.wait,
            "result": self.result.wait,
            "value": lambda limit: self.result.get(timeout=limit),
            "acquire": lambda limit: self.semaphore.acquire(timeout=limit),
            "semaphore": self.semaphore.wait,
            "get": lambda limit: self.empty.get(timeout=limit),
            "peek": lambda limit: self.empty.peek(timeout=limit),
            "put": lambda limit: self.full.put(1, timeout=limit),
            "receive": lambda limit: self.channel.get(timeout=limit),
            "send": lambda limit: self.channel.put(1, timeout=limit),
            "join": self.greenlet.join,
            "outcome": lambda limit: self.greenlet.get(timeout=limit),
        }

    def waiting(self) -> int:
        links = self.event.linkcount() + self.result.linkcount() + self.semaphore.linkcount()
        ends = (self.empty, self.full, self.channel)
        listed = sum(len(one.getters) + len(one.putters) for one in ends)
        return links + listed + int(self.greenlet.has_links())


KINDS = list(Never().waits())
OUTCOMES = {
    "event": False,
    "result": None,
    "acquire": False,
    "semaphore": 0,
    "join": None,
    "value": Timeout,
    "outcome": Timeout,
    "get": Empty,
    "peek": Empty,
    "receive": Empty,
    "put": Full,
    "send": Full,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [0, 0.0, 0.001, 1e-12])
def test_a_wait_ends_when_its_time_is_over(kind: str, limit: float) -> None:
    never = Never()
    wait, outcome = never.waits()[kind], OUTCOMES[kind]
    if isinstance(outcome, type):
        with pytest.raises(outcome) as caught:
            wait(limit)
        assert isinstance(caught.value, Timeout) is (outcome is Timeout)
        assert getattr(caught.value, "seconds", limit) is limit
    else:
        assert wait(limit) is outcome
    assert never.waiting() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_takes_the_limit_back(kind: str) -> None:
    never = Never()
    waiting = spawn(never.waits()[kind], 1000)
    sleep(0)
    assert never.waiting() == 1
    waiting.kill()
    assert never.waiting() == 0
    assert isinstance(waiting.value, greenloom.GreenletExit)


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_around_it_that_is_shorter_ends_it(kind: str) -> None:
    never = Never()
    with pytest.raises(Timeout) as caught, Timeout(0.001) as shorter:
        never.waits()[kind](1000)
    assert caught.value is shorter
    assert never.waiting() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("limit", "error"), [("text", TypeError), (object(), TypeError), (10**400, OverflowError)]
)
def test_what_is_no_time_is_refused(kind: str, limit: object, error: type[Exception]) -> None:
    never = Never()
    with pytest.raises(error):
        never.waits()[kind](limit)
    assert never.waiting() == 0


def test_one_that_was_told_in_time_is_not_disturbed_later() -> None:
    event = Event()
    ends: list[object] = []

    def body() -> None:
        ends.append(event.wait(0.002))
        ends.append(Event().wait(0.02))

    waiting = spawn(body)
    sleep(0)
    event.set()
    waiting.join()
    assert ends == [True, False]


def test_nothing_is_lost_between_an_end_and_a_put() -> None:
    queue: Queue = Queue()
    taken: list[int] = []

    def take() -> None:
        for _ in range(200):
            try:
                taken.append(queue.get(timeout=0))
            except Empty:
                sleep(0)

    takers = [spawn(take) for _ in range(3)]
    for item in range(100):
        queue.put(item)
        sleep(0)
    greenloom.joinall(takers)
    while not queue.empty():
        taken.append(queue.get())
    assert sorted(taken) == list(range(100))


def test_nothing_is_lost_between_an_end_and_a_release() -> None:
    semaphore = Semaphore(1)
    held: list[int] = []

    def body(number: int) -> None:
        for _ in range(50):
            if semaphore.acquire(timeout=0):
                held.append(number)
                assert len(held) == 1
                sleep(0)
                held.pop()
                semaphore.release()

    greenloom.joinall([spawn(body, number) for number in range(4)], raise_error=True)
    assert semaphore.counter == 1
    assert semaphore.linkcount() == 0


def test_one_that_was_too_slow_goes_on_waiting_until_its_first_limit() -> None:
    semaphore = Semaphore(0)
    waiting = spawn(semaphore.acquire, timeout=0.02)
    sleep(0)
    for _ in range(3):
        semaphore.release()
        # Before the one that was woken.
        assert semaphore.acquire(blocking=False)
        sleep(0)
    assert waiting.get(timeout=10) is False


def test_a_reentrant_lock_has_limits_too() -> None:
    lock = RLock()
    lock.acquire()
    other = spawn(lock.acquire, timeout=0.001)
    assert other.get() is False
    lock.release()


def test_greenlets_cancel_a_timeout_object_and_do_not_close_it() -> None:
    never: Any = Greenlet(sleep)
    limit = Timeout(0.001)
    assert never.join(limit) is None
    assert never.join(limit) is None
    with pytest.raises(Timeout) as caught:
        never.get(timeout=limit)
    assert caught.value is limit
    limit.close()


def test_a_silent_timeout_object() -> None:
    never: Any = Greenlet(sleep)
    silent = Timeout(0.001, False)
    with pytest.raises(Timeout) as caught:
        never.get(timeout=silent)
    assert caught.value is silent
    silent.close()
    with pytest.raises(Timeout) as caught:
        AsyncResult[int]().get(timeout=Timeout(0.001, False))
    assert caught.value.seconds is None


def test_another_threads_hub_counts_its_own_time() -> None:
    event, queue = Event(), Queue()
    ends: list[object] = []
    assert event.wait(0) is False

    def work() -> None:
        ends.append(spawn(event.wait, 0.001).get())
        ends.append(spawn(event.wait, 30).get())
        ends.append(spawn(queue.get, timeout=30).get())
        try:
            spawn(queue.get, timeout=0.001).get()
        except Empty:
            ends.append("empty")
        get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=work)
    thread.start()
    while not ends:
        sleep(0.001)
    event.set()
    queue.put(7)
    while thread.is_alive():
        sleep(0.001)
    assert ends == [False, True, 7, "empty"]


# What a class has replaced is remembered, and found out again when it changes.


class Derived(Greenlet):
    """Changed by the tests."""


def test_a_class_may_be_changed_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def run_one() -> None:
        greenlet = Derived(sleep)
        greenlet.start()
        greenlet.join()
        Derived.spawn(sleep).join()

    def noting(name: str) -> Any:
        method = getattr(Greenlet, name)

        def call(self: Any, *args: Any) -> Any:
            calls.append(name)
            return method(self, *args)

        return call

    run_one()
    for name in ("switch", "run", "start"):
        with monkeypatch.context() as patch:
            patch.setattr(Derived, name, noting(name))
            run_one()
        assert calls
        calls.clear()
        run_one()
        assert not calls
    with monkeypatch.context() as patch:
        patch.setattr(Greenlet, "switch_out", lambda self: calls.append("out"), raising=False)
        run_one()
    assert "out" in calls
    calls.clear()
    run_one()
    assert not calls


def test_how_much_of_the_stack_is_kept_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    def depth() -> int:
        frames, one = 0, Derived(sleep).spawning_stack
        while one is not None:
            frames, one = frames + 1, one.f_back
        return frames

    assert depth() == 10
    for limit, kept in ((2, 2), (0, 0), (-5, 0), (10**30, 0), ("none", 10)):
        monkeypatch.setattr(Derived, "spawning_stack_limit", limit)
        assert depth() == kept
    monkeypatch.delattr(Derived, "spawning_stack_limit")
    assert depth() == 10


def test_every_greenlet_knows_its_own_maker() -> None:
    def make() -> tuple[Any, list[Greenlet]]:
        return getcurrent(), [Greenlet(sleep), Greenlet(sleep)]

    makers = [spawn(make), spawn(make)]
    makes: list[Any] = [one.get() for one in makers] + [make()]
    for maker, made in makes:
        assert [one.spawning_greenlet() for one in made] == [maker] * 2
    del maker
    first = makes[0][1][0]
    makers.clear()
    makes.clear()
    gc.collect()
    assert first.spawning_greenlet() is None


def test_a_greenlet_has_a_dict_when_it_needs_one() -> None:
    greenlet = Derived(sleep)
    assert vars(greenlet) == {}
    other: Any = Derived(sleep)
    other.attribute = 1
    assert vars(other) == {"attribute": 1}


def test_an_abstract_greenlet_is_not_made() -> None:
    class Abstract(Greenlet, ABC):
        @abstractmethod
        def work(self) -> None: ...

    class Concrete(Abstract):
        def work(self) -> None: ...

    make: Any = Abstract
    for _ in range(2):
        with pytest.raises(TypeError, match="abstract"):
            make(sleep)
        with pytest.raises(TypeError, match="abstract"):
            make.spawn(sleep)
        assert Concrete(sleep).args == ()

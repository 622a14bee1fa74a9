"""Waiting for any of several descriptors: select, poll and selectors."""

from __future__ import annotations

import os
import selectors as standard_selectors
import tempfile
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from greenloom import Timeout, select, selectors, sleep, socket, spawn, spawn_later

Pair = tuple[Any, Any]


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    with Timeout(10, ref=False):
        yield


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def by_select(sock: Any, timeout: float | None) -> bool:
    return bool(select.select([sock], [], [], timeout)[0])


def by_poll(sock: Any, timeout: float | None) -> bool:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(None if timeout is None else timeout * 1000))


def by_selector(sock: Any, timeout: float | None) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(timeout))


waits = pytest.mark.parametrize("wait", [by_select, by_poll, by_selector])


@waits
def test_only_the_one_who_asks_waits(wait: Callable[[Any, float | None], bool], pair: Pair) -> None:
    left, right = pair
    spawn_later(0.02, left.sendall, b"x")
    assert wait(right, None)


@waits
def test_the_time_is_kept(wait: Callable[[Any, float | None], bool], pair: Pair) -> None:
    start = monotonic()
    assert not wait(pair[1], 0.05)
    assert 0.04 < monotonic() - start < 5
    assert not wait(pair[1], 0)


@waits
def test_who_always_finds_something_lets_the_others_run(
    wait: Callable[[Any, float | None], bool], pair: Pair
) -> None:
    left, right = pair
    left.sendall(b"x")
    ran: list[int] = []
    spawn(ran.append, 1)
    assert wait(right, 1)
    assert ran == [1]


def test_select_tells_readers_from_writers(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"x")
    assert select.select([left, right], [left, right], [], 1) == ([right], [left, right], [])


def test_select_takes_numbers_and_iterators(pair: Pair) -> None:
    left, _right = pair
    assert select.select(iter([]), iter([left.fileno()]), iter(()), 1) == ([], [left.fileno()], [])
    with pytest.raises(ValueError, match="non-negative"):
        select.select([], [], [], -1)
    with pytest.raises(TypeError):
        select.select(["text"], [], [], 0)


def test_select_of_a_closed_descriptor_is_an_error() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file"):
        select.select([read], [], [], 1)


def test_select_ends_when_another_closes_what_it_waits_for(pair: Pair) -> None:
    _left, right = pair
    spawn_later(0.02, right.close)
    assert select.select([right], [], [], 5) == ([right], [], [])


def test_select_takes_descriptors_beyond_the_systems_limit(pair: Pair) -> None:
    import resource

    left, right = pair
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2000:
        pytest.skip("not that many descriptors are allowed here")
    high = 1500
    os.dup2(right.fileno(), high)
    try:
        assert select.select([high], [], [], 0) == ([], [], [])
        spawn_later(0.02, left.sendall, b"x")
        assert select.select([high], [high], [], 5) == ([], [high], [])
        assert select.select([high], [], [], 5) == ([high], [], [])
    finally:
        os.close(high)


def test_poll_reports_what_the_system_does(pair: Pair) -> None:
    left, right = pair
    poller = select.poll()
    poller.register(right)
    assert poller.poll(1000) == [(right.fileno(), select.POLLOUT)]
    poller.modify(right, select.POLLIN)
    left.close()
    assert poller.poll() == [(right.fileno(), select.POLLIN | select.POLLHUP)]
    poller.unregister(right)
    with pytest.raises(KeyError):
        poller.unregister(right)
    assert poller.poll(1) == []


def test_a_selector_keeps_its_keys_and_data(pair: Pair) -> None:
    left, right = pair
    with selectors.GeventSelector() as selector:
        assert isinstance(selector, standard_selectors.BaseSelector)
        selector.register(right, selectors.EVENT_READ | selectors.EVENT_WRITE, "mine")
        ((key, events),) = selector.select()
        assert (key.fileobj, key.data, events) == (right, "mine", selectors.EVENT_WRITE)
        selector.modify(right, selectors.EVENT_READ, "other")
        assert selector.select(0.01) == []
        left.sendall(b"x")
        ((key, events),) = selector.select()
        assert (key.data, events) == ("other", selectors.EVENT_READ)
        with pytest.raises(KeyError):
            selector.register(right, selectors.EVENT_READ)
        selector.unregister(right)
        assert selector.select(0) == []


def test_a_selector_refuses_what_is_not_open_and_takes_regular_files() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with selectors.GeventSelector() as selector:
        with pytest.raises(ValueError, match="Invalid file"):
            selector.register(read, selectors.EVENT_READ)
        assert not selector.get_map()
        with tempfile.TemporaryFile() as file:
            selector.register(file, selectors.EVENT_READ)
            assert [key.fileobj for key, _ in selector.select()] == [file]


def test_two_greenlets_may_select_at_once(pair: Pair) -> None:
    left, right = pair
    with selectors.GeventSelector() as selector:
        selector.register(right, selectors.EVENT_READ)
        waiting = [spawn(selector.select, 5) for _ in range(2)]
        sleep(0)
        left.sendall(b"x")
        assert all(one.get() for one in waiting)

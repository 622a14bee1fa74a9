"""Groups and pools of greenlets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import greenloom
from greenloom.event import Event
from greenloom.pool import Group, Pool, PoolFull


def test_a_group_holds_its_greenlets_until_they_end() -> None:
    group = Group()
    one = group.spawn(greenloom.sleep, 0.01)
    assert (one in group, len(group), list(group), group.full()) == (True, 1, [one], False)
    assert group.join(timeout=5)
    assert not group
    assert len(Group([greenloom.spawn(greenloom.sleep, 0)])) == 1


def test_join_raises_the_error_of_a_member_if_asked() -> None:
    group = Group()
    group.spawn(int, "not a number")
    with pytest.raises(ValueError, match="invalid literal"):
        group.join(raise_error=True)
    slow = group.spawn(greenloom.sleep, 10)
    assert group.join(timeout=0.001) is False
    slow.kill()


def test_kill_ends_members_and_those_that_they_add() -> None:
    group = Group()

    def stubborn() -> None:
        try:
            greenloom.sleep(10)
        finally:
            group.spawn(greenloom.sleep, 10)

    group.spawn(stubborn)
    greenloom.sleep(0)
    group.kill(timeout=5)
    assert (len(group), group.dying) == (0, set())
    one = group.spawn(greenloom.sleep, 10)
    group.killone(one)
    assert one.dead
    group.spawn(greenloom.sleep, 10)
    group.kill(block=False)
    assert group.join(timeout=5)


def test_spawn_waits_for_room() -> None:
    pool = Pool(2)
    gate = Event()
    running = [pool.spawn(gate.wait) for _ in range(2)]
    assert (pool.full(), pool.free_count(), pool.wait_available(0.001)) == (True, 0, 0)
    third = greenloom.spawn(pool.spawn, gate.wait)
    greenloom.sleep(0.001)
    assert not third.ready()
    with pytest.raises(PoolFull):
        pool.add(greenloom.Greenlet(), blocking=False)
    with pytest.raises(PoolFull):
        pool.start(greenloom.Greenlet(), timeout=0.001)
    gate.set()
    greenloom.joinall(running, timeout=5)
    assert third.get(timeout=5).get(timeout=5) is True
    assert pool.join(timeout=5)
    assert pool.free_count() == 2


def test_a_pool_with_no_limit_and_one_that_cannot_be() -> None:
    assert Pool().free_count() == 1
    with pytest.raises(ValueError, match="negative"):
        Pool(-1)


def test_map_keeps_order_and_raises_the_first_error() -> None:
    def work(n: int) -> int:
        greenloom.sleep(0.001 * (5 - n))
        if n == 3:
            raise KeyError(n)
        return n * n

    assert Pool(2).map(work, range(3)) == [0, 1, 4]
    with pytest.raises(KeyError):
        Pool(2).map(work, range(5))
    got: list[list[int]] = []
    assert Pool().map_async(work, range(2), callback=got.append).get(timeout=5) == [0, 1]
    assert got == [[0, 1]]


@pytest.mark.parametrize("pool", [Group(), Pool(1), Pool(3)])
def test_imap_raises_at_the_item_and_goes_on(pool: Group) -> None:
    def work(n: int) -> int:
        if n == 1:
            raise KeyError(n)
        return n

    results = pool.imap(work, range(3))
    assert next(results) == 0
    with pytest.raises(KeyError):
        next(results)
    assert list(results) == [2]


def test_imap_unordered_gives_what_is_there_first() -> None:
    def work(seconds: float) -> float:
        greenloom.sleep(seconds)
        return seconds

    assert list(Pool(3).imap_unordered(work, [0.03, 0.01, 0.02])) == [0.01, 0.02, 0.03]
    assert list(Pool(2).imap(divmod, [7, 9], [2, 4])) == [(3, 1), (2, 1)]
    assert list(Pool(2).imap(work, [])) == []


def test_imap_with_a_bound_does_not_run_ahead_of_the_reader() -> None:
    started: list[int] = []

    def work(n: int) -> int:
        started.append(n)
        return n

    results = Pool(10).imap_unordered(work, range(20), maxsize=1)
    greenloom.sleep(0.01)
    assert len(started) <= 2
    assert sorted(results) == list(range(20))


def test_imap_raises_what_the_iterable_raises() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise RuntimeError("no more")

    results = Pool().imap_unordered(lambda n: n, items())
    with pytest.raises(RuntimeError, match="no more"):
        list(results)


def test_apply_runs_at_once_in_its_own_task() -> None:
    pool = Pool(1)
    assert pool.apply(lambda: pool.apply(int, ("7",)), ()) == 7
    got: list[int] = []
    assert pool.apply_async(int, ("8",), callback=got.append).get(timeout=5) == 8
    assert pool.apply_cb(int, ("9",), callback=got.append) == 9
    greenloom.sleep(0.001)
    assert got == [8, 9]

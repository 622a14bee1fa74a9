"""Links: called when a greenlet is done, in order, whenever they were made."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest

import greenloom
from greenloom import getcurrent, sleep, spawn


def fail() -> None:
    raise ValueError("on purpose")


def test_they_are_called_from_the_hub_in_order_after_the_end() -> None:
    calls: list[Any] = []
    one = spawn(int)
    one.rawlink(lambda source: calls.append(("first", source.dead, getcurrent())))
    one.rawlink(lambda source: calls.append(("second", source.dead, getcurrent())))
    sleep(0)
    sleep(0)
    hub = greenloom.get_hub()
    assert calls == [("first", True, hub), ("second", True, hub)]


def test_one_that_comes_late_is_called_in_the_next_turn() -> None:
    one = spawn(int)
    one.join()
    calls: list[Any] = []
    one.rawlink(calls.append)
    assert calls == []
    sleep(0)
    assert calls == [one]


def test_the_same_one_twice_is_called_twice() -> None:
    calls: list[Any] = []
    one = spawn(int)
    one.rawlink(calls.append)
    one.rawlink(calls.append)
    assert one.has_links() == 2
    one.join()
    sleep(0)
    assert calls == [one, one]


def test_link_runs_in_a_greenlet_of_its_own_which_may_wait() -> None:
    calls: list[Any] = []

    def slow(source: Any) -> None:
        sleep(0.001)
        calls.append(source)

    one = spawn(int)
    one.link(slow)
    one.join()
    sleep(0.01)
    assert calls == [one]


@pytest.mark.usefixtures("printed")
def test_link_value_and_link_exception_choose_by_the_end() -> None:
    calls: list[str] = []
    good, bad = spawn(int), spawn(fail)
    for one in good, bad:
        one.link_value(lambda _: calls.append("value"))
        one.link_exception(lambda _: calls.append("exception"))
    good.join()
    bad.join()
    sleep(0)
    sleep(0)
    assert calls == ["value", "exception"]


def test_unlink_takes_back_any_kind_of_link() -> None:
    calls: list[Any] = []
    one = spawn(int)
    for link in one.rawlink, one.link, one.link_value, one.link_exception:
        link(calls.append)
        assert one.has_links() == 1
        one.unlink(calls.append)
        assert one.has_links() == 0
    one.unlink(calls.append)
    one.link(calls.append)
    one.unlink_all()
    one.join()
    sleep(0)
    assert calls == []


def test_an_early_link_may_take_back_a_later_one() -> None:
    calls: list[Any] = []
    one = spawn(int)
    one.rawlink(lambda _: one.unlink(calls.append))
    one.rawlink(calls.append)
    one.join()
    sleep(0)
    assert calls == []


def test_one_that_fails_is_reported_and_does_not_keep_the_others(printed: StringIO) -> None:
    calls: list[Any] = []
    one = spawn(int)
    one.rawlink(lambda _: fail())
    one.rawlink(calls.append)
    one.join()
    sleep(0)
    assert calls == [one]
    assert "on purpose" in printed.getvalue()


@pytest.mark.parametrize("method", ["rawlink", "link", "link_value", "link_exception"])
def test_what_cannot_be_called_is_refused(method: str) -> None:
    one = spawn(int)
    with pytest.raises(TypeError, match="callable"):
        getattr(one, method)(5)
    one.join()

"""Events: sent to subscribers and to entry points, with zope's packages or without."""

from __future__ import annotations

from typing import Any

import pytest

from greenloom import events
from programs import python


@pytest.fixture
def seen() -> Any:
    got: list[Any] = []
    events.subscribers.append(got.append)
    yield got
    events.subscribers.remove(got.append)


def test_subscribers_are_told(seen: list[Any]) -> None:
    event = events.GeventWillPatchModuleEvent("name", "source", "target", ["item"])
    events.notify_and_call_entry_points(event)
    assert seen == [event]
    assert (event.module_name, event.source, event.target) == ("name", "source", "target")
    assert event.target_item_names == ["item"]


def test_entry_points_of_the_group_are_called_but_those_of_gevent_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib.metadata

    called: list[Any] = []

    class EntryPoint:
        def __init__(self, value: str) -> None:
            self.value = value

        def load(self) -> Any:
            return called.append

    def entry_points(group: str) -> list[EntryPoint]:
        assert group == "gevent.plugins.monkey.did_patch_all"
        # The second is what gevent itself has when it is installed too.
        return [EntryPoint("plugin.module:function"), EntryPoint("gevent.monkey:_subscribe")]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    event = events.GeventDidPatchAllEvent({"os": True}, {"extra": 1})
    events.notify_and_call_entry_points(event)
    assert called == [event]


def test_what_a_subscriber_raises_is_passed_on() -> None:
    def refuse(event: object) -> None:
        raise events.DoNotPatch

    events.subscribers.append(refuse)
    try:
        with pytest.raises(events.DoNotPatch):
            events.notify_and_call_entry_points(events.GeventDidPatchModuleEvent("name", None, None))
    finally:
        events.subscribers.remove(refuse)


def test_the_arguments_of_patch_all_cannot_be_changed_by_a_subscriber() -> None:
    event = events.GeventWillPatchAllEvent({"os": True, "ssl": False}, {"extra": 1})
    event.patch_all_arguments["os"] = False
    event.patch_all_kwargs.clear()
    assert event.will_patch_module("os") is True
    assert event.will_patch_module("ssl") is False
    assert event.will_patch_module("nonsense") is None
    assert event.patch_all_kwargs == {"extra": 1}


def test_all_public_names_are_there() -> None:
    for name in events.__all__:
        assert hasattr(events, name)


def test_nothing_of_zope_is_needed() -> None:
    python("""
        import sys
        sys.modules["zope"] = sys.modules["zope.interface"] = sys.modules["zope.event"] = None
        from greenloom import events
        seen = []
        events.subscribers.append(seen.append)
        event = events.EventLoopBlocked(None, 1.0, [])
        events.notify(event)
        assert seen == [event]
        import greenloom._interfaces, greenloom
        greenloom.sleep(0)
    """)

"""Settings: from the environment, from code, checked, and documented."""

from __future__ import annotations

from typing import Any

import pytest

import greenloom
from greenloom._config import ALL_SETTINGS, Config, validate_bool
from programs import python


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("true", True),
        ("On", True),
        (" yes ", True),
        ("0", False),
        ("off", False),
        ("no", False),
        ("", False),
    ],
)
def test_booleans_are_read_from_words(text: str, value: bool) -> None:
    assert validate_bool(text) is value


def test_other_words_are_refused() -> None:
    with pytest.raises(ValueError, match="perhaps"):
        validate_bool("perhaps")


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("GEVENT_TRACK_GREENLET_TREE", "0", "track_greenlet_tree", False),
        ("GEVENT_MONITOR_THREAD_ENABLE", "yes", "monitor_thread", True),
        ("GEVENT_MAX_BLOCKING_TIME", "0.5", "max_blocking_time", 0.5),
        ("GEVENT_MONITOR_MEMORY_MAX", "2mb", "max_memory_usage", 2 * 1024 * 1024),
        ("GEVENT_MONITOR_MEMORY_MAX", "5000", "max_memory_usage", 5000),
        ("GEVENT_RESOLVER_NAMESERVERS", "1.2.3.4,::1", "resolver_nameservers", ["1.2.3.4", "::1"]),
        ("GEVENT_RESOLVER_TIMEOUT", "3", "resolver_timeout", 3.0),
        ("GEVENT_NOWAITPID", "1", "disable_watch_children", True),
        ("GREENLOOM_INHERIT_CONTEXT", "1", "inherit_context", True),
    ],
)
def test_the_environment_sets_them(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: Any
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(Config(), name) == value


def test_the_environment_is_read_once() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEVENT_MAX_BLOCKING_TIME", "0.5")
        config = Config()
        assert config.max_blocking_time == 0.5
    assert config.max_blocking_time == 0.5


def test_a_value_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    with pytest.raises(ValueError, match="positive"):
        config.max_blocking_time = -1
    monkeypatch.setenv("GEVENT_MONITOR_THREAD_ENABLE", "perhaps")
    with pytest.raises(ValueError, match="perhaps"):
        config.monitor_thread  # noqa: B018  (reading it is the test)


def test_one_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        greenloom.config.nonsense  # noqa: B018  (reading it is the test)
    with pytest.raises(AttributeError):
        greenloom.config.set("nonsense", 1)


def test_objects_are_imported_by_short_and_long_names_and_by_those_of_gevent() -> None:
    from greenloom.resolver.blocking import Resolver

    for name in "block", "greenloom.resolver.blocking.Resolver", "gevent.resolver.blocking.Resolver":
        config = Config()
        config.resolver = name
        assert config.resolver is Resolver
    config.resolver = ["no.such.module", "block"]
    assert config.resolver is Resolver
    config.resolver = Resolver
    assert config.resolver is Resolver
    with pytest.raises(ImportError):
        config.resolver = "no.such.module"
    with pytest.raises(ImportError, match="Or choose from"):
        config.resolver = "nonsense"


def test_every_name_of_a_loop_gives_the_loop() -> None:
    from greenloom.core import loop

    for name in "greenloom", "libev-cext", "libev-cffi", "libuv":
        config = Config()
        config.loop = name
        assert config.loop is loop


def test_all_documented_ones_say_what_they_are_and_where_they_come_from() -> None:
    for setting in ALL_SETTINGS:
        assert setting.__doc__
        assert setting.environment_key in setting.__doc__
        if setting.document:
            assert getattr(Config, setting.name).__doc__ == setting.__doc__


def test_the_command_line_prints_them() -> None:
    printed = python(
        "import runpy, sys; sys.argv = ['x']; runpy.run_module('greenloom._config', run_name='__main__')"
    )
    assert "GEVENT_RESOLVER" in printed
    assert "track_greenlet_tree" in printed

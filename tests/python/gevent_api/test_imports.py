"""What is imported when: raw greenlets need no hub, and gevent's names are all there."""

from __future__ import annotations

import pytest

from programs import python

#: gevent 26.9's top level.
TOP_LEVEL = """
    Greenlet GreenletExit Timeout config fork get_hub getcurrent getswitchinterval idle iwait joinall kill killall
    reinit setswitchinterval signal_handler sleep spawn spawn_later spawn_raw wait with_timeout version_info
""".split()  # noqa: SIM905


def test_raw_greenlets_do_not_import_the_hub() -> None:
    python("""
        import sys
        from greenloom.greenlet import greenlet
        assert greenlet(lambda: 5).switch() == 5
        assert not [name for name in sys.modules if name in ("greenloom.hub", "greenloom._loop", "zope.interface")]
    """)


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_the_names_of_gevent_are_there(name: str) -> None:
    import greenloom

    assert hasattr(greenloom, name)
    assert name in dir(greenloom)


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    import greenloom

    with pytest.raises(AttributeError, match="nonsense"):
        greenloom.nonsense  # noqa: B018  (reading it is the test)


def test_importing_star_gives_them_all() -> None:
    python("""
        from greenloom import *
        assert spawn(lambda: 5).get() == 5
        with Timeout(5): sleep(0)
    """)


def test_the_greenlet_module_has_the_hubs_greenlets_too() -> None:
    python("""
        from greenloom import greenlet
        assert not hasattr(greenlet, "nonsense")
        from greenloom.greenlet import Greenlet, joinall, killall
        import greenloom
        assert Greenlet is greenloom.Greenlet and joinall is greenloom.joinall and killall is greenloom.killall
        assert issubclass(Greenlet, greenlet.greenlet)
        names = {}
        exec("from greenloom.greenlet import *", names)
        assert "Greenlet" not in names, "greenlet's own list is as it was"
    """)


@pytest.mark.parametrize("module", ["hub", "event", "timeout", "greenlet", "exceptions", "os"])
def test_modules_that_come_with_gevent_come_with_it_here(module: str) -> None:
    python(f"import greenloom; greenloom.{module}.__name__")


@pytest.mark.parametrize(
    "module",
    ["hub", "core", "timeout", "events", "util", "exceptions", "_config", "_greenlet_class", "_monitor"],
)
def test_each_module_may_be_the_first(module: str) -> None:
    python(f"import greenloom.{module}; greenloom.sleep(0)")

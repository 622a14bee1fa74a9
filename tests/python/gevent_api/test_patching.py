"""``monkey``: what is replaced, in which order, who is told, and what late patching warns of."""

from __future__ import annotations

from pathlib import Path

from programs import python


def test_everything_is_patched_but_the_standard_streams() -> None:
    assert (
        python("""
        import sys
        from greenloom import monkey
        assert monkey.patch_all() is True
        import _thread, os, queue, select, selectors, signal, socket, ssl, subprocess, threading, time
        import greenloom.os, greenloom.socket, greenloom.ssl, greenloom.subprocess, greenloom.time
        assert time.sleep is greenloom.time.sleep
        assert os.fork is greenloom.os.fork
        assert socket.socket is greenloom.socket.socket
        assert socket.getaddrinfo is greenloom.socket.getaddrinfo
        assert ssl.SSLContext is greenloom.ssl.SSLContext
        assert subprocess.Popen is greenloom.subprocess.Popen
        assert not hasattr(select, "epoll") and not hasattr(selectors, "EpollSelector")
        for module in "_thread threading os queue select selectors signal socket ssl subprocess time".split():
            assert monkey.is_module_patched(module), module
        assert monkey.is_object_patched("threading", "Event")
        assert not monkey.is_module_patched("sys")
        """)
        == ""
    )


def test_patching_makes_no_hub() -> None:
    python("""
        from greenloom import monkey, _hub_local
        monkey.patch_all()
        assert _hub_local.get_hub_if_exists() is None
        """)


def test_the_originals_are_kept() -> None:
    python("""
        import socket, time
        originals = time.sleep, socket.socket
        from greenloom import monkey
        monkey.patch_all()
        monkey.patch_time()
        monkey.patch_socket()
        assert monkey.get_original("time", "sleep") is originals[0]
        assert monkey.get_original("socket", ["socket", "AF_INET"]) == [originals[1], socket.AF_INET]
        assert monkey.get_original(("no_such_module", "time"), "sleep") is originals[0]
        assert monkey.get_original("os.path", "join") is __import__("os").path.join
        for name in "no_such_module", ("no_such_module", "nor_this"):
            try:
                monkey.get_original(name, "x")
            except ImportError:
                pass
            else:
                raise AssertionError
        """)


def test_a_second_call_does_nothing_and_other_arguments_are_the_union() -> None:
    assert (
        python("""
        import time, warnings, threading
        from greenloom import events, monkey
        seen = []
        monkey.patch_all(time=False, Event=False)
        events.subscribers.append(seen.append)
        assert time.sleep is monkey.get_original("time", "sleep")
        native_event = threading.Event
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert monkey.patch_all(time=False, Event=False) is None
            assert not caught
            assert monkey.patch_all(os=False) is True
        assert time.sleep is not monkey.get_original("time", "sleep")
        assert threading.Event is not native_event
        assert [type(event).__name__ for event in seen] == [
            "GeventWillPatchAllEvent", "GeventWillPatchModuleEvent", "GeventDidPatchModuleEvent",
            "GeventDidPatchBuiltinModulesEvent", "GeventDidPatchAllEvent"]
        for warning in caught:
            print(warning.category.__name__, "more than once" in str(warning.message), warning.filename)
        """)
        == "MonkeyPatchWarning True <string>\n"
    )


def test_subscribers_hear_of_each_module_and_may_forbid_it() -> None:
    assert python("""
        import time
        original = time.sleep
        from greenloom import events, monkey
        def forbid(event):
            if isinstance(event, events.GeventWillPatchModuleEvent) and event.module_name in ("time", "ssl"):
                raise events.DoNotPatch
        seen = []
        events.subscribers += [seen.append, forbid]
        assert monkey.patch_all(mine=1) is True
        assert time.sleep is original and not monkey.is_module_patched("time")
        assert not monkey.is_module_patched("ssl")
        assert seen[0].patch_all_kwargs == {"mine": 1}
        done = [event.module_name for event in seen if isinstance(event, events.GeventDidPatchModuleEvent)]
        print(*done)
        """) == "os _thread threading socket select selectors subprocess signal queue\n".replace(
        "_thread", "thread"
    )


def test_a_subscriber_may_forbid_all() -> None:
    python("""
        from greenloom import events, monkey
        def forbid(event):
            raise events.DoNotPatch
        events.subscribers.append(forbid)
        assert monkey.patch_all() is False
        assert not monkey.is_module_patched("time")
        """)


def test_entry_points_hear_of_it(tmp_path: Path) -> None:
    groups = [
        "will_patch_all",
        "will_patch_module",
        "did_patch_module",
        "did_patch_builtins",
        "did_patch_all",
    ]
    metadata = tmp_path / "plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "".join(f"[gevent.plugins.monkey.{group}]\nmine = plugin:{group}\n" for group in groups)
    )
    (tmp_path / "plugin.py").write_text(
        "".join(f"def {group}(event): print({group!r}, type(event).__name__)\n" for group in groups)
    )
    shown = python(f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        from greenloom import monkey
        monkey.patch_all(**dict.fromkeys("socket dns select thread os ssl subprocess signal queue".split(), False))
        """)
    assert shown.splitlines() == [
        "will_patch_all GeventWillPatchAllEvent",
        "will_patch_module GeventWillPatchModuleEvent",
        "did_patch_module GeventDidPatchModuleEvent",
        "did_patch_builtins GeventDidPatchBuiltinModulesEvent",
        "did_patch_all GeventDidPatchAllEvent",
    ]


def test_a_module_of_ones_own_can_be_patched() -> None:
    assert (
        python("""
        import types
        from greenloom import monkey
        target, source = types.ModuleType("target"), types.ModuleType("source")
        target.a = "old"
        source.a, source.b = "new", "more"
        try:
            monkey.patch_module(target, source)
        except AttributeError:
            print("needs __implements__")
        source.__implements__ = ["a", "b"]
        source._gevent_will_monkey_patch = lambda module, items, warn: print("will", module.a, items)
        source._gevent_did_monkey_patch = lambda module, items, warn: print("did", module.a)
        assert monkey.patch_module(target, source)
        print(target.a, target.b, monkey.get_original("target", "a"), monkey.is_object_patched("target", "b"))
        """)
        == "needs __implements__\nwill old ['a', 'b']\ndid new\nnew more old False\n"
    )


def test_patching_ssl_late_names_who_has_the_old_class() -> None:
    assert (
        python("""
        import sys, types, warnings, ssl
        holder = types.ModuleType("holder")
        holder.Context = ssl.SSLContext
        sys.modules["holder"] = holder
        class Sub(ssl.SSLContext):
            pass
        from greenloom import monkey
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monkey.patch_all()
        [warning] = [w for w in caught if w.category is monkey.MonkeyPatchWarning]
        print("holder (<unknown>)" in str(warning.message), "__main__.Sub" in str(warning.message))
        ssl.create_default_context().options
        """)
        == "True True\n"
    )


def test_patching_early_warns_of_nothing() -> None:
    python("from greenloom import monkey; monkey.patch_all(); import ssl, urllib.request", "-Werror")


def test_signal_without_os_is_warned_of() -> None:
    assert (
        python("""
        import warnings
        from greenloom import monkey
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monkey.patch_all(os=False)
        print(caught[0].category.__name__, str(caught[0].message).partition(":")[0])
        """)
        == "MonkeyPatchWarning Patching signal but not os\n"
    )

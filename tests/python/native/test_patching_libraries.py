"""`monkey.patch_native`: what is patched, when, and how that is taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenloom import monkey
from slow_library import library, slow, status

#: Whether a greenlet gets its turn while main waits in C.
LETS_RUN = """
def lets_run():
    order = []
    task = gevent.spawn(order.append, "task")
    slow.slow_sleep(0.02)
    order.append("main")
    task.join()
    return order == ["task", "main"]
"""


def test_it_says_what_it_has_patched() -> None:
    assert slow('print(monkey.patch_native(["libslow"]) == [path])', patched=False) == "True\n"


def test_it_is_taken_back_and_done_again() -> None:
    text = slow(
        f"""{LETS_RUN}
print(lets_run(), monkey.is_native_patched(), monkey.is_native_patched("libslow"))
monkey.unpatch_native()
print(lets_run(), monkey.is_native_patched(), monkey.is_native_patched("libslow"))
monkey.patch_native(["libslow"])
print(lets_run())
"""
    )
    assert text == "True True True\nFalse False False\nTrue\n"


def test_greenlets_wait_on_when_it_is_taken_back() -> None:
    text = slow(
        """
        mine, theirs = socket.socketpair()
        waiting = [gevent.spawn(slow.slow_read, mine.fileno()), gevent.spawn(slow.slow_sleep, 0.2)]
        gevent.sleep(0.05)
        monkey.unpatch_native()
        theirs.send(b"a")
        gevent.joinall(waiting, timeout=10)
        print([task.value for task in waiting])
        """
    )
    assert text == "[97, 0]\n"


@pytest.mark.parametrize("name", ["libslow", "libslow.so.1", "libsl*", "*/libslow*"])
def test_an_object_is_found_by(name: str) -> None:
    assert slow(f"{LETS_RUN}\nmonkey.patch_native([{name!r}])\nprint(lets_run())", patched=False) == "True\n"


def test_an_object_is_found_by_its_path() -> None:
    assert slow(f"{LETS_RUN}\nmonkey.patch_native([path])\nprint(lets_run())", patched=False) == "True\n"


@pytest.mark.parametrize("name", ["slow", "libslo", "libs", "other"])
def test_an_object_is_not_found_by(name: str) -> None:
    assert (
        slow(f"{LETS_RUN}\nprint(monkey.patch_native([{name!r}]), lets_run())", patched=False) == "[] False\n"
    )


def test_a_library_that_is_loaded_later_is_patched_then() -> None:
    other = library("libslower")
    text = slow(
        f"""{LETS_RUN}
print(monkey.patch_native(["libslower"]))
slow = ctypes.CDLL({str(other)!r})
slow.slow_sleep.argtypes = [ctypes.c_double]
print(lets_run())
""",
        patched=False,
    )
    assert text == "[]\nTrue\n"


def test_a_second_call_adds_to_the_first() -> None:
    other = library("libslower")
    text = slow(
        f"""{LETS_RUN}
other = ctypes.CDLL({str(other)!r})
print(len(monkey.patch_native(["libslower"])), lets_run())
print(len(monkey.patch_native(["libslow"])), lets_run())
print(monkey.is_native_patched("libslower"))
""",
        patched=False,
    )
    assert text == "1 False\n2 True\nTrue\n"


def test_the_calling_thread_has_a_hub_then() -> None:
    text = slow(
        """
        from greenloom._hub_local import get_hub_if_exists
        print(get_hub_if_exists() is None)
        monkey.patch_native(["libslow"])
        print(get_hub_if_exists() is None)
        """,
        patched=False,
    )
    assert text == "True\nFalse\n"


def test_locks_are_left_alone_if_asked() -> None:
    text = slow(
        """
        monkey.patch_native(["libslow"], locks=False)
        print([gevent.spawn(slow.slow_ring, 0.1).get(timeout=10) for _ in range(2)])
        """,
        patched=False,
    )
    assert text == "[1, 1]\n"


def test_patch_all_leaves_libraries_alone_unless_asked() -> None:
    text = slow("monkey.patch_all(); print(monkey.is_native_patched())", patched=False)
    assert text == "False\n"
    text = slow(
        """
        monkey.patch_all(native=True)
        print(monkey.is_native_patched(), all(monkey.is_native_patched(name) for name in monkey.NATIVE_OBJECTS))
        """,
        patched=False,
    )
    assert text == "True True\n"


def test_a_second_patch_all_patches_libraries_and_says_that_it_differs() -> None:
    text = slow(
        """
        import warnings
        monkey.patch_all()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monkey.patch_all(native=True)
        print(monkey.is_native_patched(), ["more than once" in str(warning.message) for warning in caught])
        """,
        patched=False,
    )
    assert text == "True [True]\n"


def test_sqlite_waits_for_a_writer_while_that_one_runs(tmp_path: Path) -> None:
    text = slow(
        f"""
        monkey.patch_native()
        import sqlite3
        file = {str(tmp_path / "data.db")!r}
        sqlite3.connect(file).execute("create table t (n int)")
        def write(n):
            connection = sqlite3.connect(file, timeout=30, isolation_level=None)
            connection.execute("begin immediate")
            connection.execute("insert into t values (?)", (n,))
            gevent.sleep(0.1)
            connection.execute("commit")
        gevent.joinall([gevent.spawn(write, n) for n in range(3)], timeout=30, raise_error=True)
        print(sqlite3.connect(file).execute("select count(*) from t").fetchone())
        """,
        patched=False,
    )
    assert text == "(3,)\n"


@pytest.mark.parametrize("module", ["greenloom.monkey", "gevent.monkey"])
@pytest.mark.parametrize("options", [["--native"], ["--native", "--no-ssl"], ["--no-native"], []])
def test_the_command_line_patches_libraries_if_asked(module: str, options: list[str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from greenloom import monkey\n"
        "print(monkey.is_native_patched(), monkey.is_module_patched('time'), monkey.is_module_patched('ssl'))\n"
    )
    way = [] if module.startswith("greenloom") else ["greenloom"]
    done = status("-m", *way, *(["-m"] if way else []), module, *options, str(program))
    assert done.stderr == ""
    assert done.stdout == f"{'--native' in options} True {'--no-ssl' not in options}\n"


def test_the_command_line_explains_the_option() -> None:
    assert "--native patches C libraries" in status("-m", "greenloom.monkey").stdout


@pytest.mark.parametrize(
    ("objects", "error", "message"),
    [
        ("libpq", TypeError, r"not 'libpq'; for that one write \['libpq'\]"),
        (b"libpq", TypeError, r"not b'libpq'"),
        (7, TypeError, "not int"),
        ([7], TypeError, "7 in it is no string"),
        ([None], TypeError, "None in it is no string"),
        ([""], ValueError, "it is empty"),
        (["libpq", "lib\0pq"], ValueError, "null byte"),
        (["dir/libpq"], ValueError, "begins like a file name"),
    ],
)
def test_what_is_no_name_is_refused(objects: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        monkey.patch_native(objects)  # type: ignore[arg-type]
    assert not monkey.is_native_patched()


@pytest.mark.parametrize("name", ["libc", "libpthread", "_greenloom"])
def test_what_must_not_be_patched_is_not_and_a_warning_says_why(name: str) -> None:
    text = slow(
        f"""
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(monkey.patch_native([{name!r}]))
        print([str(warning.message) for warning in caught if "is not patched: " not in str(warning.message)])
        """,
        patched=False,
    )
    assert text == "[]\n[]\n"


def test_the_lists_are_documented() -> None:
    assert {"libpq", "libmariadb", "libcurl", "libsqlite3", "libssl"} <= {*monkey.NATIVE_OBJECTS}
    assert not {"libc", "libpython3", "libuv", "libev"} & {*monkey.NATIVE_OBJECTS}

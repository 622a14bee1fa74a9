"""Recursion that is too deep: a RecursionError where the interpreter counts it, words and SIGABRT where it does not.

Never a silent SIGSEGV. Each test is a process of its own, because most of them end it.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap

import pytest

import greenloom
from programs import python, run

#: From 3.12 on, CPython counts how deep C recurses.
COUNTED = sys.version_info >= (3, 12)
OVERFLOW = re.compile(
    r"^greenloom: the greenlet object at 0x[0-9a-f]+, running (?P<name>\S+), overflowed its stack of (?P<size>\S+ .iB);"
    r" give it more: set GREENLOOM_STACK_SIZE or call greenloom\.set_stack_size\(\)$",
    re.MULTILINE,
)

PROGRAM = """
import copy, json, pickle, sys
from greenloom.greenlet import getcurrent, greenlet

DEEP = 100_000

def nest(kind):
    nested = kind()
    for _ in range(DEEP):
        nested = kind((nested,))
    return nested

class Deeper:
    def __init__(self, levels=DEEP):
        self.levels = levels
    def __repr__(self):
        return repr(Deeper(self.levels - 1))
    def __eq__(self, other):
        return Deeper(self.levels - 1) == other
    __hash__ = None
    def __getattr__(self, name):
        return getattr(Deeper(), name + "_")
    def __reduce__(self):
        return Deeper, (Deeper(),)

def through_python(levels=0):
    return through_python(levels + 1)

def through_map(levels=DEEP):
    return list(map(through_map, [levels - 1]))

def through_sorted(levels=DEEP):
    return sorted([1, 2], key=lambda item: through_sorted(levels - 1))

ways = {
    "python": through_python,
    "map": through_map,
    "sorted": through_sorted,
    "a repr in Python": lambda: repr(Deeper()),
    "a comparison in Python": lambda: Deeper() == 1,
    "an attribute in Python": lambda: Deeper().name,
    "a list's repr": lambda: repr(nest(list)),
    "a list's comparison": lambda: nest(list) == nest(list),
    "pickle": lambda: pickle.dumps(nest(list)),
    "pickle in Python": lambda: pickle.dumps(Deeper()),
    "json": lambda: json.dumps(nest(list)),
    "deepcopy": lambda: copy.deepcopy(nest(list)),
    "isinstance": lambda: isinstance(1, nest(tuple)),
    "a tuple's hash": lambda: hash(nest(tuple)),
}

def sibling():
    main = getcurrent().parent
    while True:
        main.switch("fine")

def recurse(way):
    try:
        ways[way]()
    except RecursionError:
        return "RecursionError"
    return "no error"
"""

GO_ON = """
before = greenlet(sibling)
before.switch()
said = greenlet(recurse).switch(sys.argv[1])
assert before.switch() == greenlet(sibling).switch() == "fine"
assert greenlet(recurse).switch(sys.argv[1]) == said
print(said)
"""

WAYS = [
    "python",
    "map",
    "sorted",
    "a repr in Python",
    "a comparison in Python",
    "an attribute in Python",
    "a list's repr",
    "a list's comparison",
    "pickle",
    "pickle in Python",
    "json",
    "deepcopy",
    "isinstance",
    "a tuple's hash",
]


def recurse(
    way: str, *options: str, size: str | None = None, program: str = PROGRAM + GO_ON
) -> subprocess.CompletedProcess[str]:
    env = {} if size is None else {"GREENLOOM_STACK_SIZE": size}
    return run(sys.executable, *options, "-c", program, way, env=env)


def overflow(done: subprocess.CompletedProcess[str]) -> re.Match[str]:
    """The message of a process that ended by an overflow."""
    assert done.returncode == -signal.SIGABRT, done
    message = OVERFLOW.search(done.stderr)
    assert message, done.stderr
    return message


@pytest.mark.parametrize("way", [way for way in WAYS if way != "a tuple's hash"])
def test_recursion_ends_in_an_error_after_which_all_goes_on_or_in_words(way: str) -> None:
    done = recurse(way)
    # With a key that sorts, `sorted` takes more stack than 3.10 and 3.11 know.
    if way == "sorted" and not COUNTED:
        assert overflow(done)["name"] == "recurse"
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, "RecursionError\n", "")


@pytest.mark.parametrize("size", ["64k", "256k", "8m"])
@pytest.mark.parametrize("way", WAYS)
def test_on_stacks_of_any_size_it_never_ends_without_words(way: str, size: str) -> None:
    done = recurse(way, size=size)
    if done.returncode == 0:
        assert done.stdout in ("RecursionError\n", "no error\n")
    else:
        assert overflow(done)["size"] == {"64k": "64 KiB", "256k": "256 KiB", "8m": "8 MiB"}[size]


def test_what_nobody_counts_ends_in_words() -> None:
    message = overflow(recurse("a tuple's hash"))
    assert (message["name"], message["size"]) == ("recurse", "1 MiB")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("hash_it", "hash_it"),
        ("Holder().method", "Holder.method"),
        ("lambda: hash_it()", "<lambda>"),
        ("functools.partial(hash_it)", "functools.partial"),
    ],
)
def test_the_message_names_what_ran(function: str, name: str) -> None:
    program = f"""
import functools
def hash_it():
    hash(nest(tuple))
class Holder:
    def method(self):
        hash_it()
greenlet({function}).switch()
"""
    assert overflow(recurse("", program=PROGRAM + program))["name"] == name


@pytest.mark.parametrize("when", ["before", "after"])
def test_faulthandler_shows_the_frames_and_the_words_still_come(when: str) -> None:
    enable = "import faulthandler; faulthandler.enable()\n"
    program = enable + PROGRAM + GO_ON if when == "before" else PROGRAM + enable + GO_ON
    done = recurse("a tuple's hash", program=program)
    overflow(done)
    assert "most recent call first" in done.stderr
    assert " in recurse" in done.stderr


def test_an_overflow_in_another_thread_ends_in_words() -> None:
    program = """
import threading
thread = threading.Thread(target=lambda: greenlet(recurse).switch("a tuple's hash"))
thread.start()
thread.join()
"""
    assert overflow(recurse("", program=PROGRAM + program))["name"] == "recurse"


def test_a_fault_that_is_no_overflow_is_left_to_the_system() -> None:
    program = "import ctypes\ngreenlet(lambda: ctypes.string_at(8)).switch()\n"
    done = recurse("", program=PROGRAM + program)
    assert done.returncode == -signal.SIGSEGV
    assert "overflowed" not in done.stderr


# The size of stacks.


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [
        ("64k", 64 << 10),
        ("65536", 64 << 10),
        ("100000", 128 << 10),
        ("2m", 2 << 20),
        ("64M", 64 << 20),
        ("1", 64 << 10),
    ],
)
def test_the_environment_sets_the_size(given: str, bytes_: int) -> None:
    said = python("import greenloom; print(greenloom.stack_size())", env={"GREENLOOM_STACK_SIZE": given})
    assert int(said) == bytes_


@pytest.mark.parametrize("given", ["much", "-1", "0", "1g", "64k more", "1.5m"])
def test_a_size_in_the_environment_that_is_none_is_complained_about(given: str) -> None:
    program = "import greenloom.greenlet; print(greenloom.greenlet.greenlet(lambda: 1).switch())"
    done = run(sys.executable, "-c", program, env={"GREENLOOM_STACK_SIZE": given})
    assert "GREENLOOM_STACK_SIZE" in done.stderr
    assert given in done.stderr


def test_a_program_sets_the_size_of_those_that_begin_later() -> None:
    program = textwrap.dedent("""
        import greenloom
        early = greenlet(lambda: getcurrent().parent.switch() or recurse("a tuple's hash"))
        early.switch()
        assert greenloom.set_stack_size(100_000) == greenloom.stack_size() == 128 << 10
        greenlet(recurse).switch("a tuple's hash") if sys.argv[1] == "late" else early.switch()
    """)
    assert overflow(recurse("late", program=PROGRAM + program))["size"] == "128 KiB"
    assert overflow(recurse("early", program=PROGRAM + program))["size"] == "1 MiB"


@pytest.mark.parametrize("size", [0, -1, (64 << 20) + 1])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    before = greenloom.stack_size()
    with pytest.raises(ValueError, match=f"a stack of {size} bytes was asked for"):
        greenloom.set_stack_size(size)
    for wrong in "64k", 1.5, None:
        with pytest.raises(TypeError):
            greenloom.set_stack_size(wrong)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        greenloom.set_stack_size(1 << 70)
    assert greenloom.stack_size() == before

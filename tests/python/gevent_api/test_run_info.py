"""Reports of what runs, and the check that code lets others run."""

from __future__ import annotations

import threading
import time
from io import StringIO
from typing import Any

import pytest

import greenloom
from greenloom import getcurrent, sleep, spawn
from greenloom.greenlet import gettrace
from greenloom.local import local
from greenloom.util import (
    GreenletTree,
    assert_switches,
    clear_stack_frames,
    format_run_info,
    print_run_info,
    wrap_errors,
)


def test_it_shows_threads_greenlets_and_where_they_were_spawned() -> None:
    def report() -> str:
        current: Any = getcurrent()
        current.spawn_tree_locals["tree key"] = "tree value"
        stream = StringIO()
        print_run_info(file=stream)
        return stream.getvalue()

    storage = local()
    storage.name = "local value"
    one = spawn(report)
    one.name = "the reporter"
    text = one.get()
    assert "* Threads" in text
    assert "(CURRENT)" in text
    assert "* Greenlets" in text
    assert '"the reporter"' in text
    assert "Spawned at:" in text
    assert "test_it_shows_threads_greenlets" in text
    assert "'tree key': 'tree value'" in text
    assert "local value" in text


def test_stacks_may_be_left_out() -> None:
    text = "\n".join(format_run_info(thread_stacks=False, greenlet_stacks=False))
    assert "...stack elided..." in text
    assert "Running:" not in text


def test_other_threads_are_shown_with_their_names() -> None:
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait, name="the waiter")
    thread.start()
    try:
        assert "(the waiter)" in "\n".join(format_run_info())
    finally:
        leave.set()
        thread.join()


def test_the_tree_follows_who_spawned_whom() -> None:
    def parent() -> Any:
        child = spawn(GreenletTree.current_tree)
        child.name = "the child"
        return child.get()

    one = spawn(parent)
    one.name = "the parent"
    tree = one.get()
    assert tree.root
    assert tree.is_current_tree
    lines = str(tree).splitlines()
    (parent_line,) = (line for line in lines if '"the parent"' in line)
    (child_line,) = (line for line in lines if '"the child"' in line and line is not parent_line)
    assert child_line.index("+---") > parent_line.index("+---")
    assert "Parent:" not in str(tree)
    assert "Parent:" in tree.format()


def test_a_tree_deeper_than_the_recursion_limit_is_cut() -> None:
    tree = root = GreenletTree(getcurrent())
    for _ in range(3000):
        child = GreenletTree(getcurrent())
        tree.add_child(child)
        tree = child
    assert "deeper than the recursion limit" in root.format(details=False)


def test_looking_does_not_bring_greenlet_locals_to_life() -> None:
    made: list[Any] = []

    class Noting(local):
        def __init__(self) -> None:
            made.append(getcurrent())

    noting = Noting()
    assert len(made) == 1
    spawn(format_run_info).get()
    assert len(made) == 1
    assert noting is not None


def test_code_that_does_not_switch_fails_the_check() -> None:
    with pytest.raises(AssertionError, match="To any greenlet in"), assert_switches():
        pass
    with assert_switches():
        sleep(0)
    assert gettrace() is None


def test_code_may_run_for_the_allowed_time() -> None:
    with assert_switches(max_blocking_time=5):
        pass
    with (
        pytest.raises(AssertionError, match=r"max allowed 0\.0010 seconds"),
        assert_switches(max_blocking_time=0.001),
    ):
        time.sleep(0.01)


def test_only_switches_to_the_hub_may_count() -> None:
    with pytest.raises(AssertionError, match="To the hub"), assert_switches(0.001, hub_only=True):
        time.sleep(0.01)
    with assert_switches(5, hub_only=True):
        sleep(0)


def test_an_error_in_the_code_is_not_hidden_by_the_check() -> None:
    with pytest.raises(KeyError), assert_switches():
        raise KeyError


def test_wrapped_errors_are_returned() -> None:
    def function(number: int) -> float:
        """Divide."""
        return 1 / number

    wrapped = wrap_errors(ZeroDivisionError, function)
    assert wrapped(2) == 0.5
    assert isinstance(wrapped(0), ZeroDivisionError)
    assert wrapped.__doc__ == "Divide."
    assert str(wrapped) == str(function)
    with pytest.raises(TypeError):
        wrapped("x")


def test_stack_frames_forget_their_variables() -> None:
    def fail() -> None:
        big = [0]
        assert big
        raise KeyError

    with pytest.raises(KeyError) as caught:
        fail()
    frame = caught.tb.tb_next.tb_frame if caught.tb.tb_next else None
    assert frame is not None
    clear_stack_frames(frame)
    assert "big" not in frame.f_locals
    greenloom.sleep(0)

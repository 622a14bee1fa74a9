"""The class ``greenlet``: how it is called and derived from, and what its objects have beside ``switch``."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from greenloom.greenlet import GreenletExit, error, getcurrent, greenlet

any_greenlet: Any = greenlet
"""For calls that are wrong, and attributes that are the test's own."""


class Derived(greenlet):
    """With nothing of its own. It is called the slow way, ``greenlet`` itself the fast one."""


both = pytest.mark.parametrize("kind", [greenlet, Derived])


def wait() -> Any:
    return getcurrent().parent.switch()  # type: ignore[union-attr]


def show(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return args, kwargs


def started() -> greenlet:
    new = greenlet(wait)
    new.switch()
    return new


# Calling it.


@both
def test_run_and_parent_are_given_by_position_or_by_name(kind: Any) -> None:
    parent = greenlet(wait)
    for g in kind(show, parent), kind(show, parent=parent), kind(parent=parent, run=show):
        assert g.run is show
        assert g.parent is parent
    for g in kind(show), kind(show, None), kind(show, parent=None):
        assert g.parent is getcurrent()
    for g in kind(), kind(parent=parent):
        assert not hasattr(g, "run")


@both
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((show, None, 1), {}, r"greenlet\(\) takes at most 2 arguments \(3 given\)"),
        ((show,), {"run": show}, r"argument for greenlet\(\) given by name \('run'\) and position \(1\)"),
        ((show, None), {"parent": None}, "2 arguments|given by name"),
        ((), {"name": 1}, "'name'"),
        ((show,), {"name": 1}, "'name'"),
        ((show, 1), {}, "Expected any type of greenlet, not int"),
    ],
)
def test_wrong_arguments_are_refused(kind: Any, args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        kind(*args, **kwargs)


@both
def test_a_parent_that_would_be_its_own_child_is_refused(kind: Any) -> None:
    g = kind(show)
    with pytest.raises(ValueError, match="cyclic parent chain"):
        g.__init__(show, kind(show, g))


def test_one_that_was_not_initialised_can_be_later_and_again() -> None:
    g = greenlet.__new__(greenlet)
    assert (bool(g), g.dead, g.parent) == (False, False, getcurrent())
    g.__init__(len)  # type: ignore[misc]
    g.__init__(show)  # type: ignore[misc]
    assert g.switch(1) == ((1,), {})


def test_one_that_has_begun_is_not_initialised_again() -> None:
    g = started()
    with pytest.raises(AttributeError, match="run cannot be set after the start"):
        g.__init__(show)  # type: ignore[misc]
    g.__init__()  # type: ignore[misc]
    assert g.switch(5) == 5


# Deriving from it.


def test_a_derived_class_has_its_run_as_a_method() -> None:
    class Worker(greenlet):
        def run(self, *args: Any) -> Any:
            return self, args

    worker = Worker()
    assert worker.switch(1) == (worker, (1,))
    # The argument is for those who have no method.
    assert Worker(show).switch()[1] == ()


def test_a_derived_class_may_be_called_with_what_it_likes() -> None:
    class Named(greenlet):
        def __init__(self, name: str, *, size: int) -> None:
            self.name, self.size = name, size

        def run(self) -> str:
            return self.name * self.size

    assert Named("a", size=3).switch() == "aaa"
    with pytest.raises(TypeError, match="size"):
        Named("a")  # type: ignore[call-arg]


def test_a_derived_class_may_have_slots_but_no_other_layout() -> None:
    class Slots(greenlet):
        __slots__ = ("place",)
        place: object

    g = Slots(show)
    g.place = [g]
    assert g.switch() == ((), {})
    with pytest.raises(TypeError, match="lay-out conflict"):
        type("Both", (any_greenlet, list), {})


def test_a_destructor_of_a_derived_class_is_called_once_and_the_greenlet_ended() -> None:
    events: list[str] = []

    def run() -> None:
        try:
            wait()
        finally:
            events.append("ended")

    class Watched(greenlet):
        def __del__(self) -> None:
            events.append("deleted")

    g = Watched(run)
    g.switch()
    del g
    assert events == ["deleted", "ended"]


# `run`.


def test_run_can_be_replaced_until_it_has_begun() -> None:
    g = greenlet(show)
    g.run = len
    assert g.run is len
    assert g.switch("abc") == 3
    g = started()
    for begun in g, greenlet(g.switch), getcurrent():
        if begun is not g and begun is not getcurrent():
            begun.switch()
        assert not hasattr(begun, "run")
        with pytest.raises(AttributeError):
            begun.run = show
        with pytest.raises(AttributeError):
            del begun.run


def test_without_run_it_cannot_be_switched_to() -> None:
    for g in greenlet(), any_greenlet(None), any_greenlet(3):
        with pytest.raises((AttributeError, TypeError)):
            g.switch()
    g = greenlet(show)
    del g.run
    with pytest.raises(AttributeError, match="run"):
        g.switch()
    assert not g.dead
    g.run = show
    assert g.switch() == ((), {})


def test_an_error_in_finding_run_is_the_switchers() -> None:
    class Failing(greenlet):
        @property  # type: ignore[misc]
        def run(self) -> Any:
            raise KeyError("no run")

    g = Failing()
    with pytest.raises(KeyError, match="no run"):
        g.switch()
    assert not g.dead


# Its objects.


def test_it_can_be_referred_to_weakly_and_has_attributes() -> None:
    g: Any = greenlet(wait)
    reference = weakref.ref(g)
    g.name = "n"
    assert reference() == g
    assert vars(g) == {"name": "n"}
    g.__dict__ = {"other": 1}
    assert (g.other, hasattr(g, "name")) == (1, False)
    with pytest.raises(TypeError):
        g.__dict__ = 3
    with pytest.raises(TypeError):
        del g.__dict__
    del g
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_can_be_neither_copied_nor_pickled(duplicate: Callable[[Any], Any]) -> None:
    for g in greenlet(wait), started(), getcurrent(), Derived(wait):
        with pytest.raises(TypeError, match=r"greenlet'|Derived'"):
            duplicate(g)


def test_what_describes_it_is_only_read() -> None:
    g = started()
    for name in "gr_frame", "dead", "_stack_saved":
        with pytest.raises(AttributeError):
            setattr(g, name, 1)
    assert "suspended active started" in repr(g)
    assert "current active started main" in repr(getcurrent())
    assert "pending" in repr(greenlet(show))
    g.throw()
    assert repr(g).endswith("dead>")


def test_the_modules_names_are_on_the_class() -> None:
    assert greenlet.GreenletExit is GreenletExit
    assert greenlet.error is error
    assert greenlet.getcurrent() is getcurrent()
    assert (issubclass(GreenletExit, BaseException), issubclass(GreenletExit, Exception)) == (True, False)


# `gr_context`.

variable: ContextVar[str] = ContextVar("variable", default="unset")


def test_each_greenlet_has_a_context_of_its_own_which_starts_empty() -> None:
    def run() -> str:
        before = variable.get()
        variable.set("its own")
        wait()
        return f"{before}, then {variable.get()}"

    outer = copy_context()

    def main() -> None:
        variable.set("the starter's")
        g: Any = greenlet(run)
        assert g.gr_context is None
        g.switch()
        assert variable.get() == "the starter's"
        context: Any = g.gr_context
        assert context[variable] == "its own"
        assert g.switch() == "unset, then its own"

    outer.run(main)


def test_a_context_can_be_given_before_and_while_it_is_suspended() -> None:
    context = Context()
    context.run(variable.set, "given")
    g = greenlet(lambda: (variable.get(), wait(), variable.get()))
    g.gr_context = context
    assert g.gr_context is context
    g.switch()
    g.gr_context = None
    assert g.switch() == ("given", (), "unset")
    # Inside, it is the running one.
    assert greenlet(lambda: getcurrent().gr_context).switch() is None


def test_what_is_no_context_is_refused() -> None:
    g = any_greenlet(wait)
    for value in 1, "context":
        with pytest.raises(TypeError, match=r"must be a contextvars\.Context or None"):
            g.gr_context = value
    with pytest.raises(AttributeError, match="can't delete context attribute"):
        del g.gr_context

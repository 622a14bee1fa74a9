"""Context variables: a greenlet starts without any, unless it is asked to inherit them."""

from __future__ import annotations

import contextvars

import pytest

import greenloom
from greenloom import Greenlet, spawn

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


@pytest.fixture
def inherit() -> object:
    greenloom.config.inherit_context = True
    yield
    greenloom.config.inherit_context = False


def test_a_greenlet_has_none_of_its_spawner() -> None:
    def run() -> None:
        variable.set("spawner")
        assert spawn(variable.get).get() == "none"

    contextvars.copy_context().run(run)


def test_a_context_may_be_given_and_is_not_passed_on() -> None:
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    one = Greenlet(variable.get, context=context)
    one.start()
    assert one.get() == "given"

    def set_it() -> None:
        variable.set("changed")

    spawn(set_it, context=context).get()
    assert context[variable] == "changed"


def test_another_argument_of_that_name_is_the_functions() -> None:
    def function(context: str) -> str:
        return context

    assert spawn(function, context="mine").get() == "mine"


@pytest.mark.usefixtures("inherit")
def test_with_the_setting_it_has_a_copy() -> None:
    def change() -> str:
        seen = variable.get()
        variable.set("child")
        return seen

    def run() -> None:
        variable.set("spawner")
        assert spawn(change).get() == "spawner"
        assert variable.get() == "spawner"

    contextvars.copy_context().run(run)


def test_greenlets_do_not_see_each_others() -> None:
    def work(value: str) -> str:
        variable.set(value)
        greenloom.sleep(0)
        return variable.get()

    assert [one.get() for one in [spawn(work, "a"), spawn(work, "b")]] == ["a", "b"]
    assert variable.get() == "none"

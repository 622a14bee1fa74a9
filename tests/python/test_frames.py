"""Frames, tracebacks and generators: each greenlet has its own, and they can be looked at from outside."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Generator
from types import FrameType
from typing import Any

import pytest

from greenloom.greenlet import getcurrent, greenlet
from programs import run as run_program


def wait(value: Any = None) -> Any:
    return getcurrent().parent.switch(value)  # type: ignore[union-attr]


def started(run: Callable[..., Any], *args: Any) -> Any:
    new = greenlet(run)
    new.switch(*args)
    return new


def names(frame: FrameType | None) -> list[str]:
    """The functions from the innermost out, to the end of the line."""
    found = []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


def outer(levels: int) -> Any:
    local = f"level {levels}"
    result = wait(local) if levels == 0 else outer(levels - 1)
    return result, local


# gr_frame.


def test_a_suspended_greenlet_shows_where_it_waits() -> None:
    g = started(outer, 2)
    frame = g.gr_frame
    assert names(frame) == ["wait", "outer", "outer", "outer"]
    assert frame is g.gr_frame
    assert frame.f_back.f_locals == {"levels": 0, "local": "level 0"}
    assert frame.f_back.f_back.f_locals["local"] == "level 1"
    stack = traceback.extract_stack(frame)
    assert [entry.name for entry in stack] == ["outer", "outer", "outer", "wait"]
    assert stack[-1].line == "return getcurrent().parent.switch(value)  # type: ignore[union-attr]"


def test_only_a_suspended_one_has_a_frame() -> None:
    assert greenlet(wait).gr_frame is None
    assert getcurrent().gr_frame is None
    assert greenlet(lambda: getcurrent().gr_frame).switch() is None
    g = started(wait)
    g.switch()
    assert g.gr_frame is None


def test_the_waiting_starter_shows_its_frames_and_the_running_one_only_its_own() -> None:
    main = getcurrent()

    def look() -> tuple[list[str], list[str]]:
        return names(main.gr_frame), names(sys._getframe())

    starters, own = greenlet(look).switch()
    assert starters[0] == sys._getframe().f_code.co_name
    assert starters == names(sys._getframe())
    assert own == ["look"]


def test_a_frame_outlives_its_greenlet() -> None:
    g = started(outer, 1)
    frame = g.gr_frame
    assert g.switch("end") == (("end", "level 0"), "level 1")
    del g
    assert names(frame) == ["wait", "outer", "outer"]
    assert frame.f_locals == {"value": "level 0"}
    assert frame.f_lineno > 0
    frame.clear()


def test_the_frame_of_a_suspended_greenlet_cannot_be_cleared() -> None:
    g = started(outer, 0)
    with pytest.raises(RuntimeError, match="cannot clear"):
        g.gr_frame.clear()
    assert g.switch(1) == (1, "level 0")


def test_debuggers_see_the_frames_of_the_running_greenlet() -> None:
    def look() -> list[str]:
        return names(next(frame for frame in sys._current_frames().values() if "look" in names(frame)))

    assert greenlet(look).switch() == ["look"]
    done = run_program(
        sys.executable,
        "-c",
        "import faulthandler\n"
        "from greenloom.greenlet import greenlet\n"
        "def inner(): faulthandler.dump_traceback(all_threads=True)\n"
        "def outer(): inner()\n"
        "greenlet(outer).switch()\n",
    )
    assert done.returncode == 0
    assert [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("  File")] == [
        "inner",
        "outer",
    ]


# Exceptions.


def test_the_traceback_of_an_error_goes_through_the_switches() -> None:
    def fail() -> None:
        raise LookupError("deep")

    def middle() -> None:
        greenlet(fail).switch()

    with pytest.raises(LookupError) as caught:
        greenlet(middle).switch()
    assert [entry.name for entry in caught.traceback] == [sys._getframe().f_code.co_name, "middle", "fail"]
    assert names(sys._getframe())[0] == sys._getframe().f_code.co_name


def test_each_greenlet_handles_its_own_exception() -> None:
    def handle(name: str) -> None:
        try:
            raise KeyError(name)
        except KeyError:
            wait()
            assert str(sys.exc_info()[1]) == repr(name)
            with pytest.raises(KeyError, match=name):
                raise
            wait()
        assert sys.exc_info() == (None, None, None)

    several = [started(handle, name) for name in "abc"]
    assert sys.exc_info() == (None, None, None)
    try:
        raise ValueError("outside")
    except ValueError:
        for g in reversed(several):
            g.switch()
        assert str(sys.exc_info()[1]) == "outside"
        assert greenlet(sys.exc_info).switch() == (None, None, None)
    for g in several:
        g.switch()
        assert g.dead


def test_the_exception_that_the_starter_handles_is_not_the_context_of_one_inside() -> None:
    def fail() -> None:
        raise KeyError("inside")

    try:
        raise ValueError("outside")
    except ValueError:
        with pytest.raises(KeyError) as caught:
            greenlet(fail).switch()
    assert caught.value.__context__ is None


# Generators and coroutines.


def test_a_generator_may_switch_and_is_busy_until_it_is_switched_back_to() -> None:
    def generate() -> Generator[Any, None, None]:
        yield wait()

    generator: Any = generate()
    g = started(lambda: next(generator))
    assert names(g.gr_frame) == ["wait", "generate", "<lambda>"]
    assert generator.gi_running
    with pytest.raises(ValueError, match="generator already executing"):
        greenlet(lambda: next(generator)).switch()
    with pytest.raises(ValueError, match="generator already executing"):
        generator.close()
    assert g.switch(5) == 5
    assert list(generator) == []


def test_a_generator_may_be_resumed_by_one_greenlet_after_another() -> None:
    def generate() -> Generator[Any, None, None]:
        while True:
            yield names(sys._getframe())

    generator = generate()

    def take_a_turn() -> Any:
        return wait(next(generator)), next(generator)

    first, second = greenlet(take_a_turn), greenlet(take_a_turn)
    assert first.switch() == second.switch() == ["generate", "take_a_turn"]
    assert first.switch() == second.switch() == ((), ["generate", "take_a_turn"])
    assert next(generator) == ["generate", *names(sys._getframe())]


def test_a_generator_keeps_the_exception_that_it_handles_across_switches() -> None:
    def generate() -> Generator[Any, None, None]:
        try:
            yield
        except KeyError:
            wait()
            yield sys.exc_info()[0]

    generator = generate()
    next(generator)
    g = started(lambda: generator.throw(KeyError()))
    assert sys.exc_info() == (None, None, None)
    assert g.switch() is KeyError


def test_a_dropped_greenlet_ends_the_generators_that_it_is_in() -> None:
    ended: list[str] = []

    def generate(name: str) -> Generator[Any, None, None]:
        try:
            if name == "outer":
                yield from generate("inner")
            wait()
            yield
        finally:
            ended.append(name)

    g = started(lambda: list(generate("outer")))
    del g
    assert ended == ["inner", "outer"]


def test_a_coroutine_may_switch_in_the_middle_of_an_await() -> None:
    async def inner() -> Any:
        return wait()

    async def awaits() -> Any:
        return await inner(), "awaited"

    def drive(coroutine: Any) -> Any:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value

    coroutine: Any = awaits()
    g = started(drive, coroutine)
    assert coroutine.cr_running
    assert names(g.gr_frame) == ["wait", "inner", "awaits", "drive"]
    assert g.switch(5) == (5, "awaited")


def test_blocking_code_in_a_greenlet_can_await_through_the_one_outside() -> None:
    def await_(awaitable: Awaitable[Any]) -> Any:
        return getcurrent().parent.switch(awaitable)  # type: ignore[union-attr]

    async def spawn(function: Callable[[], Any]) -> Any:
        g = greenlet(function)
        result = g.switch()
        while not g.dead:
            result = g.switch(await result)
        return result

    async def work(number: int) -> list[Any]:
        def blocking() -> list[Any]:
            task = asyncio.current_task()
            seen = [await_(asyncio.sleep(0, (number, turn))) for turn in range(3)]
            assert asyncio.current_task() is task
            return seen

        return await spawn(blocking)  # type: ignore[no-any-return]

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*(work(number) for number in range(5)))

    expected = [[(number, turn) for turn in range(3)] for number in range(5)]
    assert asyncio.run(main()) == expected
    assert greenlet(lambda: asyncio.run(main())).switch() == expected

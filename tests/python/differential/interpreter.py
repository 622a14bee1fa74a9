"""Runs generated programs against the greenlet module that it is told, and logs all that can be observed.

    python -m differential.interpreter MODULE      reads programs, a JSON object a line, and answers with a line each

It runs in both implementations' interpreters, so it imports the standard library only. A program is
`{"scripts": [script, ...], "main": [step, ...], "budget": n}`; a greenlet's body follows a script, which is steps and
what it ends with. A step is an operation, and what to do about its exception. Greenlets are held by the numbered
slots only: nothing else here may keep one alive, for the moment of its death is a part of what is compared.

It always ends: each operation takes one from the budget, and without budget left every script returns at once.
"""

from __future__ import annotations

import contextvars
import gc
import importlib
import json
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from differential.operations import Operations

ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class Custom(Exception):
    """An exception that only programs raise."""


class Program:
    """One run of one program."""

    def __init__(self, api: Any, source: dict[str, Any]) -> None:
        self.api = api
        self.scripts = source["scripts"]
        self.source = source
        self.left: int = source["budget"]
        self.log: list[Any] = []
        self.main = api.getcurrent()
        self.slots: list[Any] = [None] * 6
        self.born: dict[str, weakref.ref[Any]] = {}
        self.variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default="unset")
        self.operations = Operations(self)

    # What the log says: names in the place of objects, shapes in the place of addresses.

    def tell(self, what: str, *outcome: Any) -> None:
        """Log one observation of the current greenlet."""
        self.log.append([self.show(self.api.getcurrent()), what, *outcome])

    def show(self, value: Any) -> Any:
        """A value in words that are the same for both implementations."""
        if value is self.main:
            return "main"
        # Not api.greenlet, which a module may put a subclass in the place of, as the sabotaged one does.
        if isinstance(value, type(self.main)):
            return getattr(value, "name", "unnamed")
        if isinstance(value, BaseException):
            return f"{type(value).__name__}({', '.join(str(self.show(arg)) for arg in value.args)})"
        if isinstance(value, (tuple, list)):
            return [type(value).__name__, *(self.show(item) for item in value)]
        if isinstance(value, dict):
            return {str(key): self.show(value[key]) for key in sorted(value)}
        return ADDRESS.sub("0x", repr(value))

    # Greenlets.

    def name(self, greenlet: Any) -> str:
        """Name a new greenlet, and log when it is gone."""
        name = f"g{len(self.born) + 1}"
        greenlet.name = name
        self.born[name] = weakref.ref(greenlet, lambda _: self.tell("gone", name))
        return name

    def find(self, ref: Any) -> Any:
        """The greenlet that a reference of the program means: a slot's number or a word; None if there is none."""
        if ref == "current":
            return self.api.getcurrent()
        if ref == "parent":
            return self.api.getcurrent().parent
        return self.main if ref == "main" else self.slots[ref]

    def body(self, number: int) -> Callable[..., Any]:
        """A function that follows a script."""

        def follow(*args: Any, **kwargs: Any) -> Any:
            self.tell("start", self.show(args), self.show(kwargs))
            del args, kwargs
            script = self.scripts[number]
            for step in script["steps"]:
                if self.left <= 0:
                    break
                returns, value = self.step(step)
                if returns:
                    return value
                del value
            self.tell("end", script["end"])
            if script["end"] == "exit":
                raise self.api.GreenletExit("ended")
            if script["end"] == "raise":
                raise Custom("ended")
            return self.find("current") if script["end"] == "self" else script["end"]

        return follow

    # Steps.

    def step(self, step: dict[str, Any]) -> tuple[bool, Any]:
        """Do one step; says whether the script is to return, and what."""
        catch = step["catch"]
        try:
            self.perform(step["do"])
        except BaseException as error:
            self.tell("caught", catch, self.show(error), self.chain(error))
            if catch == "return":
                return True, "caught"
            if catch == "replace":
                raise Custom("replaced") from None
            if catch == "during":
                raise Custom("raised while handling")  # noqa: B904
            if catch == "again" or (catch == "ordinary" and not isinstance(error, Exception)):
                raise
        finally:
            if step["finally"] is not None:
                self.step({"do": step["finally"], "catch": "all", "finally": None})
        return False, None

    def chain(self, error: BaseException) -> list[Any]:
        """What an exception was raised during or from, and the functions it came through."""
        chain: list[Any] = []
        context = error.__context__
        while context is not None and len(chain) < 4:
            chain.append(self.show(context))
            context = context.__context__
        return [chain, self.show(error.__cause__)]

    def perform(self, do: list[Any]) -> None:
        """Do one operation and log what it answers. Its exception is passed on."""
        if self.left <= 0:
            return
        self.left -= 1
        kind, *arguments = do
        if kind == "nest":
            self.nest(*arguments)
            return
        answer = getattr(self.operations, kind)(*arguments)
        self.tell(kind, self.show(answer))

    def nest(self, how: str, do: list[Any]) -> None:
        """Do an operation below frames of a certain kind, so that a switch leaves those suspended too."""
        self.tell("nest", how)
        if how == "except":
            try:
                raise Custom("handled")
            except Custom:
                self.perform(do)
                self.tell("handling", self.show(sys.exc_info()[1]))
        elif how == "generator":
            self.tell("generator", sum(self.generate(do)))
        elif how == "sort":
            self.tell("sort", sorted([2, 1], key=lambda number: self.key(number, do)))
        elif how == "deep":
            self.deep(30, do)
        elif how == "context":
            contextvars.copy_context().run(self.in_context, do)
        elif how == "del":
            Finalized(lambda: self.perform(do))
        elif how == "thread":
            thread = threading.Thread(target=self.in_thread, args=(do,))
            thread.start()
            thread.join()
        self.tell("nested", how, self.show(sys.exc_info()[1]), self.variable.get())

    def generate(self, do: list[Any]) -> Iterator[int]:
        """A generator that is suspended around an operation and during it."""
        yield 1
        self.perform(do)
        yield 2

    def key(self, number: int, do: list[Any]) -> int:
        """Do it when asked for one of the keys to sort by: C code is suspended then."""
        if number == 1:
            self.perform(do)
        return number

    def deep(self, depth: int, do: list[Any]) -> None:
        """Recurse, then do it."""
        if depth:
            self.deep(depth - 1, do)
        else:
            self.perform(do)

    def in_context(self, do: list[Any]) -> None:
        """Do it in a context of its own."""
        self.variable.set("in a context")
        self.perform(do)
        self.tell("in context", self.variable.get())

    def in_thread(self, do: list[Any]) -> None:
        """Do it in another thread."""
        try:
            self.perform(do)
        except BaseException as error:
            self.tell("raised in the thread", self.show(error))

    # The whole.

    def run(self) -> dict[str, Any]:
        """Follow the program, then let go of everything; returns the log and how many greenlets outlived it."""
        context = self.main.gr_context
        sys.unraisablehook = lambda event: self.tell("unraisable", self.show(event.exc_value))
        for step in self.source["main"]:
            self.step(step)
        self.api.settrace(None)
        self.tell("finish", sorted(name for name, ref in self.born.items() if ref() is not None))
        self.finish()
        # Main goes on to the next program.
        self.main.__dict__.clear()
        if self.main.gr_context is not context:
            self.main.gr_context = context
        survivors = sorted(name for name, ref in self.born.items() if ref() is not None)
        return {"log": [*self.log, ["", "survivors", survivors]], "survivors": len(survivors)}

    def finish(self) -> None:
        """Drop all, collect, and end what only its own frames keep alive."""
        self.left = 0
        for number in range(len(self.slots)):
            self.slots[number] = None
        for ref in list(self.born.values()):
            try:
                self.end(ref)
            except BaseException as error:
                self.tell("ended with", self.show(error))
        gc.collect()

    def is_suspended(self, greenlet: Any) -> bool:
        """Whether it has begun, is not the current one and has not ended."""
        if greenlet is None or greenlet is self.api.getcurrent():
            return False
        # Not bool(greenlet), which a subclass may have made something else of.
        return bool(self.api.greenlet.__bool__(greenlet))

    def end(self, ref: weakref.ref[Any]) -> None:
        """Throw into a greenlet that is suspended."""
        greenlet = ref()
        if greenlet is not None and self.is_suspended(greenlet):
            self.tell("ends", self.show(greenlet), self.show(greenlet.throw()))


class Finalized:
    """Does something when it is deleted, which is at once."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action

    def __del__(self) -> None:
        self.action()


def main(module: str) -> None:
    """Answer programs until the input ends."""
    api = importlib.import_module(module)
    api.getcurrent()
    # Collections come where a program asks for them, and then look at its own objects only.
    gc.disable()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(Program(api, json.loads(line)).run()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""The operations of programs: one method each, which returns what is to be logged.

Run by `interpreter` in the child. References to greenlets stay within a call, so that they do not keep one alive.
"""

from __future__ import annotations

import contextvars
import copy
import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from differential.interpreter import Program

EXCEPTIONS = {"ValueError": ValueError, "KeyError": KeyError, "KeyboardInterrupt": KeyboardInterrupt}


class Operations:
    """All operations, for one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        base: Any = program.api.greenlet

        class Plain(base):  # type: ignore[misc]
            """A subclass with nothing of its own."""

        class Method(base):  # type: ignore[misc]
            """A subclass that has its body as a method, and its script as an attribute."""

            def run(self, *args: Any, **kwargs: Any) -> Any:
                # `self` would be a reference of the running frame to its own greenlet.
                follow = program.body(self.script)
                del self
                return follow(*args, **kwargs)

        class Falsy(base):  # type: ignore[misc]
            """A subclass with special methods of its own that the implementation may not be confused by."""

            def __bool__(self) -> bool:
                return False

            def __eq__(self, other: object) -> bool:
                return True

            __hash__ = None  # type: ignore[assignment]

        self.kinds = {"plain": base, "subclass": Plain, "method": Method, "falsy": Falsy}

    # A greenlet's life.

    def create(self, slot: int, script: int, kind: str, parent: Any) -> Any:
        """A new greenlet in a slot; what the slot held is let go of afterwards."""
        cls = self.kinds[kind]
        arguments: list[Any] = [None if kind == "method" else self.program.body(script)]
        if parent is not None:
            arguments.append(self.value(parent))
        greenlet = cls() if kind == "method" and parent is None else cls(*arguments)
        greenlet.script = script
        name = self.program.name(greenlet)
        self.program.slots[slot] = greenlet
        return name

    def again(self, ref: Any, script: int, parent: Any) -> Any:
        """Call `__init__` once more."""
        target = self.program.find(ref)
        arguments = [] if parent is None else [self.value(parent)]
        return target is None or target.__init__(self.program.body(script), *arguments)

    def switch(self, ref: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Switch, and log what is handed back."""
        target = self.program.find(ref)
        if target is None:
            return "empty"
        values = [self.value(arg) for arg in args]
        named = {key: self.value(arg) for key, arg in kwargs.items()}
        call = target.switch
        del target
        return call(*values, **named)

    def throw(self, ref: Any, form: str, exception: str) -> Any:
        """Throw in one of the forms that throw() takes, or ones that it should not."""
        target = self.program.find(ref)
        if target is None:
            return "empty"
        call = target.throw
        del target
        return call(*self.thrown(form, exception))

    def thrown(self, form: str, exception: str) -> tuple[Any, ...]:
        """The arguments of throw()."""
        cls: Any = EXCEPTIONS.get(exception) or self.program.api.GreenletExit
        forms: dict[str, tuple[Any, ...]] = {
            "nothing": (),
            "class": (cls,),
            "instance": (cls("thrown"),),
            "class and value": (cls, "value"),
            "class and tuple": (cls, ("one", 2)),
            "class and instance": (cls, cls("given")),
            "class and another's instance": (cls, OSError("other")),
            "class and none": (cls, None, None),
            "class and traceback": (cls, "value", traceback_of(cls)),
            "instance and value": (cls("thrown"), "value"),
            "no traceback": (cls, "value", "traceback"),
            "none": (None,),
            "text": ("text",),
            "object": (object,),
            "too many": (cls, "value", None, None),
        }
        return forms[form]

    def drop(self, slot: int) -> str:
        """Let go of a slot's greenlet, which ends it if that was the last reference."""
        self.program.slots[slot] = None
        return "dropped"

    def copy(self, slot: int, other: int) -> str:
        """A second reference."""
        self.program.slots[slot] = self.program.slots[other]
        return "copied"

    def collect(self) -> str:
        """Run the cycle collector. How many objects it finds is not the same for both, nor has it to be.

        Not while a greenlet is suspended: greenloom collects those too, which the original never does.
        """
        if any(self.program.is_suspended(ref()) for ref in self.program.born.values()):
            return "left alone"
        gc.collect()
        return "collected"

    def cycle(self, ref: Any) -> Any:
        """Make a greenlet part of a reference cycle that only the collector can end."""
        target = self.program.find(ref)
        if target is not None and target is not self.program.main:
            # In a list, because a dict stays unknown to the collector if all that it holds is one that the original
            # does not let be collected just then, a running greenlet.
            target.itself = [target]
        return "cyclic"

    # What can be read and set.

    def state(self, ref: Any) -> Any:
        """Read all that a greenlet says about itself."""
        target = self.program.find(ref)
        if target is None:
            return "empty"
        frame = target.gr_frame
        return [
            bool(target),
            target.dead,
            target.parent,
            None if frame is None else [frame.f_code.co_name, frame.f_back is not None],
            target.gr_context is None,
            sorted(key for key in target.__dict__ if key not in ("name", "script")),
            repr(target),
            hasattr(target, "run"),
            type(target).__name__,
        ]

    def frames(self, ref: Any) -> Any:
        """The functions that a suspended greenlet is in, innermost first."""
        target = self.program.find(ref)
        frame = None if target is None else target.gr_frame
        names = []
        while frame is not None:
            names.append([frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno])
            frame = frame.f_back
        # A running greenlet's frames go on into the interpreter's own, which are not the program's.
        return names if target is not self.program.api.getcurrent() else len(names) > 0

    def put(self, ref: Any, attribute: str, value: Any) -> Any:
        """Set an attribute to whatever."""
        target = self.program.find(ref)
        return "empty" if target is None else setattr(target, attribute, self.value(value))

    def delete(self, ref: Any, attribute: str) -> Any:
        """Delete an attribute."""
        target = self.program.find(ref)
        return "empty" if target is None else delattr(target, attribute)

    def duplicate(self, ref: Any) -> Any:
        """Copying is an error."""
        target = self.program.find(ref)
        return "empty" if target is None else copy.copy(target)

    def value(self, code: Any) -> Any:
        """The object that a value of the program stands for."""
        kind, *arguments = code
        if kind == "greenlet":
            return self.program.find(arguments[0])
        if kind == "body":
            return self.program.body(arguments[0])
        if kind == "context":
            return contextvars.copy_context()
        if kind == "tuple":
            return tuple(self.value(item) for item in arguments[0])
        if kind == "dict":
            return {"key": 1}
        return arguments[0]

    # What surrounds greenlets.

    def trace(self, how: str) -> Any:
        """Set a trace function: one that logs, one that raises after logging, none, or something else."""
        api, tell, show = self.program.api, self.program.tell, self.program.show

        def log(event: str, args: tuple[Any, Any]) -> None:
            tell("trace", event, show(args[0]), show(args[1]))
            if how == "raise":
                raise ValueError("from the trace function")

        previous = api.settrace({"on": log, "raise": log, "off": None}.get(how, "no function"))
        return [previous is not None, api.gettrace() is not None]

    def set_variable(self, value: int) -> Any:
        """Set the context variable where the current greenlet stands."""
        self.program.variable.set(value)
        return self.program.variable.get()

    def get_variable(self) -> Any:
        """Read it."""
        return self.program.variable.get()

    def raise_error(self, exception: str) -> None:
        """Raise an exception of its own."""
        raise (EXCEPTIONS.get(exception) or self.program.api.GreenletExit)("raised")


def traceback_of(cls: type[BaseException]) -> Any:
    """A traceback object."""
    try:
        raise cls("for its traceback")
    except BaseException as error:
        return error.__traceback__

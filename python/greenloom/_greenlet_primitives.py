"""Raw greenlets that the hub is made of, and the list of all there are."""

from __future__ import annotations

from collections.abc import Callable
from gc import get_objects
from typing import Any, NoReturn
from weakref import ref

from greenloom._greenloom import HubBase, getcurrent, greenlet
from greenloom.exceptions import BlockingSwitchOutError

__all__ = ["SwitchOutGreenletWithLoop", "TrackedRawGreenlet", "get_memory", "get_reachable_greenlets"]


def inherited_locals(spawner: Any) -> dict[str, Any]:
    """Return the ``spawn_tree_locals`` that a greenlet made by ``spawner`` has: those of the spawner.

    A spawner without any gets a new dictionary, unless it is a main greenlet, whose children share nothing.
    """
    # Not by catching AttributeError, which takes longer than all the rest: main greenlets spawn the most.
    shared: dict[str, Any] | None = getattr(spawner, "spawn_tree_locals", None)
    if shared is None:
        shared = {}
        if spawner.parent is not None:
            spawner.spawn_tree_locals = shared
    return shared


class TrackedRawGreenlet(greenlet):
    """A raw greenlet that knows who made it. The stack at that time is not kept, unlike with ``Greenlet``."""

    def __init__(self, function: Callable[..., Any] | None, parent: greenlet | None) -> None:
        super().__init__(function, parent)
        maker = getcurrent()
        self.spawn_tree_locals = inherited_locals(maker)
        self.spawning_greenlet = ref(maker)


class SwitchOutGreenletWithLoop(HubBase, TrackedRawGreenlet):
    """What a hub is, seen by those who switch to it."""

    def switch_out(self) -> NoReturn:
        """Refuse: nobody could ever resume a loop callback that waits."""
        raise BlockingSwitchOutError("Impossible to call blocking function in the event loop callback")


def get_reachable_greenlets() -> list[greenlet]:
    """Return all greenlets that the garbage collector knows, but those with ``greenlet_tree_is_ignored``."""
    # Not `isinstance`, which would ask each object for its `__class__`: a greenlet-local would come to life here.
    return [
        found
        for found in get_objects()
        if issubclass(type(found), greenlet) and not getattr(found, "greenlet_tree_is_ignored", False)
    ]


def get_memory(data: Any) -> memoryview | bytes:
    """Return ``data`` as something to slice: a memoryview, or bytes if it has no shape (as ctypes objects)."""
    view = data if isinstance(data, memoryview) else memoryview(data)
    return view if view.shape else view.tobytes()

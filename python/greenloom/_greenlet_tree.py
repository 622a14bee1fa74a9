"""The tree of who spawned whom, and its picture in text."""

from __future__ import annotations

import pprint
import traceback
from typing import Any, ClassVar, Final

from greenloom._greenlet_primitives import get_reachable_greenlets
from greenloom._greenloom import getcurrent

#: How many frames of a running greenlet are shown; None for all.
STACK_LIMIT: Final[int | None] = None

#: A line, and whether it belongs to the node above it (a detail) rather than to the tree itself.
_Line = tuple[bool, str]


class GreenletTree:
    """A greenlet and the trees of those that it spawned. ``str`` of it is the picture without details.

    Attributes that it does not have are the greenlet's.
    """

    #: The greenlet at the root of this tree.
    greenlet: Any = None

    #: Whether this is the whole tree of the current thread.
    is_current_tree = False

    #: The details that are shown unless :meth:`format` is told otherwise.
    DEFAULT_DETAILS: ClassVar[dict[str, Any]] = {
        "running_stacks": True,
        "running_stack_limit": STACK_LIMIT,
        "spawning_stacks": True,
        "locals": True,
    }

    __module__ = "greenloom.util"  # where it is public

    #: The trees of those that it spawned.
    child_trees: list[GreenletTree]

    def __init__(self, greenlet: Any) -> None:
        self.child_trees = []
        self.greenlet = greenlet

    def __getattr__(self, name: str) -> Any:
        return getattr(self.greenlet, name)

    def add_child(self, tree: GreenletTree) -> None:
        """Add the tree of one that this greenlet spawned."""
        if tree is not self:
            self.child_trees.append(tree)

    @property
    def root(self) -> bool:
        """Whether the greenlet is a main greenlet."""
        return self.greenlet.parent is None

    @classmethod
    def forest(cls) -> list[GreenletTree]:
        """Return one tree for each thread with greenlets."""
        return list(cls._forest()[0].values())

    @classmethod
    def current_tree(cls) -> GreenletTree:
        """Return the tree of the current thread."""
        return cls._forest()[1]

    @classmethod
    def _forest(cls) -> tuple[dict[Any, GreenletTree], GreenletTree]:
        trees: dict[Any, GreenletTree] = {}

        def tree_of(greenlet: Any) -> GreenletTree:
            tree = trees.get(greenlet)
            if tree is None:
                tree = trees[greenlet] = cls(greenlet)
            return tree

        main = _root_of(getcurrent())
        current = tree_of(main)
        current.is_current_tree = True
        roots = {main: current}
        # In no order: a child may come before its spawner.
        for greenlet in get_reachable_greenlets():
            spawner = _spawner_of(greenlet)
            if spawner is None:
                spawner = _root_of(greenlet)
            if spawner is _root_of(spawner):
                roots.setdefault(spawner, tree_of(spawner))
            tree_of(spawner).add_child(tree_of(greenlet))
        return roots, current

    def format(self, details: bool | dict[str, Any] = True) -> str:
        """Return the picture, with all details, with none, or with the :attr:`DEFAULT_DETAILS` changed."""
        return "\n".join(self.format_lines(details))

    def format_lines(self, details: bool | dict[str, Any] = True) -> list[str]:
        """Return the lines of :meth:`format`."""
        wanted: dict[str, Any] = {}
        if details or isinstance(details, dict):
            wanted = {**self.DEFAULT_DETAILS, **(details if isinstance(details, dict) else {})}
        return [text for _, text in self._render(wanted, 0)]

    def __str__(self) -> str:
        return self.format(False)

    def _render(self, wanted: dict[str, Any], depth: int) -> list[_Line]:
        marker = " " if depth else ":"
        lines: list[_Line] = [(False, self._label())]
        if wanted:
            lines += [(True, f" {marker}    {detail}") for detail in self._details(wanted)]
        children = sorted(self.child_trees, key=_drawing_order)
        for child in children:
            last = child is children[-1]
            try:
                (_, head), *rest = child._render(wanted, depth + 1)
            except RecursionError:
                lines.append((False, " +--- ... (deeper than the recursion limit)"))
                break
            lines.append((False, f" +--- {head}"))
            for is_detail, text in rest:
                if is_detail:
                    lines.append((True, f" {' ' if last else marker}    {text}"))
                else:
                    lines.append((False, f" {' ' if last else '|'}   {text}"))
        return lines

    def _label(self) -> str:
        greenlet = self.greenlet
        label = repr(greenlet)
        if greenlet:
            return label
        # Raw greenlets have no `ready`.
        if not getattr(greenlet, "ready", bool)():
            return f"{label}; not running"
        if greenlet.value is not None:
            return f"{label}; finished with value {repr(greenlet.value)[:30]}"
        if getattr(greenlet, "exception", None) is not None:
            return f"{label}; finished with exception {greenlet.exception!r}"
        return f"{label}; finished"

    def _details(self, wanted: dict[str, Any]) -> list[str]:
        greenlet = self.greenlet
        found = [f"Parent: {greenlet.parent!r}"]
        monitor = getattr(greenlet, "gevent_monitoring_thread", None)
        if monitor is not None:
            found.append(f"Monitoring Thread:{monitor()!r}")
        if greenlet and wanted["running_stacks"]:
            found.append("Running:")
            found += _stack_lines(greenlet.gr_frame, wanted["running_stack_limit"])
        spawning_stack = getattr(greenlet, "spawning_stack", None)
        if spawning_stack and wanted["spawning_stacks"]:
            found.append("Spawned at:")
            # It was limited when it was taken.
            found += _stack_lines(spawning_stack, None)
        tree_locals = getattr(greenlet, "spawn_tree_locals", None)
        if tree_locals and tree_locals is not getattr(_spawner_of(greenlet), "spawn_tree_locals", None):
            found.append("Spawn Tree Locals")
            found += pprint.pformat(tree_locals).splitlines()
        if wanted["locals"]:
            found += self._local_lines()
        return found

    def _local_lines(self) -> list[str]:
        # That module needs this one's package to be there first.
        from greenloom.local import all_local_dicts_for_greenlet

        found = []
        for (kind, number), values in all_local_dicts_for_greenlet(self.greenlet):
            if values:
                found.append(f"  Local {kind} at {hex(number)}")
                found += ("    " + pprint.pformat(values)).splitlines()
        return ["Greenlet Locals:", *found] if found else []


def _drawing_order(tree: GreenletTree) -> tuple[int, bool, int]:
    # Raw greenlets first, then the running ones.
    greenlet = tree.greenlet
    ready = bool(getattr(greenlet, "ready", bool)())
    return getattr(greenlet, "minimal_ident", -1), ready, id(greenlet.parent)


def _stack_lines(frame: Any, limit: int | None) -> list[str]:
    return "".join(traceback.format_stack(frame, limit)).splitlines()


def _spawner_of(greenlet: Any) -> Any:
    reference = getattr(greenlet, "spawning_greenlet", None)
    return None if reference is None else reference()


def _root_of(greenlet: Any) -> Any:
    above = greenlet.parent
    if above is None or getattr(greenlet, "greenlet_tree_is_root", False):
        return greenlet
    return _root_of(above)

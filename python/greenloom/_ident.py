"""Small numbers for objects: what ``minimal_ident`` is made of."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any
from weakref import WeakKeyDictionary, ref

__all__ = ["IdentRegistry"]


class _NumberedRef(ref):  # type: ignore[type-arg]
    """A weak reference that knows the number to give back."""

    __slots__ = ("value",)
    value: int


class IdentRegistry:
    """Gives each live object a small number of its own, counted from 0; a dead object's is given out again."""

    def __init__(self) -> None:
        self._registry: WeakKeyDictionary[Any, tuple[int, _NumberedRef]] = WeakKeyDictionary()
        # A heap, so that the smallest free number goes out first.
        self._free: list[int] = []

    def get_ident(self, obj: object) -> int:
        """Return the number of ``obj``, which must be hashable and weakly referable; the first call assigns it."""
        entry = self._registry.get(obj)
        if entry is not None:
            return entry[0]
        number = heappop(self._free) if self._free else len(self._registry)
        reference = _NumberedRef(obj, self._give_back)
        reference.value = number
        self._registry[obj] = (number, reference)
        return number

    def _give_back(self, reference: _NumberedRef) -> None:
        # At interpreter exit the module's globals may be gone before the last object is.
        if heappush is not None:
            heappush(self._free, reference.value)

    def __len__(self) -> int:
        return len(self._registry)

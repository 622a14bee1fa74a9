"""Small numbers for objects: what ``minimal_ident`` is made of."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any
from weakref import WeakKeyDictionary, ref

__all__ = ["IdentRegistry"]


class IdentRegistry:
    """Gives each live object a small number of its own, counted from 0; a dead object's is given out again."""

    def __init__(self) -> None:
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        # By number, what tells when its object is gone.
        self._watching: dict[int, ref[Any]] = {}
        # The numbers of objects that are gone, as a heap, so that the smallest goes out first.
        self._free: list[int] = []

    def get_ident(self, obj: object) -> int:
        """Return the number of ``obj``, which must be hashable and weakly referable; the first call assigns it."""
        number = self._numbers.get(obj)
        return self._assign(obj) if number is None else number

    def _assign(self, obj: object) -> int:
        number = heappop(self._free) if self._free else len(self._watching)

        def give_back(_: object) -> None:
            # At interpreter exit the module's globals may be gone before the last object is.
            if heappush is not None:
                heappush(self._free, number)
            self._watching.pop(number, None)

        self._watching[number] = ref(obj, give_back)
        self._numbers[obj] = number
        return number

    def __len__(self) -> int:
        return len(self._watching)

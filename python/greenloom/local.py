"""Greenlet-local data: an object with attributes of its own for every greenlet, like :class:`threading.local`.

The attributes live in the ``__dict__`` of the greenlet, under a key that is the local object's own, so that looking
one up costs one dictionary more than an ordinary attribute. They go when the greenlet ends or the local object does,
whichever is first.
"""

from __future__ import annotations

from copy import copy
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

from greenloom._greenloom import LocalBase, bind_local, getcurrent

__all__ = ["local"]

#: What the keys in a greenlet's ``__dict__`` begin with.
key_prefix = "_greenloom_local_"

#: The states of all local objects, by the key.
_states: WeakValueDictionary[str, _State] = WeakValueDictionary()

#: For every class, the names of its data descriptors, which come before the attributes of an object.
_data_descriptors: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()


def all_local_dicts_for_greenlet(greenlet: Any) -> list[tuple[tuple[type, int], dict[str, Any]]]:
    """Return ``((type, id) of the local object, its attributes)`` for all that have some in ``greenlet``."""
    found = []
    for key, attributes in list(vars(greenlet).items()):
        if key.startswith(key_prefix):
            state = _states.get(key)
            if state is not None:
                found.append((state.origin, attributes))
    return found


class _Forget:
    """The link by which a greenlet that ends gives up its attributes."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, greenlet: Any) -> None:
        vars(greenlet).pop(self.key, None)


class _State:
    """What a local object itself holds: how to initialise it in one more greenlet, and in which it has been."""

    __slots__ = ("__weakref__", "args", "descriptors", "forget", "greenlets", "key", "kwargs", "origin")

    _count = 0

    def __init__(self, owner: local, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        cls = type(owner)
        _State._count += 1
        # Not the id, which another object may get while a greenlet still has the attributes of this one.
        self.key = f"{key_prefix}{_State._count}"
        self.args = args
        self.kwargs = kwargs
        self.origin = (cls, id(owner))
        self.descriptors = _descriptors_of(cls)
        self.forget = _Forget(self.key)
        #: Weak references to the greenlets that have a dictionary, by id.
        self.greenlets: dict[int, Any] = {}
        _states[self.key] = self

    def enter(self, greenlet: Any) -> dict[str, Any]:
        """Give ``greenlet`` its own dictionary."""
        attributes: dict[str, Any] = {}
        vars(greenlet)[self.key] = attributes
        ident = id(greenlet)
        greenlets = self.greenlets
        greenlets[ident] = ref(greenlet, lambda _: greenlets.pop(ident, None))
        # One that is not a Greenlet cannot tell when it ends; its attributes go with it.
        rawlink = getattr(greenlet, "rawlink", None)
        if rawlink is not None:
            rawlink(self.forget)
        return attributes

    def initialise(self, owner: local) -> dict[str, Any]:
        """Do as :meth:`enter` for the current greenlet, and call the ``__init__`` of ``owner`` there."""
        attributes = self.enter(getcurrent())
        type(owner).__init__(owner, *self.args, **self.kwargs)
        return attributes

    def __del__(self) -> None:
        greenlets = list(self.greenlets.values())
        self.greenlets.clear()
        for reference in greenlets:
            greenlet = reference()
            if greenlet is not None:
                vars(greenlet).pop(self.key, None)
                unlink = getattr(greenlet, "unlink", None)
                if unlink is not None:
                    unlink(self.forget)


def _descriptors_of(cls: type) -> frozenset[str]:
    names = _data_descriptors.get(cls)
    if names is None:
        # What is found first counts. Looked up in the dictionaries, as some descriptors hide when asked by the class.
        first: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            first.update(vars(base))
        names = frozenset(
            name
            for name, value in first.items()
            if hasattr(type(value), "__set__") or hasattr(type(value), "__delete__")
        )
        _data_descriptors[cls] = names
    return names


class local(LocalBase):
    """An object whose attributes are each greenlet's own.

    A subclass may have an ``__init__``, which is called with the same arguments in every greenlet that uses the
    object, and then only sets this greenlet's attributes. Its ``__slots__`` are shared by all greenlets.
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make it, with an empty dictionary for the current greenlet."""
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported", args, kwargs)
        self = LocalBase.__new__(cls)
        state = _State(self, args, kwargs)
        bind_local(self, state, state.key, state.descriptors)
        state.enter(getcurrent())
        return self

    def __copy__(self) -> Any:
        state: _State = LocalBase._local__state.__get__(self)
        attributes = copy(self.__dict__)
        instance = type(self)(*state.args, **state.kwargs)
        made: _State = LocalBase._local__state.__get__(instance)
        getcurrent().__dict__[made.key] = attributes
        return instance

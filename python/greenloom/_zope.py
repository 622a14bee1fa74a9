"""Interfaces and event subscribers: zope's where it is installed, so that its tools work; otherwise just enough.

gevent requires zope.interface and zope.event. Programs may use their functions on what they find here, and then
they are there; greenloom by itself needs neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["Attribute", "Interface", "classImplements", "implementer", "notify", "subscribers"]

T = TypeVar("T")

if TYPE_CHECKING:

    class Interface: ...

    def Attribute(description: str, doc: str = "") -> Any: ...
    def implementer(*interfaces: Any) -> Callable[[T], T]: ...
    def classImplements(cls: type, *interfaces: Any) -> None: ...

else:
    try:
        from zope.interface import Attribute, Interface, classImplements, implementer
    except ImportError:

        class Interface:
            """The base of interfaces, which say in words what their objects have."""

        class Attribute:
            """An attribute that the objects of an interface have."""

            def __init__(self, description: str, doc: str = "") -> None:
                self.description = description
                self.__doc__ = doc or description

        def implementer(*interfaces):
            """Return a decorator for classes that implement the ``interfaces``."""
            return lambda cls: cls

        def classImplements(cls, *interfaces):
            """Say that the class implements the ``interfaces``."""


if TYPE_CHECKING:
    subscribers: list[Callable[[Any], object]]

    def notify(event: object) -> None: ...

else:
    try:
        from zope.event import notify, subscribers
    except ImportError:
        subscribers = []

        def notify(event):
            """Call each subscriber with the event. An exception in one keeps the rest from being called."""
            for subscriber in subscribers:
                subscriber(event)

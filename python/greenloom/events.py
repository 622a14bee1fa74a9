"""Events that the package sends to whoever subscribes: about blocked loops, memory, and monkey patching.

Append a function of one argument to :data:`subscribers`, or declare it as an entry point of the event's group.
With zope.event installed, ``subscribers`` and ``notify`` are its own.
"""

from __future__ import annotations

from typing import Any

from greenloom._zope import Attribute, Interface, implementer, notify as notify, subscribers

__all__ = [
    "DoNotPatch",
    "EventLoopBlocked",
    "GeventDidPatchAllEvent",
    "GeventDidPatchBuiltinModulesEvent",
    "GeventDidPatchModuleEvent",
    "GeventPatchEvent",
    "GeventWillPatchAllEvent",
    "GeventWillPatchEvent",
    "GeventWillPatchModuleEvent",
    "IEventLoopBlocked",
    "IGeventDidPatchAllEvent",
    "IGeventDidPatchBuiltinModulesEvent",
    "IGeventDidPatchEvent",
    "IGeventDidPatchModuleEvent",
    "IGeventPatchEvent",
    "IGeventWillPatchAllEvent",
    "IGeventWillPatchEvent",
    "IGeventWillPatchModuleEvent",
    "IMemoryUsageThresholdExceeded",
    "IMemoryUsageUnderThreshold",
    "IPeriodicMonitorThread",
    "IPeriodicMonitorThreadStartedEvent",
    "MemoryUsageThresholdExceeded",
    "MemoryUsageUnderThreshold",
    "PeriodicMonitorThreadStartedEvent",
    "subscribers",
]


def notify_and_call_entry_points(event: Any) -> None:
    """Send ``event`` to the subscribers, then to the installed entry points of the group that it names.

    What one of them raises is passed on, and the rest are not called.
    """
    notify(event)
    # Slow to import, and only a few programs ever get here.
    from importlib.metadata import entry_points

    for entry_point in entry_points(group=event.ENTRY_POINT_NAME):
        # Where gevent itself is installed too: its own have nothing to do here, and would import all of it.
        if entry_point.value.split(".")[0] != "gevent":
            entry_point.load()(event)


class _Event:
    """An event is no more than its attributes."""

    def _set(self, **attributes: Any) -> None:
        vars(self).update(attributes)


# The monitor thread.


class IPeriodicMonitorThread(Interface):
    """The thread that watches a hub."""

    def add_monitoring_function(function: Any, period: float | None) -> None:
        """Call ``function(hub)`` in the thread about every ``period`` seconds; None takes it back.

        It must not wait in the hub. Adding it again sets the period anew; one that is not above 0 is refused.
        """


class IPeriodicMonitorThreadStartedEvent(Interface):
    """A hub has started its monitor thread: the time to add functions to it."""

    monitor = Attribute("The IPeriodicMonitorThread.")


@implementer(IPeriodicMonitorThreadStartedEvent)
class PeriodicMonitorThreadStartedEvent(_Event):
    """Implements :class:`IPeriodicMonitorThreadStartedEvent`."""

    #: The group of entry points that are called with it.
    ENTRY_POINT_NAME = "gevent.plugins.hub.periodic_monitor_thread_started"

    monitor: Any

    def __init__(self, monitor: Any) -> None:
        self._set(monitor=monitor)


class IEventLoopBlocked(Interface):
    """A greenlet keeps the loop from running. Sent in the monitor thread."""

    greenlet = Attribute("The greenlet that runs.")
    blocking_time = Attribute("For how many seconds, about.")
    info = Attribute("The report, a list of lines; subscribers may change it.")
    hub = Attribute("The hub that does not run, or None.")


@implementer(IEventLoopBlocked)
class EventLoopBlocked(_Event):
    """Implements :class:`IEventLoopBlocked`."""

    greenlet: Any
    blocking_time: float
    info: list[str]
    hub: Any

    def __init__(self, greenlet: Any, blocking_time: float, info: list[str], *, hub: Any = None) -> None:
        self._set(greenlet=greenlet, blocking_time=blocking_time, info=info, hub=hub)


class _MemoryEvent(_Event):
    mem_usage: int
    max_allowed: int
    memory_info: Any

    def __init__(self, mem_usage: int, max_allowed: int, memory_info: Any) -> None:
        self._set(mem_usage=mem_usage, max_allowed=max_allowed, memory_info=memory_info)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} used={self.mem_usage} max={self.max_allowed} details={self.memory_info!r}>"


class IMemoryUsageThresholdExceeded(Interface):
    """The process uses more memory than it should. Sent in the monitor thread, again only if it grows on."""

    mem_usage = Attribute("Bytes in use.")
    max_allowed = Attribute("Bytes that may be used.")
    memory_info = Attribute("What psutil says in detail.")


@implementer(IMemoryUsageThresholdExceeded)
class MemoryUsageThresholdExceeded(_MemoryEvent):
    """Implements :class:`IMemoryUsageThresholdExceeded`."""


class IMemoryUsageUnderThreshold(Interface):
    """The process uses no more memory than it should any more. Sent once, in the monitor thread."""

    mem_usage = Attribute("Bytes in use.")
    max_allowed = Attribute("Bytes that may be used.")
    max_memory_usage = Attribute("Bytes that were in use when IMemoryUsageThresholdExceeded was last sent.")
    memory_info = Attribute("What psutil says in detail.")


@implementer(IMemoryUsageUnderThreshold)
class MemoryUsageUnderThreshold(_MemoryEvent):
    """Implements :class:`IMemoryUsageUnderThreshold`."""

    def __init__(self, mem_usage: int, max_allowed: int, memory_info: Any, max_usage: int) -> None:
        super().__init__(mem_usage, max_allowed, memory_info)
        self.max_memory_usage = max_usage


# Monkey patching. The names are those that subscribers and plugins know.


class DoNotPatch(BaseException):
    """Raised by a subscriber to a will-patch event: leave this as it is."""


class IGeventPatchEvent(Interface):
    """Something about monkey patching."""

    source = Attribute("Where the new objects come from.")
    target = Attribute("What is patched.")


@implementer(IGeventPatchEvent)
class GeventPatchEvent(_Event):
    """Implements :class:`IGeventPatchEvent`."""

    source: Any
    target: Any

    def __init__(self, source: Any, target: Any) -> None:
        self._set(source=source, target=target)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} source={self.source!r} target={self.target!r} at {id(self):x}>"


class IGeventWillPatchEvent(IGeventPatchEvent):
    """Something is about to be patched, unless a subscriber raises :class:`DoNotPatch`."""


@implementer(IGeventWillPatchEvent)
class GeventWillPatchEvent(GeventPatchEvent):
    """Implements :class:`IGeventWillPatchEvent`."""


class IGeventDidPatchEvent(IGeventPatchEvent):
    """Something has been patched."""


@implementer(IGeventDidPatchEvent)
class GeventDidPatchEvent(GeventPatchEvent):
    """Implements :class:`IGeventDidPatchEvent`."""


class IGeventWillPatchModuleEvent(IGeventWillPatchEvent):
    """A module is about to be patched."""

    module_name = Attribute("Its name.")
    target_item_names = Attribute("The names in it that will be replaced; may be changed, with care.")


@implementer(IGeventWillPatchModuleEvent)
class GeventWillPatchModuleEvent(GeventWillPatchEvent):
    """Implements :class:`IGeventWillPatchModuleEvent`."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.will_patch_module"

    module_name: str
    target_item_names: Any

    def __init__(self, module_name: str, source: Any, target: Any, items: Any) -> None:
        super().__init__(source, target)
        self._set(module_name=module_name, target_item_names=items)


class IGeventDidPatchModuleEvent(IGeventDidPatchEvent):
    """A module has been patched."""

    module_name = Attribute("Its name.")


@implementer(IGeventDidPatchModuleEvent)
class GeventDidPatchModuleEvent(GeventDidPatchEvent):
    """Implements :class:`IGeventDidPatchModuleEvent`."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.did_patch_module"

    module_name: str

    def __init__(self, module_name: str, source: Any, target: Any) -> None:
        super().__init__(source, target)
        self._set(module_name=module_name)


class _PatchAll(GeventPatchEvent):
    def __init__(self, patch_all_arguments: dict[str, Any], patch_all_kwargs: dict[str, Any]) -> None:
        super().__init__(None, None)
        self._patch_all_arguments = patch_all_arguments
        self._patch_all_kwargs = patch_all_kwargs

    @property
    def patch_all_arguments(self) -> dict[str, Any]:
        """A copy of the arguments of ``patch_all``."""
        return self._patch_all_arguments.copy()

    @property
    def patch_all_kwargs(self) -> dict[str, Any]:
        """A copy of the arguments of ``patch_all`` that it does not know itself."""
        return self._patch_all_kwargs.copy()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._patch_all_arguments!r} at {id(self):x}>"


class IGeventWillPatchAllEvent(IGeventWillPatchEvent):
    """``patch_all`` begins. Events for each module follow, then those that say it is done."""

    patch_all_arguments = Attribute("The arguments of patch_all, a dictionary.")
    patch_all_kwargs = Attribute("The arguments of patch_all that it does not know itself, a dictionary.")

    def will_patch_module(module_name: str) -> Any:  # type: ignore[misc]  # interfaces have no self
        """Return whether the module will be patched."""


@implementer(IGeventWillPatchAllEvent)
class GeventWillPatchAllEvent(_PatchAll, GeventWillPatchEvent):
    """Implements :class:`IGeventWillPatchAllEvent`."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.will_patch_all"

    def will_patch_module(self, module_name: str) -> Any:
        """Return whether the module will be patched; None for one that ``patch_all`` does not know."""
        return self._patch_all_arguments.get(module_name)


class IGeventDidPatchBuiltinModulesEvent(IGeventDidPatchEvent):
    """``patch_all`` has patched the standard library: the time for plugins to patch other packages."""

    patch_all_arguments = Attribute("The arguments of patch_all, a dictionary.")
    patch_all_kwargs = Attribute("The arguments of patch_all that it does not know itself, a dictionary.")


@implementer(IGeventDidPatchBuiltinModulesEvent)
class GeventDidPatchBuiltinModulesEvent(_PatchAll, GeventDidPatchEvent):
    """Implements :class:`IGeventDidPatchBuiltinModulesEvent`."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.did_patch_builtins"


class IGeventDidPatchAllEvent(IGeventDidPatchEvent):
    """``patch_all`` is done, and so are the plugins."""


@implementer(IGeventDidPatchAllEvent)
class GeventDidPatchAllEvent(_PatchAll, GeventDidPatchEvent):
    """Implements :class:`IGeventDidPatchAllEvent`."""

    ENTRY_POINT_NAME = "gevent.plugins.monkey.did_patch_all"

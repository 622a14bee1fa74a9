"""The settings: ``greenloom.config``, filled from ``GEVENT_*`` environment variables.

``python -m greenloom._config`` lists them. How a setting reads its value is in :mod:`greenloom._settings`; this
module says which there are.
"""

from __future__ import annotations

from typing import Any, ClassVar

from greenloom._greenloom import forget_greenlet_settings
from greenloom._settings import (
    ALL_SETTINGS,
    BoolSettingMixin,
    ByteCountSettingMixin,
    Config,
    FloatSettingMixin,
    ImportableSetting,
    IntSettingMixin,
    Setting,
    convert_str_value_as_is as convert_str_value_as_is,
    make_settings as make_settings,
    validate_anything,
    validate_bool as validate_bool,
    validate_invalid as validate_invalid,
)

__all__ = ["ALL_SETTINGS", "Config", "Setting", "config", "validate_bool"]


class Resolver(ImportableSetting, Setting):
    desc = "What makes the hub's resolver, which looks up host names."
    default = ("thread", "dnspython", "block")
    shortname_map: ClassVar[dict[str, str]] = {
        "ares": "greenloom.resolver.ares.Resolver",
        "thread": "greenloom.resolver.thread.Resolver",
        "block": "greenloom.resolver.blocking.Resolver",
        "dnspython": "greenloom.resolver.dnspython.Resolver",
    }


class Threadpool(ImportableSetting, Setting):
    desc = "What makes the hub's pool of threads."
    default = "greenloom.threadpool.ThreadPool"


class ThreadpoolIdleTaskTimeout(FloatSettingMixin, Setting):
    name = "threadpool_idle_task_timeout"
    desc = "After how many seconds without work a thread of the hub's pool ends; -1 for never."
    default = 5.0
    validate = staticmethod(validate_anything)


class Loop(ImportableSetting, Setting):
    desc = "What makes the event loop. There is one kind, which answers to all the names."
    default = ("greenloom",)
    shortname_map: ClassVar[dict[str, str]] = dict.fromkeys(
        ("greenloom", "libev-cext", "libev-cffi", "libuv-cffi", "libuv"), "greenloom.core.loop"
    )


class FormatContext(ImportableSetting, Setting):
    name = "format_context"
    desc = "The function that turns the context of an error into the text to print."
    # Not pformat: it goes round the __repr__ of subclasses of list and dict, which may hide secrets.
    default = "pprint.saferepr"


class LibevBackend(Setting):
    name = "libev_backend"
    environment_key = "GEVENT_BACKEND"
    desc = "The flags that loops are made with, for programs that set them. The loop uses epoll."
    default = None
    validate = staticmethod(validate_anything)


class FileObject(ImportableSetting, Setting):
    environment_key = "GEVENT_FILE"
    desc = "The class of cooperative files."
    default = ("posix", "thread")
    shortname_map: ClassVar[dict[str, str]] = {
        "thread": "greenloom._fileobjectcommon.FileObjectThread",
        "posix": "greenloom._fileobjectposix.FileObjectPosix",
        "block": "greenloom._fileobjectcommon.FileObjectBlock",
    }


class WatchChildren(BoolSettingMixin, Setting):
    name = "disable_watch_children"
    environment_key = "GEVENT_NOWAITPID"
    desc = "Whether to leave child processes to the program, instead of watching for their end in the loop."
    default = False


class TraceMalloc(IntSettingMixin, Setting):
    name = "trace_malloc"
    environment_key = "PYTHONTRACEMALLOC"
    desc = "What the interpreter does with this variable; nothing of its own."
    default = False


class _GreenletSettingMixin(BoolSettingMixin):
    """A setting that is looked at whenever a greenlet is made, so Rust keeps it."""

    def set(self, value: Any) -> None:
        """Set the value, and have it read again."""
        super().set(value)  # type: ignore[misc]  # of the setting that this is mixed into
        forget_greenlet_settings()


class TrackGreenletTree(_GreenletSettingMixin, Setting):
    name = "track_greenlet_tree"
    desc = "Whether greenlets know who spawned them and where. Without it, spawning is faster."
    default = True


class InheritContext(_GreenletSettingMixin, Setting):
    name = "inherit_context"
    environment_key = "GREENLOOM_INHERIT_CONTEXT"
    desc = "Whether a Greenlet starts with a copy of its spawner's context variables, instead of with none."
    default = False


class MonitorThread(BoolSettingMixin, Setting):
    name = "monitor_thread"
    environment_key = "GEVENT_MONITOR_THREAD_ENABLE"
    desc = "Whether each hub has a thread that reports greenlets which block the loop, and the use of memory."
    default = False


class MaxBlockingTime(FloatSettingMixin, Setting):
    name = "max_blocking_time"
    desc = "For how many seconds, about, a greenlet may keep the loop from running before it is reported."
    default = 0.1


class PrintBlockingReports(BoolSettingMixin, Setting):
    name = "print_blocking_reports"
    environment_key = "GEVENT_MONITOR_PRINT_BLOCKING_REPORTS"
    desc = "Whether the monitor thread prints its reports, besides sending the events."
    default = True


class MonitorMemoryPeriod(FloatSettingMixin, Setting):
    name = "memory_monitor_period"
    environment_key = "GEVENT_MONITOR_MEMORY_PERIOD"
    desc = (
        "How many seconds, about, lie between two looks at the use of memory. Very small values are raised."
    )
    default = 5


class MonitorMemoryMaxUsage(ByteCountSettingMixin, Setting):
    name = "max_memory_usage"
    environment_key = "GEVENT_MONITOR_MEMORY_MAX"
    desc = "Above how many bytes the monitor thread sends events; kb, mb and gb may follow. None for never."
    default = None


class _ResolverSetting:
    """Settings that only the resolver which uses them understands: passed on as they are."""

    document = False
    name = ""
    validate = staticmethod(validate_anything)
    _convert: Any = staticmethod(convert_str_value_as_is)

    @property
    def kwarg_name(self) -> str:
        """The argument of the resolver that it is passed as."""
        return self.name.partition("_")[2]


class AresFlags(_ResolverSetting, Setting):
    name = "ares_flags"
    environment_key = "GEVENTARES_FLAGS"


class AresTimeout(_ResolverSetting, Setting):
    document = True
    name = "ares_timeout"
    environment_key = "GEVENTARES_TIMEOUT"
    desc = "Superseded by resolver_timeout."


class AresTries(_ResolverSetting, Setting):
    name = "ares_tries"
    environment_key = "GEVENTARES_TRIES"


class AresNdots(_ResolverSetting, Setting):
    name = "ares_ndots"
    environment_key = "GEVENTARES_NDOTS"


class AresUDPPort(_ResolverSetting, Setting):
    name = "ares_udp_port"
    environment_key = "GEVENTARES_UDP_PORT"


class AresTCPPort(_ResolverSetting, Setting):
    name = "ares_tcp_port"
    environment_key = "GEVENTARES_TCP_PORT"


class AresServers(_ResolverSetting, Setting):
    document = True
    name = "ares_servers"
    environment_key = "GEVENTARES_SERVERS"
    desc = "Superseded by resolver_nameservers."


class ResolverNameservers(_ResolverSetting, Setting):
    document = True
    name = "resolver_nameservers"
    desc = "The addresses of the name servers that the dnspython resolver asks, instead of the system's."
    _convert = Setting._convert

    @property
    def kwarg_name(self) -> str:
        """The argument of the resolver that it is passed as."""
        return "servers"


class ResolverTimeout(FloatSettingMixin, _ResolverSetting, Setting):
    document = True
    name = "resolver_timeout"
    desc = "How many seconds the dnspython resolver may take for a question."

    @property
    def kwarg_name(self) -> str:
        """The argument of the resolver that it is passed as."""
        return "timeout"


#: The settings of the process.
config = Config()

if __name__ == "__main__":
    config.print_help()

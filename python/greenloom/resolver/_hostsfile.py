"""Reading ``/etc/hosts``."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

from greenloom._hub_local import get_hub_noargs as get_hub

__all__ = ()


class HostsFile:
    """The names and addresses of a hosts file, read again by :meth:`load` when the file has changed.

    ``v4`` and ``v6`` map names to addresses, ``aliases`` maps further names to the first of their line, and
    ``reverse`` maps the DNS names of addresses (``1.0.0.127.in-addr.arpa``) to names.
    """

    def __init__(self, fname: str | None = None) -> None:
        self.fname = fname or "/etc/hosts"
        self._read_at = -1.0
        self._tables: tuple[dict[str, str], ...] = ({}, {}, {}, {})
        self.v4, self.v6, self.aliases, self.reverse = self._tables

    def load(self) -> None:
        """Read the file if it has changed. An error goes to the hub, and what was read before stays."""
        try:
            changed_at = Path(self.fname).stat().st_mtime
            if changed_at == self._read_at:
                return
            lines = Path(self.fname).read_text(errors="ignore").splitlines()
        except OSError:
            get_hub().handle_error(self, *sys.exc_info())
            return
        self._read_at = changed_at
        for table in self._tables:
            table.clear()
        for line in lines:
            fields = line.partition("#")[0].lower().split()
            if len(fields) > 1:
                self._add(*fields)

    def _add(self, text: str, name: str, *others: str) -> None:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return
        # macOS keeps link-local addresses here, which mean nothing without an interface.
        if address.version == 6 and address.is_link_local:
            return
        table = self.v4 if address.version == 4 else self.v6
        table.update(dict.fromkeys((name, *others), text))
        self.aliases.update(dict.fromkeys(others, name))
        self.reverse.setdefault(address.reverse_pointer, name)

    def iter_all_host_addr_pairs(self) -> Iterator[tuple[str, str]]:
        """Yield each name of the file with its address."""
        self.load()
        yield from self.v4.items()
        yield from self.v6.items()

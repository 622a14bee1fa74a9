"""A resolver that speaks DNS itself, by dnspython, and reads the hosts file. It needs no threads.

It uses a copy of dnspython that is cooperative even if nothing is patched: ``dns`` here is not the program's.
"""

from __future__ import annotations

import _socket
from _socket import AF_INET, AF_INET6, AF_UNSPEC, EAI_AGAIN, EAI_FAMILY, EAI_NONAME, gaierror, herror
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenloom._config import config
from greenloom._patcher import import_patched
from greenloom.resolver import AbstractResolver
from greenloom.resolver._addresses import is_ipv4_addr, is_ipv6_addr
from greenloom.resolver._hostsfile import HostsFile

if TYPE_CHECKING:
    import dns
    import dns.message
    import dns.rdata
    import dns.resolver
    import dns.reversename
    import dns.rrset
else:
    # All types now: later the copy cannot import its own parts any more.
    dns = import_patched(
        "dns",
        ("message", "rdata", "resolver", "reversename", "rrset"),
        lambda package: package.rdata.load_all_types(),
    )

__all__ = ["Resolver"]

#: Seconds between two looks at the hosts file.
HOSTS_TTL = 300.0

_RDTYPES = {AF_INET: "A", AF_INET6: "AAAA"}
_NOT_THERE = (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer)


class _Network(dns.resolver.Resolver):
    """A dnspython resolver that looks into the hosts file first."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts_file = HostsFile()
        self._look_at = 0.0
        self.cache = dns.resolver.LRUCache()
        if config.resolver_nameservers:
            self.nameservers = config.resolver_nameservers
        if config.resolver_timeout:
            self.lifetime = config.resolver_timeout

    def hosts(self) -> HostsFile:
        """Return the hosts file, not older than :data:`HOSTS_TTL`."""
        if monotonic() >= self._look_at:
            self._look_at = monotonic() + HOSTS_TTL
            self.hosts_file.load()
        return self.hosts_file

    def look_up(self, name: Any, rdtype: str) -> Any:
        """Return dnspython's answer for a name, as text or as its own."""
        hosts = self.hosts()
        text = str(name).rstrip(".").lower()
        found = {"A": hosts.v4, "AAAA": hosts.v6, "PTR": hosts.reverse}[rdtype].get(text)
        if found is None:
            return self.resolve(name, rdtype, search=True)
        value = found + "." if rdtype == "PTR" else found
        message: Any = dns.message.make_response(dns.message.make_query(text, rdtype))
        records = dns.rrset.from_text(text + ".", int(HOSTS_TTL), "IN", rdtype, value)
        message.find_rrset(message.answer, records.name, records.rdclass, records.rdtype, create=True).update(
            records
        )
        return dns.resolver.Answer(records.name, records.rdtype, records.rdclass, message)


_network: _Network | None = None


def _not_now() -> gaierror:
    return gaierror(EAI_AGAIN, "Temporary failure in name resolution")


class Resolver(AbstractResolver):
    """Looks names up in the hosts file and by DNS. All hubs share its cache.

    It does not know of the system's other ways to find names (mDNS, NIS, ...).
    """

    def __init__(self, hub: Any = None) -> None:
        """Make one; it is the same for every hub."""
        global _network
        if _network is None:
            _network = _Network()
        self._network = _network

    @property
    def resolver(self) -> Any:
        """The dnspython object that asks: ``nameservers``, ``lifetime``, ``cache`` and the rest can be set on it."""
        return self._network

    def _answers(self, name: str, family: int) -> list[Any]:
        """Return the answers for the families asked for; there is at least one. Raises gaierror."""
        if family not in (AF_UNSPEC, AF_INET, AF_INET6):
            raise gaierror(EAI_FAMILY, self.EAI_FAMILY_MSG)
        answers = []
        trouble: gaierror | None = None
        for one, rdtype in _RDTYPES.items():
            if family not in (AF_UNSPEC, one):
                continue
            try:
                answers.append(self._network.look_up(name, rdtype))
            except _NOT_THERE:
                continue
            except dns.exception.Timeout:
                trouble = _not_now()
            except dns.exception.DNSException as error:
                # No server would say, or it is not a name that DNS can carry.
                if isinstance(error, dns.resolver.NoNameservers):
                    trouble = _not_now()
        if not answers:
            raise trouble or gaierror(EAI_NONAME, self.EAI_NONAME_MSG)
        return answers

    def _getaddrinfo(
        self, host: bytes, port: Any, family: int, type: int, proto: int, flags: int
    ) -> list[Any]:
        name = self._to_text(host)
        if is_ipv4_addr(name) or is_ipv6_addr(name):
            return _socket.getaddrinfo(name, port, family, type, proto, flags)
        answers = self._answers(name, family)
        found: list[Any] = []
        # Services, types and protocols are the system's: it does not ask anybody when it gets an address.
        system_flags = (flags & ~_socket.AI_CANONNAME) | _socket.AI_NUMERICHOST
        for answer in answers:
            for record in answer:
                found += _socket.getaddrinfo(record.address, port, 0, type, proto, system_flags)
        if flags & _socket.AI_CANONNAME:
            af, kind, number, _, address = found[0]
            found[0] = (af, kind, number, answers[0].canonical_name.to_text(True), address)
        return found

    def _getaliases(self, hostname: bytes, family: int) -> list[str]:
        name = self._to_text(hostname).lower()
        hosts = self._network.hosts()
        canonical = hosts.aliases.get(name, name)
        names = {alias for alias, target in hosts.aliases.items() if target == canonical} | {canonical}
        if len(names) == 1:
            try:
                answer = self._answers(name, family)[0]
            except gaierror:
                return []
            return [rrset.name.to_text(True) for rrset in answer.chaining_result.cnames]
        return sorted(names - {name})

    def _gethostbyaddr(self, address: bytes) -> tuple[str, list[str], list[str]]:
        text = self._to_text(address)
        if not (is_ipv4_addr(text) or is_ipv6_addr(text)):
            text = self.getaddrinfo(text, 0, AF_UNSPEC, _socket.SOCK_STREAM)[0][4][0]
        name = self._name_of(text)
        if name is None:
            raise herror(1, "Unknown host")
        return name, [], [text]

    def _name_of(self, address: str) -> str | None:
        try:
            answer = self._network.look_up(dns.reversename.from_address(address.partition("%")[0]), "PTR")
        except dns.exception.DNSException:
            return None
        return answer[0].target.to_text(True)  # type: ignore[no-any-return]

    def _getnameinfo(
        self, address: bytes, port: int, sockaddr: tuple[Any, ...], flags: int
    ) -> tuple[str, str]:
        place = (sockaddr[0], port, *sockaddr[2:])
        # Refuses what is not an address, as it does for us.
        host, service = _socket.getnameinfo(place, flags | _socket.NI_NUMERICHOST)
        if flags & _socket.NI_NUMERICHOST:
            return host, service
        name = self._name_of(host)
        if name is None and flags & _socket.NI_NAMEREQD:
            raise gaierror(EAI_NONAME, self.EAI_NONAME_MSG)
        return name or host, service

    def _to_text(self, name: bytes) -> str:
        return name.decode(self.HOSTNAME_ENCODING)

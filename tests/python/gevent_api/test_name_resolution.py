"""Looking up names: by the system in threads, by the system directly, and by dnspython."""

from __future__ import annotations

import os
import socket as standard
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenloom import get_hub, socket, spawn
from greenloom.resolver._addresses import is_ipv4_addr, is_ipv6_addr
from greenloom.resolver._hostsfile import HostsFile
from greenloom.resolver.blocking import Resolver as Blocking
from greenloom.resolver.thread import Resolver as Threaded

QUESTIONS: list[tuple[str, tuple[Any, ...]]] = [
    ("getaddrinfo", ("127.0.0.1", 80, 0, standard.SOCK_STREAM)),
    ("getaddrinfo", (None, "http", standard.AF_INET, standard.SOCK_STREAM)),
    ("getaddrinfo", ("::1", 80, 0, standard.SOCK_STREAM, 0, standard.AI_NUMERICHOST)),
    ("gethostbyname", ("localhost",)),
    ("gethostbyname_ex", ("127.0.0.1",)),
    ("getnameinfo", (("127.0.0.1", 80), standard.NI_NUMERICHOST)),
]


@pytest.mark.parametrize(("function", "arguments"), QUESTIONS)
def test_the_answers_are_the_systems(function: str, arguments: tuple[Any, ...]) -> None:
    assert getattr(socket, function)(*arguments) == getattr(standard, function)(*arguments)


def test_families_and_types_are_named() -> None:
    ((family, kind, _proto, _name, address),) = socket.getaddrinfo("127.0.0.1", 80, 0, socket.SOCK_STREAM)
    assert family is socket.AF_INET
    assert kind is socket.SOCK_STREAM
    assert address == ("127.0.0.1", 80)


def test_others_run_while_a_thread_asks() -> None:
    ran: list[int] = []
    spawn(ran.append, 1)
    socket.getaddrinfo("127.0.0.1", 80)
    assert ran == [1]


def test_a_name_that_does_not_exist_is_the_callers_affair(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("127.0.0.1", "no-such-service")
    assert capfd.readouterr().err == ""


def test_resolvers_are_made_for_a_hub() -> None:
    hub = get_hub()
    assert Threaded(hub).gethostbyname("127.0.0.1") == "127.0.0.1"
    assert Blocking(hub).gethostbyname("127.0.0.1") == "127.0.0.1"


def test_a_fully_qualified_name_has_a_dot_or_is_the_name_itself() -> None:
    assert socket.getfqdn("no-such-host.invalid") == "no-such-host.invalid"
    assert socket.getfqdn()


def test_addresses_are_told_from_names() -> None:
    assert is_ipv4_addr("127.0.0.1")
    assert is_ipv4_addr(b"127.0.0.1")
    assert not is_ipv4_addr("127.1")
    assert not is_ipv4_addr("localhost")
    assert is_ipv6_addr("fe80::1%eth0")
    assert is_ipv6_addr(b"::")
    assert not is_ipv6_addr("127.0.0.1")
    assert not is_ipv6_addr(None)


def test_the_hosts_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(
        "127.0.0.1 localhost me # comment\n::1 ip6-localhost\nfe80::1 link\n# 1.2.3.4 no\nnonsense\n"
    )
    hosts = HostsFile(str(path))
    hosts.load()
    assert hosts.v4 == {"localhost": "127.0.0.1", "me": "127.0.0.1"}
    assert hosts.v6 == {"ip6-localhost": "::1"}
    assert hosts.aliases == {"me": "localhost"}
    assert hosts.reverse["1.0.0.127.in-addr.arpa"] == "localhost"
    path.write_text("10.0.0.1 OTHER\n")
    os.utime(path, (1, 1))
    assert list(hosts.iter_all_host_addr_pairs()) == [("other", "10.0.0.1")]


def test_there_is_no_ares_and_it_says_so() -> None:
    with pytest.raises(ImportError, match="GEVENT_RESOLVER"):
        __import__("greenloom.resolver.ares")


def test_dnspython_answers_from_the_hosts_file_and_from_a_name_server(tmp_path: Path) -> None:
    pytest.importorskip("dns")
    program = f"""
import greenloom, sys
from greenloom import socket, spawn
import dns, dns.message, dns.rrset
def serve(sock):
    while True:
        data, address = sock.recvfrom(512)
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        question = query.question[0]
        if question.rdtype == dns.rdatatype.A and str(question.name) == "www.example.":
            reply.answer.append(dns.rrset.from_text("www.example.", 60, "IN", "CNAME", "web.example."))
            reply.answer.append(dns.rrset.from_text("web.example.", 60, "IN", "A", "10.1.2.3"))
        elif question.rdtype == dns.rdatatype.PTR:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "PTR", "web.example."))
        elif str(question.name) != "www.example.":
            reply.set_rcode(dns.rcode.NXDOMAIN)
        sock.sendto(reply.to_wire(), address)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
spawn(serve, server)
resolver = greenloom.get_hub().resolver
resolver.resolver.nameservers = ["127.0.0.1"]
resolver.resolver.port = server.getsockname()[1]
resolver.resolver.hosts_file.fname = {str(tmp_path / "hosts")!r}
print(socket.gethostbyname("named"))
print(socket.getaddrinfo("www.example", 80, 0, socket.SOCK_STREAM, 0, socket.AI_CANONNAME))
print(socket.gethostbyname_ex("www.example"))
print(socket.gethostbyaddr("10.1.2.3"))
print(socket.getnameinfo(("10.1.2.3", 80), socket.NI_NUMERICSERV))
try:
    socket.getaddrinfo("nowhere.example", 80)
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME)
assert resolver.resolver.__class__.__mro__[1] is not dns.resolver.Resolver
"""
    (tmp_path / "hosts").write_text("10.9.9.9 named\n")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "GEVENT_RESOLVER": "dnspython"},
    )
    assert done.stdout.splitlines() == [
        "10.9.9.9",
        repr([(socket.AF_INET, socket.SOCK_STREAM, 6, "web.example", ("10.1.2.3", 80))]),
        "('web.example', ['www.example'], ['10.1.2.3'])",
        "('web.example', [], ['10.1.2.3'])",
        "('web.example', '80')",
        "True",
    ], done.stderr

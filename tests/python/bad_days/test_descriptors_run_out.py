"""No descriptor is free: whoever needs one gets a clear OSError, and all goes on when there are some again."""

from __future__ import annotations

import pytest

from programs import python

#: A program that can use up its descriptors, and give them back.
SETTING = """
import errno, os, resource, select, subprocess, sys, threading, time
import greenloom
from greenloom import get_hub, sleep, socket, spawn, subprocess as cooperative
from greenloom.server import StreamServer
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
spawn(int).join()
get_hub().threadpool.apply(int)
taken = []

def take_all(but=0):
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
    for _ in range(but):
        os.close(taken.pop())

def give_back():
    while taken:
        os.close(taken.pop())

def descriptors():
    give_back()
    return len(os.listdir("/proc/self/fd"))

def out_of_files(function, *args, **options):
    try:
        function(*args, **options)
    except OSError as error:
        assert error.errno == errno.EMFILE, error
        assert "Too many open files" in str(error)
    else:
        raise AssertionError("there is a descriptor left")

def cpu():
    return time.process_time()
"""

CALLS = {
    "a socket": "socket.socket().close()",
    "a pair of sockets": "[one.close() for one in socket.socketpair()]",
    "a connection": "socket.create_connection(listener.getsockname(), timeout=5).close()",
    "a copy": "listener.dup().close()",
    "a process": "assert cooperative.Popen(['true']).wait() == 0",
    "a process with pipes": "assert cooperative.check_output(['echo', 'hello']) == b'hello\\n'",
    "a loop": "core.loop(default=False).destroy()",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("free", [0, 1])
def test_who_needs_one_gets_an_error_that_says_so(call: str, free: int) -> None:
    fails = "out_of_files(call)" if free == 0 else "[raises_or_not(call)]"
    python(f"""{SETTING}
from greenloom import core
listener = socket.create_server(("127.0.0.1", 0))
def call():
    {CALLS[call]}
def raises_or_not(function):
    try:
        function()
    except OSError as error:
        assert error.errno == errno.EMFILE, error
call()
before = descriptors()
for _ in range(3):
    take_all(but={free})
    {fails}
    spawn(raises_or_not, call).get(timeout=10)
    # Whatever needs none works meanwhile.
    sleep(0.001)
    assert spawn(lambda: 5).get(timeout=10) == 5
    assert descriptors() == before
    call()
    assert descriptors() == before
""")


def test_a_new_thread_has_no_hub_until_there_are_descriptors() -> None:
    python(f"""{SETTING}
got = []
def use_a_hub():
    try:
        sleep(0.001)
        got.append(spawn(lambda: 5).get())
        get_hub().destroy(destroy_loop=True)
    except OSError as error:
        assert error.errno == errno.EMFILE, error
        got.append("none")
def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(30)
    # It is over for Python a little before it is over.
    for _ in range(1000):
        if threads_of_the_system() == native:
            return
        sleep(0.01)
    raise AssertionError("a thread does not end")
def threads_of_the_system():
    # Of a file that is open already: there may be no descriptor for another.
    status.seek(0)
    return int(status.read().split("Threads:")[1].split()[0])
status = open("/proc/self/status")
native = threads_of_the_system()
in_a_thread(use_a_hub)
before = descriptors()
# Two for its greenlets and two for its loop.
for free in range(5):
    take_all(but=free)
    in_a_thread(use_a_hub)
    assert descriptors() == before
assert got == [5, "none", "none", "none", "none", 5], got
# One thread that tries again has its hub then.
def try_again():
    take_all()
    out_of_files(sleep, 0.001)
    out_of_files(get_hub)
    give_back()
    use_a_hub()
in_a_thread(try_again)
assert got[6:] == [5]
assert descriptors() == before
""")


def test_a_server_stops_accepting_for_a_while_and_does_not_spin() -> None:
    python(f"""{SETTING}
reports = []
get_hub().handle_error = lambda context, kind, value, trace: reports.append(value)
def answer(client, _address):
    client.sendall(client.recv(10).upper())
server = StreamServer(("127.0.0.1", 0), answer)
server.start()
def ask(client):
    with client:
        client.connect(server.address)
        client.sendall(b"x")
        return client.recv(1)
assert ask(socket.socket()) == b"X"
before = descriptors()
clients = [socket.socket() for _ in range(5)]
take_all()
asking = [spawn(ask, client) for client in clients]
begin = cpu()
sleep(1)
used = cpu() - begin
assert used < 0.3, used
assert not any(one.ready() for one in asking)
assert all(error.errno == errno.EMFILE for error in reports)
assert 1 <= len(reports) < 50, len(reports)
assert server.started
give_back()
assert [one.get(timeout=20) for one in asking] == [b"X"] * 5
assert server.delay == server.min_delay
assert ask(socket.socket()) == b"X"
sleep(0.01)
assert descriptors() == before
server.stop()
""")


def test_an_accepting_greenlet_gets_the_error_and_may_try_again() -> None:
    python(f"""{SETTING}
listener = socket.create_server(("127.0.0.1", 0))
client = socket.socket()
take_all()
accepting = spawn(out_of_files, listener.accept)
sleep(0.001)
client.connect(listener.getsockname())
accepting.get(timeout=10)
give_back()
accepted, _ = spawn(listener.accept).get(timeout=10)
client.sendall(b"hello")
assert accepted.recv(10) == b"hello"
""")


def test_a_pool_of_threads_goes_on_with_those_that_it_has() -> None:
    python(f"""{SETTING}
get_hub().exception_stream = None
pool = get_hub().threadpool
take_all()
begin = cpu()
# The others cannot begin, and are not tried for again and again while this one is busy.
slow = pool.spawn(time.sleep, 0.6)
assert pool.map(lambda n: n + 1, range(20)) == list(range(1, 21))
slow.get(timeout=10)
assert cpu() - begin < 0.4
out_of_files(pool.apply, os.open, ("/dev/null", os.O_RDONLY))
give_back()
pool.apply(sleep, (0.001,))
together = threading.Barrier(pool.maxsize)
pool.map(lambda _: together.wait(20), range(pool.maxsize))
""")


def test_a_pool_that_has_no_thread_yet_says_so_and_begins_later() -> None:
    python(f"""{SETTING}
from greenloom.threadpool import ThreadPool
get_hub().exception_stream = None
pool = ThreadPool(3)
take_all()
results = [pool.spawn(abs, number) for number in (-1, -2, -3, -4)]
for result in results:
    try:
        result.get(timeout=10)
    except OSError as error:
        assert "Too many open files" in str(error)
    else:
        raise AssertionError("there are descriptors left")
pool.join()
assert len(pool) == 0
give_back()
assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
pool.kill()
assert pool.size == 0
""")


def test_a_task_of_a_pool_cannot_wait_in_a_hub_that_it_has_no_descriptors_for() -> None:
    python(f"""{SETTING}
get_hub().exception_stream = None
take_all()
out_of_files(get_hub().threadpool.apply, sleep, (0.001,))
give_back()
get_hub().threadpool.apply(sleep, (0.001,))
""")


def test_names_are_looked_up_again_when_there_are_descriptors() -> None:
    python(f"""{SETTING}
take_all()
try:
    socket.getaddrinfo("localhost", 80)
except OSError:
    pass
give_back()
assert socket.getaddrinfo("localhost", 80)
""")


def test_a_patched_program_selects_and_polls_without_descriptors() -> None:
    python(f"""{SETTING}
from greenloom import monkey
monkey.patch_all()
a, b = socket.socketpair()
take_all()
a.sendall(b"x")
assert select.select([b], [], [], 5)[0] == [b]
poll = select.poll()
poll.register(b, select.POLLIN)
assert poll.poll(5000) == [(b.fileno(), select.POLLIN)]
thread = threading.Thread(target=sleep, args=(0.001,))
thread.start()
thread.join(10)
assert not thread.is_alive()
""")

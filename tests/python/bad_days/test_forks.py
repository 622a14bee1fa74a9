"""Forks while greenlets wait, threads run and sockets are open: the child's hub works, the parent's is undisturbed."""

from __future__ import annotations

import pytest

from programs import python

#: A program in which everything is under way, and what the child and the parent are expected to do then.
SETTING = """
import greenloom
from greenloom import monkey
monkey.patch_all()
import gc, multiprocessing, os, socket, sys, threading, time, traceback
from greenloom import get_hub, getcurrent, sleep, spawn
from greenloom.server import StreamServer

got = []
left, right = socket.socketpair()
reading = spawn(lambda: got.append(right.recv(10)))
ticking = spawn(lambda: [sleep(0.001) for _ in range(10**6)])
stop = threading.Event()
patched = threading.Thread(target=lambda: got.append(stop.wait(30)))
patched.start()
busy = get_hub().threadpool.spawn(monkey.get_original("time", "sleep"), 0.3)
with_a_hub = get_hub().threadpool.spawn(lambda: (sleep(0.3), got.append("its hub")))

def answer(client, _address):
    for piece in iter(lambda: client.recv(100), b""):
        client.sendall(piece.upper())

server = StreamServer(("127.0.0.1", 0), answer)
server.start()
client = socket.create_connection(server.address)
client.sendall(b"before")
assert client.recv(10) == b"BEFORE"
sleep(0.01)

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def everything_works():
    assert spawn(lambda: 6 * 7).get(timeout=10) == 42
    a, b = socket.socketpair()
    one = spawn(b.recv, 10)
    sleep(0.002)
    assert not one.ready()
    a.sendall(b"here")
    assert one.get(timeout=10) == b"here"
    assert socket.getaddrinfo("127.0.0.1", 80)
    assert socket.gethostbyname("localhost")
    assert get_hub().threadpool.apply(os.getpid) == os.getpid()
    thread = threading.Thread(target=sleep, args=(0.001,))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    with greenloom.Timeout(0.001, False):
        sleep(10)
        raise AssertionError("no timeout")

def in_the_child():
    everything_works()
    # Its copies of what the parent waits for are closed and killed.
    greenloom.killall([reading, ticking])
    server.stop()
    for one in left, right, client:
        one.close()
    everything_works()

def fork(way=os.fork, child=in_the_child):
    pid = way()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid

def reap(pid):
    assert os.waitpid(pid, 0) == (pid, 0)

def nothing_happened_here():
    # The greenlets of before the fork wait still, and get what they wait for.
    assert not reading.ready() and not ticking.ready()
    client.sendall(b"after")
    assert client.recv(10) == b"AFTER"
    left.sendall(b"later")
    reading.join(10)
    stop.set()
    patched.join(10)
    busy.get(timeout=10)
    with_a_hub.get(timeout=10)
    assert sorted(map(str, got)) == ["True", "b'later'", "its hub"], got
    ticking.kill()
    everything_works()
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    else:
        raise AssertionError("a child is left")
"""

WAYS = {
    "os.fork": "reap(fork())",
    "gevent.fork": "reap(fork(greenloom.fork))",
    "the system's fork and reinit": """
def fork_and_reinit():
    pid = monkey.get_original("os", "fork")()
    if pid == 0:
        greenloom.reinit()
    return pid
reap(fork(fork_and_reinit))
""",
    "multiprocessing": """
process = multiprocessing.get_context("fork").Process(target=in_the_child)
process.start()
process.join(30)
assert process.exitcode == 0, process.exitcode
""",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ["main", "a greenlet"])
def test_the_child_works_and_the_parent_is_not_disturbed(way: str, place: str) -> None:
    body = WAYS[way].strip()
    if place == "a greenlet":
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        body = f"def program():\n{lines}spawn(program).get(timeout=30)"
    # That a fork leaves threads behind is what this is about; the system's own warns of it.
    python(f"{SETTING}\n{body}\nnothing_happened_here()", "-W", "ignore")


def test_many_children_at_once_are_all_reaped_and_no_descriptor_is_left() -> None:
    python(f"""{SETTING}
reap(fork(child=lambda: None))
before = descriptors()
children = [fork(child=lambda: sleep(0.001 * (number % 7))) for number in range(30)]
greenloom.joinall([spawn(reap, pid) for pid in children], timeout=30, raise_error=True)
assert descriptors() == before
nothing_happened_here()
""")


def test_a_child_of_a_child_works() -> None:
    python(f"""{SETTING}
def generations(left):
    everything_works()
    if left:
        reap(fork(child=lambda: generations(left - 1)))
    everything_works()
generations(3)
nothing_happened_here()
""")


def test_processes_answer_through_pipes() -> None:
    python(f"""{SETTING}
def work(questions, answers):
    for number in iter(questions.recv, None):
        sleep(0.001)
        answers.send(spawn(lambda: number * number).get(timeout=10))
context = multiprocessing.get_context("fork")
to_them = [context.Pipe(duplex=False) for _ in range(3)]
to_us = [context.Pipe(duplex=False) for _ in range(3)]
processes = [context.Process(target=work, args=(to_them[n][0], to_us[n][1])) for n in range(3)]
for process in processes:
    process.start()
for number in range(10):
    for _, end in to_them:
        end.send(number)
    assert [end.recv() for end, _ in to_us] == [number * number] * 3
for _, end in to_them:
    end.send(None)
for process in processes:
    process.join(30)
    assert process.exitcode == 0
nothing_happened_here()
""")


def test_a_thread_of_its_own_hub_may_fork() -> None:
    python(f"""{SETTING}
def forks():
    sleep(0.001)
    def child():
        sleep(0.001)
        assert spawn(lambda: 1).get(timeout=10) == 1
        assert get_hub().threadpool.apply(os.getpid) == os.getpid()
        assert socket.gethostbyname("localhost")
    reap(fork(child=child))
    get_hub().destroy(destroy_loop=True)
get_hub().threadpool.apply(forks)
nothing_happened_here()
""")


def test_the_child_may_destroy_its_hub_and_begin_anew() -> None:
    python(f"""{SETTING}
def child():
    old = get_hub()
    old.destroy(destroy_loop=True)
    assert get_hub() is not old
    everything_works()
reap(fork(child=child))
nothing_happened_here()
""")


def test_what_waits_on_one_socket_in_both_is_served_in_one() -> None:
    python(f"""{SETTING}
def child():
    # The child reads what the parent waits for too: whoever is faster.
    assert reading.get(timeout=10) is None
    assert got == [b"later"]
pid = fork(child=lambda: (ticking.kill(), child()))
# The parent does not read before its child has.
reader_of_the_parent = reading
reader_of_the_parent.kill()
left.sendall(b"later")
reap(pid)
reading = spawn(lambda: got.append(right.recv(10)))
sleep(0.001)
nothing_happened_here()
""")

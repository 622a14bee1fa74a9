"""How sockets wait: without a watcher until somebody asks for one, and whatever becomes of the descriptor meanwhile."""

from __future__ import annotations

import array
import errno
import gc
import os
import select
import socket as standard
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import greenloom
from greenloom import Timeout, get_hub, sleep, socket, spawn
from greenloom.exceptions import ConcurrentObjectUseError, InvalidSwitchError
from greenloom.socket import cancel_wait, cancel_wait_ex

Pair = tuple[Any, Any]


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    with Timeout(10, ref=False):
        yield


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def tcp() -> Iterator[Pair]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            yield client, server


def parked(function: Callable[..., Any], *args: Any) -> Any:
    """Return a greenlet that waits in a call."""
    greenlet = spawn(function, *args)
    sleep(0)
    assert not greenlet.ready()
    return greenlet


# ------------------------------------------------------------------------------------------ what was read before


@pytest.mark.parametrize("asked", [64, 4])
def test_data_that_came_after_a_read_is_found(pair: Pair, asked: int) -> None:
    left, right = pair
    for _ in range(40):
        left.sendall(b"1234")
        assert right.recv(asked) == b"1234"
        left.sendall(b"5678")
        sleep(0)
        assert right.recv(asked) == b"5678"


def test_the_end_after_a_part_is_found(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"1234")
    assert right.recv(64) == b"1234"
    left.close()
    assert right.recv(64) == b""
    assert right.recv(64) == b""


def test_the_end_of_one_direction_is_found(tcp: Pair) -> None:
    client, server = tcp
    client.sendall(b"1234")
    assert server.recv(64) == b"1234"
    client.shutdown(socket.SHUT_WR)
    assert server.recv(64) == b""
    server.sendall(b"back")
    assert client.recv(64) == b"back"


def test_a_reset_after_a_part_is_found(tcp: Pair) -> None:
    client, server = tcp
    client.sendall(b"1234")
    assert server.recv(64) == b"1234"
    reader = parked(server.recv, 64)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.close()
    with pytest.raises(ConnectionResetError):
        reader.get()


def test_a_socket_that_must_not_wait_tries_after_a_part(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"1234")
    assert right.recv(64) == b"1234"
    left.sendall(b"5678")
    right.setblocking(False)
    assert right.recv(64) == b"5678"
    with pytest.raises(BlockingIOError) as caught:
        right.recv(64)
    assert caught.value.errno == errno.EAGAIN


def test_a_look_takes_nothing(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"1234")
    assert right.recv(64, socket.MSG_PEEK) == b"1234"
    assert right.recv(64, socket.MSG_PEEK) == b"1234"
    assert right.recv(2) == b"12"
    assert right.recv(64) == b"34"


def test_urgent_data_does_not_hide_what_follows(tcp: Pair) -> None:
    client, server = tcp
    client.sendall(b"before")
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"after")
    sleep(0.01)
    # The system stops at the mark, so this is a part though there is more.
    assert server.recv(64) == b"before"
    assert server.recv(1, socket.MSG_OOB) == b"!"
    assert server.recv(64) == b"after"


def test_datagrams_come_one_by_one() -> None:
    left, right = socket.socketpair(type=socket.SOCK_DGRAM)
    with left, right:
        for number in range(3):
            left.send(b"%d" % number)
        assert [right.recv(64) for _ in range(3)] == [b"0", b"1", b"2"]


def test_data_that_another_thread_takes_is_waited_for(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"1234")
    assert right.recv(64) == b"1234"
    reader = parked(right.recv, 64)
    other = standard.socket(fileno=os.dup(right.fileno()))
    with other:
        left.sendall(b"taken")
        assert other.recv(64) == b"taken"
    sleep(0.01)
    left.sendall(b"kept")
    assert reader.get() == b"kept"


def test_a_reader_lets_others_run(pair: Pair) -> None:
    left, right = pair
    count = 0

    def others() -> None:
        nonlocal count
        while True:
            count += 1
            sleep(0)

    spinner = spawn(others)
    for _ in range(3):
        left.sendall(b"x")
        before = count
        right.recv(10)
        assert right.recv is not None
        sleep(0)
        assert count > before
    spinner.kill()


def test_the_hub_reads_what_it_knows_to_be_there(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"1234")
    assert right.recv(64) == b"1234"
    seen = []
    with get_hub().loop.io(right.fileno(), 1) as watcher:
        watcher.start(lambda: seen.append(right.recv(64)))
        for _ in range(3):
            left.sendall(b"5678")
            sleep(0.01)
    assert seen == [b"5678"] * 3


# ----------------------------------------------------------------------------------------------- watchers, and users


def test_who_waits_can_be_found_by_the_watcher(pair: Pair) -> None:
    _left, right = pair
    reader = parked(right.recv, 1)
    cancel_wait(right._read_event, KeyError("found"))
    with pytest.raises(KeyError, match="found"):
        reader.get()
    assert not right._read_event.active


def test_a_watcher_that_was_asked_for_takes_over_the_wait(pair: Pair) -> None:
    left, right = pair
    reader = parked(right.recv, 10)
    watcher = right._read_event
    assert watcher.active
    assert watcher.callback == reader.switch
    with pytest.raises(ConcurrentObjectUseError):
        right.recv(1)
    with pytest.raises(ConcurrentObjectUseError):
        socket.wait(watcher)
    left.sendall(b"data")
    assert reader.get() == b"data"
    assert not watcher.active
    left.sendall(b"more")
    assert right.recv(10) == b"more"


def test_the_error_names_who_uses_the_socket(pair: Pair) -> None:
    _left, right = pair
    reader = parked(right.recv, 1)
    with pytest.raises(ConcurrentObjectUseError) as caught:
        right.recv(1)
    assert repr(reader.switch) in str(caught.value)
    reader.kill()


def test_a_class_with_its_own_wait_is_asked(pair: Pair) -> None:
    seen = []

    class Watching(socket.socket):
        def _wait(self, watcher: Any, timeout_exc: Any = None, timeout: Any = socket.timeout_default) -> None:
            seen.append(watcher.events)
            super()._wait(watcher, timeout_exc, timeout)

    left, right = pair
    with Watching(fileno=right.detach()) as watching:
        reader = parked(watching.recv, 1)
        left.sendall(b"x")
        assert reader.get() == b"x"
    assert seen == [1]


def test_a_class_with_its_own_send_sends_the_rest(pair: Pair) -> None:
    sizes = []

    class Counting(socket.socket):
        def send(self, data: Any, flags: int = 0, timeout: Any = socket.timeout_default) -> int:
            sizes.append(len(data))
            return super().send(data, flags, timeout)

    left, right = pair
    with Counting(fileno=left.detach()) as counting:
        writer = parked(counting.sendall, b"x" * 3_000_000)
        got = 0
        while got < 3_000_000:
            got += len(right.recv(1 << 20))
        writer.get()
    assert sizes


def test_a_wait_that_somebody_switches_into_is_an_error(pair: Pair) -> None:
    left, right = pair
    reader = parked(right.recv, 1)
    get_hub().loop.run_callback(reader.switch, "nonsense")
    with pytest.raises(InvalidSwitchError, match="nonsense"):
        reader.get()
    left.sendall(b"x")
    assert right.recv(1) == b"x"


def test_the_kill_of_who_waits_leaves_nothing_behind(pair: Pair) -> None:
    left, right = pair
    loop = get_hub().loop
    before = loop.activecnt
    for _ in range(3):
        reader = parked(right.recv, 1)
        assert loop.activecnt == before + 1
        reader.kill()
        assert loop.activecnt == before
    left.sendall(b"x")
    assert right.recv(1) == b"x"


def test_a_timeout_around_a_wait_ends_it(pair: Pair) -> None:
    left, right = pair
    with Timeout(0.01, False):
        right.recv(1)
        raise AssertionError("nothing has come")
    with Timeout(0.01) as timeout, pytest.raises(Timeout) as caught:
        right.recv_into(bytearray(1))
    assert caught.value is timeout
    left.sendall(b"x")
    assert right.recv(1) == b"x"


def test_a_timeout_may_change_while_somebody_waits(pair: Pair) -> None:
    left, right = pair
    right.settimeout(0.5)
    reader = parked(right.recv, 1)
    right.settimeout(None)
    gc.collect()
    left.sendall(b"x")
    assert reader.get() == b"x"


def test_nobody_to_wake_is_a_deadlock() -> None:
    code = (
        "import greenloom\n"
        "from greenloom import socket\n"
        "left, right = socket.socketpair()\n"
        "right.ref = False\n"
        "try: right.recv(1)\n"
        "except greenloom.hub.LoopExit: print('deadlock')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "deadlock"


# ------------------------------------------------------------------------------------------------------- descriptors


def test_close_reaches_a_reader_and_a_writer() -> None:
    left, right = socket.socketpair()
    reader = parked(right.recv, 1)
    writer = parked(right.sendall, b"x" * 10_000_000)
    right.close()
    for waiter in (reader, writer):
        with pytest.raises(cancel_wait_ex):
            waiter.get()
    left.close()


def test_detach_ends_waits() -> None:
    left, right = socket.socketpair()
    reader = parked(right.recv, 1)
    fd = right.detach()
    with pytest.raises(cancel_wait_ex):
        reader.get()
    with socket.socket(fileno=fd) as again:
        left.sendall(b"x")
        assert again.recv(1) == b"x"
    left.close()


def test_a_number_that_is_used_again_is_another_socket() -> None:
    for _ in range(5):
        left, right = socket.socketpair()
        reader = parked(right.recv, 10)
        left.sendall(b"data")
        assert reader.get() == b"data"
        left.close()
        right.close()
        left, right = socket.socketpair()
        reader = parked(right.recv, 10)
        left.sendall(b"again")
        assert reader.get() == b"again"
        left.close()
        right.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_number_of_a_dropped_socket_is_another_socket() -> None:
    for _ in range(5):
        left, right = socket.socketpair()
        reader = parked(right.recv, 10)
        left.sendall(b"data")
        assert reader.get() == b"data"
        del left, right, reader
        gc.collect()


def polls(seconds: float) -> int:
    loop = get_hub().loop
    before = loop.iteration
    sleep(seconds)
    return int(loop.iteration - before)


def test_a_duplicate_outlives_its_original(pair: Pair) -> None:
    left, right = pair
    copy = right.dup()
    with copy:
        reader = parked(right.recv, 10)
        left.sendall(b"one")
        assert reader.get() == b"one"
        right.close()
        left.sendall(b"two")
        # Nobody reads: the loop sleeps although the file, which the copy has open, is readable.
        assert polls(0.05) < 10
        assert copy.recv(10) == b"two"
        reader = parked(copy.recv, 10)
        left.sendall(b"three")
        assert reader.get() == b"three"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_ghost_of_a_descriptor_does_not_keep_the_loop_awake(pair: Pair) -> None:
    left, right = pair
    copy = right.dup()
    with copy:
        reader = parked(right.recv, 10)
        left.sendall(b"one")
        assert reader.get() == b"one"
        # Behind our back: epoll goes on to report the file under a number that is closed.
        os.close(right.fileno())
        left.sendall(b"two")
        assert polls(0.05) < 10
        assert copy.recv(10) == b"two"
        # The number is another file's now, and that one is waited for.
        ours, theirs = socket.socketpair()
        with ours, theirs:
            reader = parked(ours.recv, 10)
            theirs_reader = parked(theirs.recv, 10)
            left.sendall(b"ghost")
            assert polls(0.05) < 10
            theirs.sendall(b"real")
            assert reader.get() == b"real"
            ours.sendall(b"real")
            assert theirs_reader.get() == b"real"
            assert copy.recv(10) == b"ghost"
            right.detach()


def test_a_socket_that_was_sent_away_is_no_longer_ours(pair: Pair) -> None:
    left, right = pair
    ours, theirs = socket.socketpair()
    with ours:
        reader = parked(theirs.recv, 10)
        ours.sendall(b"one")
        assert reader.get() == b"one"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))]
        left.sendmsg([b"x"], rights)
        theirs.close()
        ours.sendall(b"two")
        assert polls(0.05) < 10
        _, ancillary, _, _ = right.recvmsg(1, socket.CMSG_SPACE(4))
        received = array.array("i", ancillary[0][2])
        with socket.socket(fileno=received[0]) as arrived:
            assert arrived.recv(10) == b"two"
            reader = parked(arrived.recv, 10)
            ours.sendall(b"three")
            assert reader.get() == b"three"


def test_a_forked_child_leaves_the_parents_sockets_alone(pair: Pair) -> None:
    left, right = pair
    reader = parked(right.recv, 10)
    left.sendall(b"one")
    assert reader.get() == b"one"
    reader = parked(right.recv, 10)
    sleep(0.01)
    # Not ours, which would make the child a hub of its own.
    child = os.fork()
    if child == 0:
        right.close()
        left.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    left.sendall(b"two")
    assert reader.get() == b"two"


def test_a_forked_child_goes_on_with_its_sockets(pair: Pair) -> None:
    left, right = pair
    reader = parked(right.recv, 10)
    sleep(0.01)
    go, ready = os.pipe()
    child = greenloom.os.fork()
    if child == 0:
        code = 1
        try:
            # The parent's reader would take the data as well.
            os.read(go, 1)
            left.sendall(b"child")
            code = 0 if reader.get() == b"child" else 2
        finally:
            os._exit(code)
    reader.kill()
    os.write(ready, b"x")
    assert os.waitstatus_to_exitcode(greenloom.os.waitpid(child, 0)[1]) == 0
    os.close(go)
    os.close(ready)
    reader = parked(right.recv, 10)
    left.sendall(b"parent")
    assert reader.get() == b"parent"


def test_watchers_and_sockets_may_wait_for_one_descriptor(pair: Pair) -> None:
    left, right = pair
    reader = parked(right.recv, 1)
    watching = parked(socket.wait_read, right.fileno())
    left.sendall(b"xy")
    watching.get()
    assert reader.get() == b"x"
    assert right.recv(1) == b"y"
    reader = parked(right.recv, 1)
    left.sendall(b"z")
    assert reader.get() == b"z"


def test_other_threads_read_and_close(pair: Pair) -> None:
    left, right = pair
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(right.recv(10)))
    thread.start()
    sleep(0.02)
    left.sendall(b"there")
    thread.join(5)
    assert results == [b"there"]
    reader = parked(right.recv, 10)
    left.sendall(b"here")
    assert reader.get() == b"here"


def test_many_threads_have_sockets_of_their_own() -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                left, right = socket.socketpair()
                with left, right:
                    reader = spawn(right.recv, 10)
                    sleep(0)
                    left.sendall(b"data")
                    assert reader.get() == b"data"
            get_hub().destroy()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ----------------------------------------------------------------------------------------------------------- arguments


def test_wrong_arguments_are_refused(pair: Pair) -> None:
    left, right = pair
    wrong: list[tuple[Callable[[], Any], type[BaseException]]] = [
        (lambda: right.recv(-1), ValueError),
        (lambda: right.recv("1"), TypeError),
        (lambda: right.recv(), TypeError),
        (lambda: right.recv(1, 0, 0), TypeError),
        (lambda: right.recv(1, "flags"), TypeError),
        (lambda: right.recv(1, flags=1 << 40), OverflowError),
        (lambda: right.recv(1 << 70), OverflowError),
        (lambda: right.recv_into(b"constant"), TypeError),
        (lambda: right.recv_into(bytearray(1), 2), ValueError),
        (lambda: right.recvfrom(-1), ValueError),
        (lambda: left.send("text"), TypeError),
        (lambda: left.sendall("text"), TypeError),
        (lambda: left.sendall(7), TypeError),
        (lambda: left.send(), TypeError),
        (lambda: left.sendto(b"x"), TypeError),
    ]
    for call, error in wrong:
        with pytest.raises(error):
            call()
    left.send(data=b"x", flags=0)
    assert right.recv(bufsize=1, flags=0) == b"x"
    assert right.recv(0) == b""


def test_pieces_of_memory_and_structures_are_sent(pair: Pair) -> None:
    left, right = pair
    for data, arrives in (
        (bytearray(b"abc"), b"abc"),
        (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
    ):
        left.sendall(data)
        assert right.recv(10) == arrives
    left.sendall(b"")
    left.sendall(bytearray())


def test_large_reads_have_the_size_of_what_came(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"x" * 1000)
    data = right.recv(1 << 20)
    assert len(data) == 1000
    assert sys.getsizeof(data) < 1100


def test_a_buffer_may_grow_while_it_is_waited_for(pair: Pair) -> None:
    left, right = pair
    buffer = bytearray(1)
    reader = parked(right.recv_into, buffer)
    buffer.extend(b"....")
    left.sendall(b"12345")
    assert reader.get() == 5
    assert buffer == b"12345"


@pytest.mark.parametrize(("family", "host"), [(standard.AF_INET, "127.0.0.1"), (standard.AF_INET6, "::1")])
def test_datagrams_have_addresses(family: int, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as left, socket.socket(family, socket.SOCK_DGRAM) as right:
        try:
            left.bind((host, 0))
        except OSError:
            pytest.skip("no such addresses here")
        right.bind((host, 0))
        assert left.sendto(b"one", right.getsockname()) == 3
        assert right.recvfrom(10) == (b"one", left.getsockname())
        assert left.sendto(b"two", 0, right.getsockname()[:2]) == 3
        reader = parked(lambda: [right.recvfrom(10), right.recvfrom(10)])
        # A name is looked up.
        name = "localhost" if family == standard.AF_INET else host
        assert left.sendto(bytearray(b"three"), (name, right.getsockname()[1])) == 5
        assert reader.get() == [(b"two", left.getsockname()), (b"three", left.getsockname())]
        wrong: list[tuple[Any, type[BaseException]]] = [
            ((host, 70000), OverflowError),
            ((host, "1"), TypeError),
            ((host,), TypeError),
            (7, TypeError),
        ]
        for address, error in wrong:
            with pytest.raises(error):
                left.sendto(b"x", address)


def test_accepted_sockets_are_whole(tcp: Pair) -> None:
    client, server = tcp
    assert not os.get_inheritable(server.fileno())
    assert not os.get_blocking(server.fileno())
    assert server.getpeername() == client.getsockname()


def test_a_listener_that_must_not_wait() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        listener.settimeout(0.01)
        with pytest.raises(TimeoutError, match="timed out"):
            listener.accept()


def test_unix_connections_have_their_names(tmp_path: Any) -> None:
    name = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(name)
        listener.listen()
        accepting = parked(listener.accept)
        client.connect(name)
        server, address = accepting.get()
        with server:
            assert address == ""
            assert server.getsockname() == name


def test_select_sees_what_a_reader_left(pair: Pair) -> None:
    left, right = pair
    left.sendall(b"1234")
    assert right.recv(2) == b"12"
    assert select.select([right], [], [], 1)[0] == [right]


# ----------------------------------------------------------------------------------------------------------- lifetimes


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_sockets_are_collected_with_what_they_refer_to() -> None:
    class Mine(socket.socket):
        pass

    left, right = socket.socketpair()
    mine: Any = Mine(fileno=right.detach())
    mine.circle = mine
    mine.timeout = None
    gone = weakref.ref(mine)
    del mine, right
    gc.collect()
    assert gone() is None
    left.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_who_waits_for_ever_ends_with_the_loop() -> None:
    ended = []

    def wait(sock: Any) -> None:
        try:
            sock.recv(1)
        finally:
            ended.append(True)

    def work() -> None:
        pair = socket.socketpair()
        spawn(wait, pair[0])
        sleep(0.01)
        get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    gc.collect()


def test_sockets_refuse_to_be_pickled(pair: Pair) -> None:
    import pickle

    with pytest.raises(TypeError):
        pickle.dumps(pair[0])


def test_an_object_without_a_descriptor_fails_as_a_closed_one() -> None:
    bare = socket.socket.__new__(socket.socket)
    with pytest.raises(OSError, match="Bad file"):
        bare.recv(1)
    with pytest.raises(OSError, match="Bad file"):
        bare.sendall(b"x")

"""Many threads with a hub each: they work with each other, and end without leaving anything behind."""

from __future__ import annotations

import pytest

from programs import python

SETTING = """
import gc, os, random, sys, threading, time
import greenloom
from greenloom import Timeout, get_hub, joinall, pool, sleep, socket, spawn
from greenloom.event import AsyncResult, Event
from greenloom.lock import BoundedSemaphore, RLock, Semaphore
from greenloom.queue import Queue
from greenloom.threadpool import ThreadPool
failures = []
# Main has its own from the beginning.
sleep(0.001)

def threads(number, function, *args):
    def run(which):
        try:
            function(which, *args)
        except BaseException as error:
            import traceback
            failures.append(traceback.format_exc())
    begun = [threading.Thread(target=run, args=(which,), daemon=True) for which in range(number)]
    for thread in begun:
        thread.start()
    for thread in begun:
        thread.join(40)
        if thread.is_alive():
            failures.append("a thread hangs")
    assert not failures, "\\n".join(failures[:3])

def finish(ones):
    # Not joinall: for a hub, to wait for other threads alone is to wait for nothing. A primitive waits on.
    ended = Queue()
    for one in ones:
        one.link(ended.put)
    for _ in ones:
        ended.get().get()

def only_main_is_left():
    # A thread is over for Python a little before it is over.
    for _ in range(1000):
        if len(os.listdir("/proc/self/task")) == 1:
            gc.collect()
            return
        sleep(0.01)
    raise AssertionError("threads are left")

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
"""


def test_eight_hubs_run_hundreds_of_greenlets_each() -> None:
    python(f"""{SETTING}
def work(which):
    chance = random.Random(which)
    done = []
    def one(number):
        left, right = socket.socketpair()
        sleep(chance.random() / 100)
        left.sendall(b"%d" % number)
        assert right.recv(10) == b"%d" % number
        with Timeout(0.001, False):
            sleep(10)
        left.close()
        right.close()
        done.append(number)
    for _ in range(3):
        joinall([spawn(one, number) for number in range(100)], raise_error=True)
    assert sorted(done) == sorted(list(range(100)) * 3)
    assert get_hub().threadpool.map(abs, range(-10, 0)) == list(range(10, 0, -1))
threads(8, work)
""")


def test_a_queue_takes_everything_across_threads_once() -> None:
    python(f"""{SETTING}
queue, got = Queue(5), []
def work(which):
    def put(number):
        for item in range(20):
            queue.put((which, number, item))
    def take():
        while True:
            item = queue.get()
            if item is None:
                return
            got.append(item)
    if which < 4:
        finish([spawn(put, number) for number in range(25)])
    else:
        finish([spawn(take) for _ in range(25)])
def end():
    time.sleep(0.01)
    while len(got) < 2000:
        time.sleep(0.01)
    for _ in range(100):
        queue.put(None)
ending = threading.Thread(target=end, daemon=True)
ending.start()
threads(8, work)
assert sorted(got) == [(a, b, c) for a in range(4) for b in range(25) for c in range(20)]
""")


@pytest.mark.parametrize("lock", ["Semaphore(1)", "BoundedSemaphore(1)", "RLock()"])
def test_a_lock_excludes_greenlets_of_all_threads(lock: str) -> None:
    python(f"""{SETTING}
lock, inside, total = {lock}, [0], [0]
def work(which):
    def one():
        for _ in range(5):
            with lock:
                inside[0] += 1
                assert inside[0] == 1
                sleep(0)
                total[0] += 1
                inside[0] -= 1
    joinall([spawn(one) for _ in range(20)], raise_error=True)
threads(8, work)
assert total == [800]
""")


def test_an_event_and_a_result_wake_all_threads() -> None:
    python(f"""{SETTING}
event, result, woken = Event(), AsyncResult(), []
waiting = [0]
def work(which):
    def one():
        waiting[0] += 1
        assert event.wait(30)
        woken.append(result.get(timeout=30))
    joinall([spawn(one) for _ in range(50)], raise_error=True)
def tell():
    while waiting[0] < 400:
        time.sleep(0.001)
    event.set()
    result.set("value")
telling = threading.Thread(target=tell, daemon=True)
telling.start()
threads(8, work)
assert woken == ["value"] * 400
""")


def test_waits_that_end_by_a_timeout_do_not_take_what_is_for_other_threads() -> None:
    python(f"""{SETTING}
queue, semaphore, got = Queue(), Semaphore(0), []
def work(which):
    chance = random.Random(which)
    def impatient(number):
        while True:
            with Timeout(chance.random() / 500, False):
                got.append(queue.get())
                return
    def acquires():
        while not semaphore.acquire(timeout=chance.random() / 500):
            pass
    if which < 6:
        joinall([spawn(impatient, n) for n in range(30)] + [spawn(acquires) for _ in range(30)], raise_error=True)
    else:
        for number in range(90):
            sleep(chance.random() / 1000)
            queue.put((which, number))
            semaphore.release()
threads(8, work)
assert sorted(got) == [(which, number) for which in (6, 7) for number in range(90)]
assert semaphore.counter == 0 and queue.empty()
""")


#: What a thread may have begun when it ends.
BEGUN = {
    "nothing": "",
    "a greenlet that waits": "spawn(sleep, 600); sleep(0)",
    "greenlets in many places": """
    left, right = socket.socketpair()
    spawn(right.recv, 10)
    spawn(Event().wait)
    spawn(Queue().get)
    spawn(lambda: spawn(sleep, 600).join())
    sleep(0.001)""",
    "a callback": "get_hub().loop.run_callback(int)",
    "a pool of threads": "assert get_hub().threadpool.apply(abs, (-1,)) == 1",
}

LEAVES = """
def work():
    def wait():
        sleep(0.0001)
    joinall([spawn(wait) for _ in range(3)])
    {begun}
    {end}
def run(times):
    for _ in range(times):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    only_main_is_left()
    return descriptors(), resident()
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit"], ids=["returns", "raises"])
@pytest.mark.parametrize("begun", BEGUN)
def test_nothing_is_left_of_threads_that_have_destroyed_their_hub(begun: str, end: str) -> None:
    leaves = LEAVES.format(begun=BEGUN[begun], end="get_hub().destroy(destroy_loop=True)\n    " + end)
    python(f"""{SETTING}{leaves}
before = run(50)
after = run(200)
assert after[0] <= before[0], (before, after)
assert after[1] - before[1] < 3, (before, after)
""")


@pytest.mark.parametrize("begun", [one for one in BEGUN if one != "a pool of threads"])
def test_nothing_is_left_of_threads_that_have_not(begun: str) -> None:
    python(f"""{SETTING}{LEAVES.format(begun=BEGUN[begun], end="")}
before = run(20)
after = run(100)
assert after[0] <= before[0], (before, after)
assert after[1] - before[1] < 3, (before, after)
""")


def test_a_greenlet_that_its_thread_has_left_is_dead() -> None:
    python(f"""{SETTING}
left = []
def work():
    left.append(spawn(sleep, 600))
    left.append(spawn(Event().wait))
    sleep(0.001)
thread = threading.Thread(target=work)
thread.start()
thread.join(30)
for one in left:
    assert one.dead
    one.kill(block=False)
left.clear()
gc.collect()
assert spawn(lambda: 5).get(timeout=10) == 5
""")


def test_pools_of_threads_in_threads_end_with_their_hubs() -> None:
    python(f"""{SETTING}
def work(which):
    own = ThreadPool(2)
    assert own.map(lambda n: n * which, range(20)) == [n * which for n in range(20)]
    own.kill()
    get_hub().destroy(destroy_loop=True)
threads(8, work)
only_main_is_left()
before = descriptors()
threads(8, work)
threads(8, work)
only_main_is_left()
assert descriptors() <= before
""")

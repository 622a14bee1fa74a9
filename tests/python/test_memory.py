"""Memory stays where it is, however many greenlets come and go. Each test measures a process of its own."""

from __future__ import annotations

import textwrap

import pytest

from programs import python

MEASURE = """
import gc, os, threading, time, weakref
from greenloom.greenlet import getcurrent, greenlet

def kib():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

def descriptors():
    # A thread can be joined a moment before it has closed what it had.
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    return len(os.listdir("/proc/self/fd"))

def wait(*kept):
    getcurrent().parent.switch()

def growth(work, times):
    work(times // 10)
    before = kib()
    work(times)
    return kib() - before
"""


def measure(code: str) -> None:
    python(MEASURE + textwrap.dedent(code))


def test_three_hundred_thousand_in_a_row_take_no_more_than_a_few() -> None:
    measure("""
        def work(times):
            for _ in range(times):
                greenlet(len).switch(())
        grown = growth(work, 300_000)
        assert grown < 4096, grown
    """)


@pytest.mark.parametrize("end", ["g.switch()", "g.throw()", "del g", "g.itself = g"])
def test_suspended_ones_leave_nothing_behind_however_they_end(end: str) -> None:
    measure(f"""
        def work(times):
            for number in range(times):
                g = greenlet(wait)
                g.switch(bytes(1000))
                {end}
                if number % 100 == 0:
                    gc.collect()
        grown = growth(work, 20_000)
        assert grown < 4096, grown
    """)


def test_errors_that_end_greenlets_leave_nothing_behind() -> None:
    measure("""
        def fail():
            raise ValueError(bytes(1000))
        def work(times):
            for _ in range(times):
                try:
                    greenlet(fail).switch()
                except ValueError:
                    pass
        grown = growth(work, 20_000)
        assert grown < 4096, grown
    """)


def test_deep_ones_interleaved_use_their_memory_again() -> None:
    measure("""
        def deep(levels):
            if levels:
                deep(levels - 1)
            wait()
        def work(times):
            for _ in range(times):
                several = [greenlet(deep) for _ in range(5)]
                for g in several:
                    g.switch(200)
                for _ in range(10):
                    for g in several:
                        g.switch()
        grown = growth(work, 200)
        assert grown < 4096, grown
    """)


@pytest.mark.parametrize("keep", [True, False])
def test_threads_that_leave_suspended_greenlets_take_no_descriptors_and_little_memory(keep: bool) -> None:
    measure(f"""
        def in_threads(run, times):
            for _ in range(times):
                thread = threading.Thread(target=run)
                thread.start()
                thread.join()
            kept.clear()
        kept = []
        def run():
            for _ in range(5):
                g = greenlet(wait)
                g.switch()
                kept.append(g)
            if not {keep}:
                kept.clear()
        def work(times):
            in_threads(run, times)
        in_threads(run, 1)
        before = descriptors()
        grown = growth(work, 300)
        assert descriptors() == before
        # What CPython keeps of a main greenlet which the evaluation stacks of lost frames refer to; stacks are 1 MiB.
        assert grown < 300 * 16, grown
    """)


def test_what_the_lost_frames_of_an_ended_thread_refer_to_is_let_go() -> None:
    measure("""
        class Thing:
            pass
        def run():
            def wait_holding():
                thing = Thing()
                references.append(weakref.ref(thing))
                main.switch()
            main = getcurrent()
            g = greenlet(wait_holding)
            g.switch()
            kept.append(g)
        kept, references = [], []
        for _ in range(10):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        assert all(reference() for reference in references)
        kept.clear()
        gc.collect()
        assert [reference() for reference in references] == [None] * 10
    """)


def test_deep_greenlets_lost_with_their_thread_leave_no_frames_behind() -> None:
    measure("""
        def deep(levels):
            if levels:
                deep(levels - 1)
            else:
                wait()
        def run():
            g = greenlet(deep)
            g.switch(900)
            kept.append(g)
        def work(times):
            for _ in range(times):
                thread = threading.Thread(target=run)
                thread.start()
                thread.join()
                kept.clear()
        kept = []
        grown = growth(work, 200)
        # In 3.11 and later a level takes about 90 bytes outside of the C stack.
        assert grown < 200 * 32, grown
    """)


@pytest.mark.parametrize("place", ["a context variable", "the thread's dictionary"])
def test_destructors_at_a_threads_end_may_use_greenlets(place: str) -> None:
    measure(f"""
        import contextvars
        from greenloom.greenlet._greenlet import get_total_main_greenlets, set_thread_local
        variable = contextvars.ContextVar("variable")
        class Late:
            def __del__(self):
                seen.append(greenlet(lambda: 1).switch())
                g = greenlet(wait)
                g.switch()
                kept.append(g)
        def run():
            getcurrent()
            if {place!r} == "a context variable":
                variable.set(Late())
            else:
                set_thread_local("late", Late())
        def work(times):
            for _ in range(times):
                thread = threading.Thread(target=run)
                thread.start()
                thread.join()
            # A thread counts as joined a little before it has ended.
            wait_until(lambda: all(g.dead for g in kept))
            kept.clear()
        def wait_until(true, deadline=time.monotonic() + 30):
            while not true() and time.monotonic() < deadline:
                time.sleep(0.001)
            assert true()
        seen, kept = [], []
        work(10)
        before = descriptors()
        work(40)
        assert len(seen) == 50
        wait_until(lambda: descriptors() == before)
    """)


def test_a_thread_that_first_uses_greenlets_while_it_ends_leaves_nothing() -> None:
    measure("""
        from greenloom.greenlet._greenlet import get_total_main_greenlets
        class Late:
            def __del__(self):
                greenlet(len).switch(())
        local = threading.local()
        def run():
            local.late = Late()
        for _ in range(50):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        deadline = time.monotonic() + 30
        while get_total_main_greenlets() > 3 and time.monotonic() < deadline:
            # Records of threads that have ended end with the next thread that begins one.
            thread = threading.Thread(target=getcurrent)
            thread.start()
            thread.join()
        assert get_total_main_greenlets() <= 3, get_total_main_greenlets()
    """)


def test_what_a_lost_greenlet_was_called_with_is_freed() -> None:
    measure("""
        class Given:
            pass
        def wait_with(given):
            del given
            wait()
        def run():
            given = Given()
            references.append(weakref.ref(given))
            g = greenlet(wait_with)
            g.switch(given)
            kept.append(g)
        references, kept = [], []
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert kept.pop().dead
        gc.collect()
        assert [reference() for reference in references] == [None]
    """)

"""What classes derived from queues override is called, whenever and wherever they do it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import greenloom
from greenloom import queue


def test_each_overridden_method_is_called() -> None:
    class Loud(queue.Queue):
        calls: list[str]

        def _init(self, maxsize: int | None, items: Any = ()) -> None:
            self.calls = ["_init"]
            super()._init(maxsize, items)

        def _qsize(self) -> int:
            self.calls.append("_qsize")
            return super()._qsize()

        def _put(self, item: Any) -> None:
            self.calls.append("_put")
            super()._put(item)

        def _get(self) -> Any:
            self.calls.append("_get")
            return super()._get()

        def _peek(self) -> Any:
            self.calls.append("_peek")
            return super()._peek()

    items = Loud()
    items.put(1)
    assert (items.peek(), items.get(), items.unfinished_tasks) == (1, 1, 1)
    assert [call for call in items.calls if call != "_qsize"] == ["_init", "_put", "_peek", "_get"]
    items.calls.clear()
    assert (len(items), items.empty(), items.full(), items.qsize()) == (0, True, False, 0)
    assert items.calls == ["_qsize"] * 4


def test_a_method_that_is_overridden_later_is_called_too() -> None:
    class Mine(queue.SimpleQueue):
        pass

    items = Mine(items=[1, 2, 3, 4])
    assert items.get() == 1
    Mine._get = lambda self: -self.queue.popleft()  # type: ignore[method-assign]
    assert items.get() == -2
    items._get = lambda: "own"  # type: ignore[method-assign]
    assert items.get() == "own"
    del items._get
    del Mine._get
    assert items.get() == 3


def test_methods_that_do_not_wait_call_those_that_do() -> None:
    class Mine(queue.Queue):
        def put(self, item: Any, block: bool = True, timeout: Any = None) -> None:
            super().put(("put", item, block), block, timeout)

        def get(self, block: bool = True, timeout: Any = None) -> Any:
            return ("got", super().get(block, timeout))

    items = Mine()
    items.put_nowait(1)
    assert items.get_nowait() == ("got", ("put", 1, False))
    items.put(2)
    assert next(items) == ("got", ("put", 2, True))

    class Loose(queue.Channel):
        def get(self, block: bool = True, timeout: Any = None) -> Any:
            return block

    assert (Loose().get_nowait(), next(Loose())) == (False, True)


def test_the_container_may_be_any_object() -> None:
    kept: list[Any] = []

    class Mine(queue.Queue):
        def _init(self, maxsize: int | None) -> None:  # type: ignore[override]
            self.queue = kept

        def _get(self) -> Any:
            return self.queue.pop(0)

    items = Mine()
    getter = greenloom.spawn(items.get)
    greenloom.sleep(0)
    items.put("item")
    items.put("other")
    assert (getter.get(timeout=5), kept, items.peek()) == ("item", ["other"], "other")


def test_putters_and_getters_of_an_overriding_class_are_woken_in_order() -> None:
    class Mine(queue.Queue):
        def _put(self, item: Any) -> None:
            super()._put(item)

    items = Mine(1)
    done: list[Any] = []

    def put(n: int) -> None:
        items.put(n)
        done.append(n)

    putters = [greenloom.spawn(put, n) for n in range(5)]
    getters = [greenloom.spawn(items.get) for _ in range(5)]
    greenloom.joinall(putters + getters, timeout=5)
    assert ([getter.value for getter in getters], done) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])


def test_errors_of_overridden_methods_are_raised_where_they_belong() -> None:
    class Broken(queue.SimpleQueue):
        def _get(self) -> Any:
            raise KeyError("get")

        def _peek(self) -> Any:
            raise KeyError("peek")

    items = Broken(items=[1])
    for method in (items.get, items.get_nowait, items.peek, lambda: next(items)):
        with pytest.raises(KeyError):
            method()

    class Sizeless(queue.Queue):
        def _qsize(self) -> Any:
            return "many"

    nothing = Sizeless()
    for use in (nothing.get, lambda: nothing.put(1), nothing.qsize, nothing.full, lambda: len(nothing)):
        with pytest.raises(TypeError):
            use()


def test_an_object_that_was_not_initialized_raises() -> None:
    class Late(queue.Queue):
        def __init__(self) -> None:
            pass

    for use in (lambda q: q.get(), lambda q: q.put(1), len, repr, lambda q: q.queue):
        with pytest.raises(AttributeError):
            use(Late())


def test_wrong_arguments_raise() -> None:
    items = queue.Queue()
    for call in (
        lambda: items.put(),  # type: ignore[call-arg]
        lambda: items.put(1, True, None, 4),  # type: ignore[call-arg]
        lambda: items.put(1, item=1),  # type: ignore[misc]
        lambda: items.get(False, blok=1),  # type: ignore[call-arg]
        lambda: items.get(timeout="soon"),
        lambda: items.shutdown(True, 2),  # type: ignore[call-arg]
        lambda: queue.Queue("many"),  # type: ignore[arg-type]
        lambda: setattr(items, "unfinished_tasks", "many"),
        lambda: setattr(items, "maxsize", []),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="always 1"):
        queue.Channel(2)


def test_python_code_of_a_class_is_kept_from_other_threads() -> None:
    class Careful(queue.PriorityQueue):
        inside = 0
        crossed = 0

        def _put(self, item: Any) -> None:
            self.inside += 1
            for _ in range(20):
                self.crossed += self.inside != 1
            super()._put(item)
            self.inside -= 1

        def _get(self) -> Any:
            self.inside += 1
            for _ in range(20):
                self.crossed += self.inside != 1
            item = super()._get()
            self.inside -= 1
            return item

    items = Careful(3)
    each, got = 300, []

    def produce() -> None:
        for n in range(each):
            items.put(n)

    def consume() -> None:
        for _ in range(each):
            got.append(items.get())

    threads = [threading.Thread(target=target, daemon=True) for target in (produce, consume) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(got), items.crossed, items.unfinished_tasks) == (3 * each, 0, 3 * each)

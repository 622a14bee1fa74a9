"""Ten tasks that each wait: one after the other, and all at once. `+3` is task 3 when it begins, `-3` when it ends."""

import time

import gevent


def task(number, order):
    order.append(f"+{number}")
    gevent.sleep(0.1)
    order.append(f"-{number}")
    return number * number


def synchronous(order):
    return [task(number, order) for number in range(10)]


def asynchronous(order):
    tasks = [gevent.spawn(task, number, order) for number in range(10)]
    gevent.joinall(tasks)
    return [task.value for task in tasks]


for way in (synchronous, asynchronous):
    order = []
    start = time.perf_counter()
    values = way(order)
    print(f"{way.__name__}: {time.perf_counter() - start:.2f} s")
    print(f"  order {' '.join(order)}\n  values {values}")

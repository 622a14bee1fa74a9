"""2 processes with 2 threads each, and 50 greenlets in every thread: a thread that uses greenlets has its own hub."""

import multiprocessing
import os
import threading
import time

import gevent

PROCESSES, THREADS, GREENLETS = 2, 2, 50


def task(number):
    gevent.sleep(0.2)
    return number


def in_thread(first, found):
    tasks = [gevent.spawn(task, first + number) for number in range(GREENLETS)]
    gevent.joinall(tasks)
    found.append((gevent.get_hub(), [task.value for task in tasks]))


def in_process(index, results):
    found = []
    firsts = [(index * THREADS + thread) * GREENLETS for thread in range(THREADS)]
    threads = [threading.Thread(target=in_thread, args=(first, found)) for first in firsts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put([(os.getpid(), id(hub), values) for hub, values in found])


start = time.perf_counter()
context = multiprocessing.get_context("fork")
results = context.SimpleQueue()
processes = [context.Process(target=in_process, args=(index, results)) for index in range(PROCESSES)]
for process in processes:
    process.start()
for process in processes:
    process.join()
seconds = time.perf_counter() - start
found = []
while not results.empty():
    found += results.get()

numbers = sorted(number for _, _, values in found for number in values)
pids, hubs = {pid for pid, _, _ in found}, {(pid, hub) for pid, hub, _ in found}
print(f"{len(pids)} processes, {len(hubs)} hubs, {len(numbers)} greenlets: {seconds:.2f} s")
assert numbers == list(range(PROCESSES * THREADS * GREENLETS))

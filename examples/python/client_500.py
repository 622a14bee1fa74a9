"""500 threads that talk to upper_server.py at the same time: threads of the system, or patched into greenlets."""

import argparse
import sys

parser = argparse.ArgumentParser(
    description=__doc__,
    epilog="exit status: 0 if every answer was right, 1 if not, 2 if the arguments make no sense\n\n"
    "examples:\n  upper_server.py 8000\n  client_500.py 8000\n  client_500.py 8000 --patched --threads 2000",
    formatter_class=argparse.RawDescriptionHelpFormatter,
)
parser.add_argument("port", type=int, help="where upper_server.py listens, on this machine")
parser.add_argument("--patched", action="store_true", help="make each thread a greenlet")
parser.add_argument("--threads", type=int, default=500, metavar="N", help="how many (default: %(default)s)")
options = parser.parse_args()
if options.threads < 1 or not 0 < options.port < 65536:
    parser.error("PORT is from 1 to 65535, and N is at least 1")

if options.patched:
    from gevent import monkey

    monkey.patch_all()

import socket
import threading
import time


def all_are_connected():
    print(f"{options.threads} connections are open; threads of the system: {len(natives)}")


def talk(number):
    try:
        with socket.create_connection(("127.0.0.1", options.port), timeout=60) as connection:
            natives.add(threading.get_native_id())
            connected.wait()
            connection.sendall(f"hello from {number}\n".encode())
            right.append(connection.makefile().readline() == f"HELLO FROM {number}\n")
            answered.wait()  # so that nobody hangs up before all have been served
    except (OSError, threading.BrokenBarrierError) as error:
        errors.append(error)
        connected.abort()
        answered.abort()


natives, right, errors = set(), [], []
connected = threading.Barrier(options.threads, all_are_connected, timeout=60)
answered = threading.Barrier(options.threads, timeout=60)
start = time.perf_counter()
threads = [threading.Thread(target=talk, args=(number,), daemon=True) for number in range(options.threads)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{right.count(True)} answers are right, in {time.perf_counter() - start:.2f} s")
if right.count(True) != options.threads:
    sys.exit(f"client_500.py: {errors[0]!r}" if errors else "client_500.py: a wrong answer")

"""Twenty questions of a second to PostgreSQL by psycopg2, which waits in C: twenty seconds, or patched, one."""

import argparse
import sys

parser = argparse.ArgumentParser(
    description=__doc__,
    epilog="examples:\n  native_postgres.py postgresql:///postgres\n"
    "  native_postgres.py 'host=localhost user=ada' --blocking --questions 3",
    formatter_class=argparse.RawDescriptionHelpFormatter,
)
parser.add_argument("dsn", help="which database to ask, as libpq has it")
parser.add_argument("--questions", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
parser.add_argument("--blocking", action="store_true", help="leave the C code of the driver as it is")
options = parser.parse_args()
if options.questions < 1:
    parser.error("N is at least 1")

from gevent import monkey

monkey.patch_all(native=not options.blocking)

import threading
import time

import psycopg2


def ask(number):
    try:
        connection = psycopg2.connect(options.dsn)
        cursor = connection.cursor()
        cursor.execute("select %s from pg_sleep(1)", (number,))
        answers.append(cursor.fetchone()[0])
        connection.close()
    except psycopg2.Error as error:
        errors.append(error)


answers, errors = [], []
start = time.perf_counter()
threads = [threading.Thread(target=ask, args=(number,)) for number in range(options.questions)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{len(answers)} answers in {time.perf_counter() - start:.1f} s")
if errors:
    sys.exit(f"native_postgres.py: {errors[0]}".rstrip())

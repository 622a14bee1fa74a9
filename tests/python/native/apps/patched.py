"""Imported first by each program: patches what the first argument says, and ends a program that hangs."""

# mypy: ignore-errors
import faulthandler
import importlib
import sys
from contextlib import suppress

from gevent import monkey

#: Seconds after which the stacks are printed, and the program fails.
PATIENCE = 90

faulthandler.dump_traceback_later(PATIENCE, exit=True)
way = sys.argv.pop(1)

if way == "late":
    # Drivers that are loaded when they are patched.
    for driver in ("psycopg2", "psycopg", "MySQLdb", "pycurl"):
        with suppress(ImportError):
            importlib.import_module(driver)
if way in ("native", "late"):
    # The C code alone.
    monkey.patch_native()
elif way == "all":
    # It, and the standard library.
    monkey.patch_all(native=True)
else:
    assert way == "nothing", way

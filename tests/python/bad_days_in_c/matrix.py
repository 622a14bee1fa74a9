"""The program that tries all calls in all ways, and prints as JSON what went wrong.

``python -m bad_days_in_c.matrix [--traced] [--without CALL] [WORD ...]``: while all is traced; all calls but one; only
those whose names have one of the words.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import traceback
from typing import Any

from bad_days_in_c.calls import CALLS, library
from bad_days_in_c.ways import WAYS, check_works, try_one
from greenloom import greenlet, monkey


def trace_all() -> list[int]:
    """Have everything traced and profiled; return the numbers of events, which go up."""
    counts = [0, 0, 0]

    def count(index: int) -> Any:
        def trace(*_: object) -> Any:
            counts[index] += 1
            return trace

        return trace

    greenlet.settrace(count(0))
    threading.settrace(count(1))
    threading.setprofile(count(2))
    sys.settrace(count(1))
    sys.setprofile(count(2))
    return counts


def main() -> None:
    """Try them, and print what went wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--traced", action="store_true")
    parser.add_argument("--without")
    parser.add_argument("words", nargs="*")
    wanted = parser.parse_args()
    library()
    path = os.environ["WAITS_LIBRARY"]
    assert monkey.patch_native([path]) == [path]
    check_works()
    counts = trace_all() if wanted.traced else [1]
    failures = {}
    for way, suffer in WAYS.items():
        for call, setting in CALLS.items():
            name = f"{call}: {way}"
            if call == wanted.without or (wanted.words and not any(word in name for word in wanted.words)):
                continue
            try:
                try_one(setting, suffer)
                check_works()
            except BaseException:
                failures[name] = traceback.format_exc()
    sys.settrace(None)
    sys.setprofile(None)
    assert all(counts), counts
    print(json.dumps(failures))


if __name__ == "__main__":
    main()

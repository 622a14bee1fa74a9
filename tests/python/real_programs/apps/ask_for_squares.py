"""Gives the tasks of ``squares`` to a worker. A plain program: it waits for results as blocking code does."""

# mypy: ignore-errors

import json
import sys
import time

import squares
from celery import group
from celery.exceptions import TimeLimitExceeded


def all_at_once() -> dict[str, object]:
    on_greenloom = squares.runs_on_greenloom.delay().get(timeout=60)
    places = group(squares.meet.s() for _ in range(50)).delay().get(timeout=60)
    begun = time.monotonic()
    results = group(squares.square.s(number) for number in range(50)).delay().get(timeout=60)
    seconds = time.monotonic() - begun
    return {"on greenloom": on_greenloom, "places": sorted(places), "squares": results, "seconds": seconds}


def over_time() -> dict[str, object]:
    endless = squares.sleep.apply_async((600,), time_limit=0.2)
    try:
        return {"ended": endless.get(timeout=60)}
    except TimeLimitExceeded as error:
        return {"ended": str(error), "next": squares.square.delay(7).get(timeout=60)}


def begin_a_long_one() -> dict[str, object]:
    begun = squares.sleep.delay(2)
    while begun.state == "PENDING":
        time.sleep(0.01)
    return {"state": begun.state, "id": begun.id}


def look_at(identifier: str) -> dict[str, object]:
    return {"state": (found := squares.app.AsyncResult(identifier)).state, "result": found.result}


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))

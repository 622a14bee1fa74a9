"""Celery tasks that take their time."""

# mypy: ignore-errors

import os
import threading
import time

from celery import Celery

app = Celery("squares", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
app.conf.task_track_started = True


@app.task
def square(number: int) -> int:
    time.sleep(0.2)
    return number * number


meeting = threading.Barrier(50)


@app.task
def meet() -> int:
    """Wait until fifty are here, and return the number of the place at which this one came."""
    return meeting.wait(60)


@app.task
def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.task
def runs_on_greenloom() -> bool:
    import underneath

    return underneath.is_greenloom()

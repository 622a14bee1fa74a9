"""A WSGI application whose every answer takes time. It knows nothing of what serves it."""

# mypy: ignore-errors

import time
from collections.abc import Callable, Iterator

import underneath


def application(environ: dict[str, str], start_response: Callable[..., object]) -> Iterator[bytes]:
    """Answer after 0.2 s; ``/long`` at once, but takes a second for the rest."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/long":
        yield b"begun\n"
        time.sleep(1)
        yield b"done\n"
    else:
        time.sleep(0.2)
        yield b"on greenloom" if underneath.is_greenloom() else b"on something else"

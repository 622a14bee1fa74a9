"""A console inside the running process, reached by ``telnet`` or ``nc``. For debugging: it asks nobody who he is."""

from __future__ import annotations

import sys
from code import InteractiveConsole
from contextlib import suppress
from io import TextIOBase
from socket import SOL_TCP, TCP_NODELAY
from typing import Any

from greenloom.greenlet import Greenlet
from greenloom.hub import getcurrent
from greenloom.pool import Pool
from greenloom.server import StreamServer

__all__ = ["BackdoorServer"]

# The console asks for them, and only an interactive interpreter has them.
for _name, _prompt in (("ps1", ">>> "), ("ps2", "... ")):
    if not hasattr(sys, _name):
        setattr(sys, _name, _prompt)

_ENCODING = "utf-8"
_NAMES = ("stdin", "stdout", "stderr")


class _ConsoleGreenlet(Greenlet):
    """A greenlet with standard streams of its own: swapped in whenever it is switched to, and out again."""

    # None as long as the console is not set up.
    _streams: tuple[Any, Any, Any] | None = None
    # The process's, while ours are in place.
    _outside: tuple[Any, ...] | None = None

    def use_streams(self, stdin: Any, stdout: Any) -> None:
        """Begin to run with these. Called from within this greenlet."""
        self._streams = (stdin, stdout, stdout)
        self.switch_in()

    def switch_in(self) -> None:
        if self._streams is not None and self._outside is None:
            self._outside = tuple(getattr(sys, name) for name in _NAMES)
            for name, stream in zip(_NAMES, self._streams, strict=True):
                setattr(sys, name, stream)

    def switch_out(self) -> None:
        """Called by the hub's side whenever this greenlet gives the thread away, and at its end."""
        outside, self._outside = self._outside, None
        if outside is not None:
            for name, stream in zip(_NAMES, outside, strict=True):
                setattr(sys, name, stream)

    def switch(self, *args: Any, **kwargs: Any) -> Any:
        self.switch_in()
        return super().switch(*args, **kwargs)

    def throw(self, *args: Any) -> Any:
        self.switch_in()
        return super().throw(*args)

    def run(self) -> Any:
        try:
            return super().run()
        finally:
            self.switch_out()


class BackdoorServer(StreamServer):
    """Runs a Python console for each connection.

    *locals* is a dict of names that each console begins with, *banner* a text that it shows first. The other
    arguments are those of :class:`~greenloom.server.StreamServer`, except ``spawn``. Whoever can connect can do
    whatever the process can: bind it to the loopback address. Stopping the server ends the consoles.
    """

    def __init__(
        self,
        listener: Any,
        locals: dict[str, Any] | None = None,
        banner: str | None = None,
        **server_args: Any,
    ) -> None:
        """See the class."""
        self.locals = {"__name__": "__console__", "__doc__": None, **(locals or {})}
        self.banner = banner
        # The process's, to write to in a console.
        self.stderr = sys.stderr
        super().__init__(listener, spawn=Pool(greenlet_class=_ConsoleGreenlet), **server_args)

    def _create_interactive_locals(self) -> dict[str, Any]:
        """Names for one console: they are its own, so that users do not meet in them."""
        import builtins

        # As a module: as a dict it would be shown in full whenever somebody types `locals()`.
        return {**self.locals, "builtins": builtins, "__builtins__": builtins}

    def handle(self, conn: Any, _address: Any) -> None:
        """Serve one user."""
        with suppress(OSError):
            conn.setsockopt(SOL_TCP, TCP_NODELAY, True)
        with conn, conn.makefile("r", encoding=_ENCODING) as lines:
            console_greenlet: Any = getcurrent()
            console_greenlet.use_streams(lines, _Sender(conn))
            console = InteractiveConsole(self._create_interactive_locals())
            # `quit()`, and a user who sends what is no text: `telnet` does for ^C.
            with suppress(SystemExit, UnicodeError):
                console.interact(banner=self.banner, exitmsg="")


class _Sender(TextIOBase):
    """Sends at once what is written: the user is to see a prompt, which no line's end follows."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return _ENCODING

    def fileno(self) -> int:
        # `input()` asks, and takes the C library's streams if they are the same.
        return self._sock.fileno()  # type: ignore[no-any-return]

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Send *text*. Raises OSError."""
        self._sock.sendall(text.encode(_ENCODING, "backslashreplace"))
        return len(text)


def _main() -> None:
    match sys.argv[1:]:
        case [port, *banner]:
            BackdoorServer(("127.0.0.1", int(port)), banner=" ".join(banner) or None).serve_forever()
        case _:
            print(f"usage: {sys.argv[0]} PORT [BANNER]")


if __name__ == "__main__":
    _main()

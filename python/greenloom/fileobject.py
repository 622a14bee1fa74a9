"""Cooperative file objects, with the arguments and methods of :func:`open`.

:class:`FileObjectPosix` is for pipes, sockets and terminals, :class:`FileObjectThread` for anything, at the price
of a thread; :class:`FileObjectBlock` blocks. ``FileObject`` is the one that the configuration chooses
(``GEVENT_FILE=posix``, ``thread`` or ``block`` in the environment), by default the first.
"""

from __future__ import annotations

from greenloom._config import config
from greenloom._fileobjectcommon import FileObjectBlock, FileObjectThread
from greenloom._fileobjectposix import FileObjectPosix

__all__ = ["FileObject", "FileObjectBlock", "FileObjectPosix", "FileObjectThread"]

FileObject = config.fileobject

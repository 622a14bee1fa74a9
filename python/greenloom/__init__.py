"""greenloom runs programs written for greenlet, unchanged, each greenlet on a guarded stack of its own.

There are three ways to run them:

- ``python -m greenloom script.py arguments...`` changes nothing at all;
- ``import greenloom; greenloom.install_as_gevent()`` before the first ``import greenlet``;
- the small distribution in ``compat/greenlet``, for packages that require ``greenlet`` by name.

New programs import :mod:`greenloom.greenlet`, which has the same names.
"""

from greenloom._alias import install_as_gevent
from greenloom._greenloom import __version__, set_stack_size, stack_size

__all__ = ["__version__", "install_as_gevent", "set_stack_size", "stack_size"]

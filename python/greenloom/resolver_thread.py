"""The old name of :mod:`greenloom.resolver.thread`."""

import warnings

from greenloom.resolver.thread import Resolver

__all__ = ["Resolver"]

warnings.warn("resolver_thread is deprecated, use resolver.thread instead", DeprecationWarning, stacklevel=2)

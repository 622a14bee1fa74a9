"""What patching raises and warns with."""

from __future__ import annotations


class MonkeyPatchWarning(RuntimeWarning):
    """Patching came too late, or was asked for in a way that cannot work fully."""


class _BadImplements(AttributeError):
    """A source module does not say which of its names replace the target's."""

    def __init__(self, module: object) -> None:
        super().__init__(f"Module {module!r} lacks __implements__, or it is not usable")

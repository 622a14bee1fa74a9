"""What ``importlib.metadata`` says of the aliases: ``version("greenlet")`` is that of the API that is served.

Packages ask for it to know what they may call, so the answer must not be that of an original which happens to
be installed beside greenloom and which nobody can import.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from pathlib import Path
from typing import Any


class AliasDistribution(Distribution):
    """A distribution that is not on the disk: a name and a version."""

    def __init__(self, name: str, version: str) -> None:
        """Make the distribution ``name`` whose API has ``version``."""
        self._files = {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            "top_level.txt": f"{name}\n",
        }

    def read_text(self, filename: str) -> str | None:
        """Return the text of a metadata file, or None for one that there is not."""
        return self._files.get(filename)

    def locate_file(self, path: Any) -> Path:
        """Return where the file ``path`` of the distribution would be: beside the package greenloom."""
        return Path(__file__).parent.parent.joinpath(path)


def find(
    aliases: dict[str, str], context: DistributionFinder.Context | None = None
) -> Iterator[Distribution]:
    """Yield the distributions of ``aliases`` that ``context`` asks for."""
    context = context or DistributionFinder.Context()
    if context.path is not sys.path:
        return  # a question about certain directories, not about what this process can import
    for name, module in aliases.items():
        if context.name is not None and re.sub(r"[-_.]+", "-", context.name).lower() != name:
            continue
        if not _compat_is_installed(name):
            yield AliasDistribution(name, importlib.import_module(module).__version__)


def _compat_is_installed(name: str) -> bool:
    """Whether the distribution on ``sys.path`` is the one of ``compat/``, which says it all itself."""
    context = DistributionFinder.Context(name=name)
    return any("+greenloom" in found.version for found in MetadataPathFinder.find_distributions(context))

"""What a suite of the originals' tests is: where it comes from, what it needs and which exceptions it has.

A suite is data. greenlet's is run with the original and with ours, and `compare.py` judges one beside the other.
gevent's takes too long for that: what the original passes is committed in `baselines/`, by which `baseline.py` judges.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Suite:
    """One original and its tests, which are packed in its own wheel."""

    name: str
    original: str
    """The pinned requirement that pip gets the original by."""
    package: str
    """The package of the tests, which is a folder of the original's wheel."""
    needs: tuple[str, ...]
    """What the tests import beside the original. Pinned: a leak check counts other packages' objects too."""
    compat: tuple[str, ...]
    """The distributions of ours that stand in for the original, as folders of `compat/`."""
    stands_on: tuple[str, ...] = ()
    """What the original itself requires, where that is not left to pip."""
    helpers: tuple[str, ...] = ()
    """Further packages of the wheel that the tests are made of."""
    measured: Mapping[str, str] = field(default_factory=dict)
    """The Pythons that a baseline is committed for, and the release of each that it was measured on.

    Where there is none for any Python, the original is run each time.
    """

    def modules(self, site: Path) -> list[str]:
        """The test files found in `site`, as names of modules."""
        folder = site.joinpath(*self.package.split("."))
        return [f"{self.package}.{path.stem}" for path in sorted(folder.glob("test_*.py"))]

    @property
    def folders(self) -> list[str]:
        """The folders that are taken out of the wheel."""
        return [package.replace(".", "/") + "/" for package in (self.package, *self.helpers)]


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="greenlet",
            original="greenlet==3.5.6",
            package="greenlet.tests",
            needs=("psutil==7.2.2", "objgraph==3.7.0", "setuptools==80.9.0"),
            compat=("greenlet",),
        ),
        Suite(
            name="gevent",
            original="gevent==26.9.0",
            package="gevent.tests",
            needs=(
                "zope.event==6.2",
                "zope.interface==8.7",
                "psutil==7.2.2",
                "objgraph==3.7.0",
                "cffi==2.1.1",
                "dnspython==2.9.2",
                "requests==2.34.2",
            ),
            compat=("greenlet", "gevent"),
            stands_on=("greenlet==3.5.6",),
            helpers=("gevent.testing",),
            measured={"3.11": "3.11.7", "3.13": "3.13.0"},
        ),
    )
}


@dataclass(frozen=True)
class Listed:
    """A case of one of the lists. `reason` says why it is there; without `pythons` it holds for all of them."""

    suite: str
    case: str
    reason: str
    pythons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lists:
    """Both lists of exceptions, by case."""

    may_fail: dict[str, Listed]
    """What ours cannot pass, and must not."""
    unreliable: dict[str, Listed]
    """What the original does not pass always, so that ours is asked as often as it is."""


def read_lists(suite: str, python: str, path: Path = HERE / "exceptions.json") -> Lists:
    """What the committed lists say of a suite on a Python, which is named by its first two numbers.

    They are JSON because Python 3.10, which runs this too, has no reader for TOML.
    """
    read = json.loads(path.read_text())
    lists: dict[str, dict[str, Listed]] = {"may_fail": {}, "unreliable": {}}
    for name, entries in read.items():
        for entry in entries:
            unknown = set(entry) - {"suite", "case", "reason", "pythons"}
            if unknown or not entry["reason"].strip():
                raise ValueError(f"{path.name}: no reason, or unknown {sorted(unknown)}: {entry}")
            if entry["suite"] == suite and python in entry.get("pythons", [python]):
                pythons = tuple(entry.get("pythons", ()))
                lists[name][entry["case"]] = Listed(suite, entry["case"], entry["reason"], pythons)
    return Lists(**lists)

"""Fixtures that several test files use."""

from __future__ import annotations

import venv
from pathlib import Path

import pytest

from programs import ROOT, lend_greenloom, run


@pytest.fixture(scope="session")
def compat_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment which has greenloom, and ``compat/greenlet`` in the place of greenlet."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=True, symlinks=True)
    python = directory / "bin" / "python"
    lend_greenloom(directory)
    installed = run(python, "-m", "pip", "install", "--no-deps", ROOT / "compat" / "greenlet", seconds=240)
    assert installed.returncode == 0, installed.stderr
    return python

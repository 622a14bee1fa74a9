"""Fixtures that several test files use."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import pytest

import greenloom
from programs import ROOT, run


@pytest.fixture(scope="session")
def compat_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment which has greenloom, and ``compat/greenlet`` in the place of greenlet."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=True, symlinks=True)
    python = directory / "bin" / "python"
    _lend_greenloom(directory)
    installed = run(python, "-m", "pip", "install", "--no-deps", ROOT / "compat" / "greenlet", seconds=240)
    assert installed.returncode == 0, installed.stderr
    return python


def _lend_greenloom(directory: Path) -> None:
    """Make the greenloom that is tested here an installed distribution there, without building it once more."""
    package = Path(greenloom.__file__).parent
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = directory / "lib" / f"python{version}" / "site-packages"
    (packages / "greenloom").symlink_to(package, target_is_directory=True)
    metadata = packages / f"greenloom-{greenloom.__version__}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: greenloom\nVersion: {greenloom.__version__}\n"
    )
    (metadata / "INSTALLER").write_text("tests\n")

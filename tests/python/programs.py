"""Child processes of the tests: run, with what they wrote and a limit on their time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import greenloom

#: The root of the repository.
ROOT = Path(__file__).resolve().parents[2]


def run(
    *command: str | Path,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end, and return its status and what it wrote."""
    # What the environment of the tests sets must not decide how a program behaves.
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GREENLOOM"))
    }
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def output(*command: str | Path, env: dict[str, str] | None = None, seconds: float = 60) -> str:
    """Run ``command`` and return what it printed; fail if it fails or writes an error."""
    done = run(*command, env=env, seconds=seconds)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    return done.stdout


def facts(*command: str | Path, seconds: float = 120) -> Any:
    """Run ``command`` and return what it printed, which is JSON; fail if it fails."""
    done = run(*command, seconds=seconds)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def python(code: str, *options: str, env: dict[str, str] | None = None) -> str:
    """Run ``code`` in a Python of its own, and return what it printed; fail if it fails."""
    return output(sys.executable, *options, "-c", textwrap.dedent(code), env=env)


def lend_greenloom(directory: Path) -> None:
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

"""``python -m greenloom.monkey``: runs a program patched, as the options say."""

from __future__ import annotations

import sys
from pathlib import Path

from programs import output, run

MONKEY = (sys.executable, "-m", "greenloom.monkey")
SHOW = """
import sys
from greenloom import monkey
patched = [name for name in ("socket", "time", "_thread", "os", "ssl") if monkey.is_module_patched(name)]
print(__name__, sys.argv[1:], *patched)
"""


def script(directory: Path) -> Path:
    path = directory / "show.py"
    path.write_text(SHOW)
    return path


def test_a_script_runs_patched(tmp_path: Path) -> None:
    shown = output(*MONKEY, script(tmp_path), "a", "--b")
    assert shown == "__main__ ['a', '--b'] socket time _thread os ssl\n"


def test_a_module_runs_patched(tmp_path: Path) -> None:
    script(tmp_path)
    assert run(*MONKEY, "--module", "show", "a", cwd=tmp_path).stdout.startswith("__main__ ['a'] socket")


def test_a_package_runs_patched(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(SHOW)
    assert output(*MONKEY, tmp_path / "package").startswith("__main__ [] socket")


def test_modules_can_be_left_out(tmp_path: Path) -> None:
    assert output(*MONKEY, "--no-time", "--no-ssl", script(tmp_path)) == "__main__ [] socket _thread os\n"


def test_only_the_modules_that_are_named_are_patched(tmp_path: Path) -> None:
    assert output(*MONKEY, "--time", "--os", script(tmp_path)) == "__main__ [] time os\n"


def test_verbose_says_what_is_done(tmp_path: Path) -> None:
    shown = output(*MONKEY, "--verbose", "--no-ssl", script(tmp_path))
    assert shown.startswith("gevent.monkey.patch_all(ssl=False)\nsys.version=")
    assert shown.endswith("__main__ [] socket time _thread os\n")


def test_without_a_program_it_says_what_it_wants() -> None:
    assert "--[no-]socket" in output(*MONKEY)


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    refused = run(*MONKEY, "--no-such", script(tmp_path))
    assert refused.returncode == 1
    assert "Cannot patch 'no-such'" in refused.stderr

"""Every example runs in each of the three ways, and says the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import greenloom
from programs import ROOT, output

EXAMPLES = ROOT / "examples" / "python"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))

LAUNCHER = """
import greenloom
greenloom.install_as_gevent()
import runpy, sys
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
assert sys.modules["greenlet"] is greenloom.greenlet
"""

SAID = {
    "eat_play_switch.py": (
        "eat: an apple\n"
        "play: with a ball\n"
        "eat: done, play asks for a kite\n"
        "play: with a kite\n"
        "eat: done, play found a friend\n"
        "main: eat is full\n"
    ),
    "switch_cost.py": r" serially: +[\d.]+ ms, sum (\d+)\n in_turns: +[\d.]+ ms, sum \1\none switch: -?\d+ ns\n",
    "twenty_tasks.py": re.escape(f"20 tasks took 80 turns: {[3 * number for number in range(20)]}\n"),
}


@pytest.fixture(params=["by the program's name", "by a launcher", "by the stand-in distribution"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command that runs an example which is put behind it."""
    if request.param == "by the program's name":
        return [sys.executable, "-m", "greenloom"]
    if request.param == "by the stand-in distribution":
        return [str(request.getfixturevalue("compat_python"))]
    launcher = tmp_path / "launcher.py"
    launcher.write_text(LAUNCHER)
    return [sys.executable, str(launcher)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_runs_and_says_what_it_shows(way: list[str], script: str) -> None:
    # An odd count, while the default is even: either greenlet is the last one once.
    count = ["9999"] if script == "switch_cost.py" else []
    assert re.fullmatch(SAID[script], output(*way, EXAMPLES / script, *count))


def test_the_cost_of_a_switch_needs_no_arguments() -> None:
    said = output(sys.executable, "-m", "greenloom", EXAMPLES / "switch_cost.py")
    assert re.fullmatch(SAID["switch_cost.py"], said)


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_is_short_and_listed_and_knows_nothing_of_greenloom(script: str) -> None:
    text = (EXAMPLES / script).read_text()
    assert text.count("\n") < 40
    assert "greenloom" not in text
    assert f"`{script}" in (EXAMPLES / "README.md").read_text()


def test_the_stand_in_has_the_objects_of_greenloom(compat_python: Path) -> None:
    code = """
import greenlet, greenlet._greenlet as inner, greenloom.greenlet as ours
assert "greenloom" not in greenlet.__file__ and greenlet.__path__
for theirs, own in (greenlet, ours), (inner, ours._greenlet):
    for name in dir(own):
        if (name == "_C_API" or name[0] != "_") and name not in ("Any", "TYPE_CHECKING", "annotations"):
            assert getattr(theirs, name) is getattr(own, name), name
assert greenlet._greenlet is inner and greenlet.__all__ == ours.__all__
print(greenlet.__version__)
"""
    assert output(compat_python, "-c", code) == "3.5.6\n"


def test_the_stand_in_is_greenlet_for_pip_and_needs_only_greenloom(compat_python: Path) -> None:
    assert output(compat_python, "-m", "pip", "check", "--disable-pip-version-check")
    code = "from importlib import metadata as m; print(m.version('greenlet'), m.requires('greenlet'))"
    expected = f"3.5.6+greenloom.{greenloom.__version__} ['greenloom']\n"
    assert output(compat_python, "-c", code) == expected
    assert output(compat_python, "-c", "import greenloom; greenloom.install_as_gevent(); " + code) == expected


def test_the_stand_in_and_the_alias_agree_in_one_process(compat_python: Path) -> None:
    code = """
import greenlet, greenloom
greenloom.install_as_gevent()
import greenlet._greenlet
assert greenlet.greenlet is greenlet._greenlet.greenlet is greenloom.greenlet.greenlet
"""
    assert output(compat_python, "-W", "error", "-c", code) == ""

"""The environments that the programs run in: pip is content with greenloom where gevent and greenlet are required."""

from __future__ import annotations

import json
from pathlib import Path

import greenloom
from programs import output, run

WHERE = """
import importlib.util, json
from importlib.metadata import distributions
names = ("gevent", "greenlet")
installed = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"] in names}
found = [name for name in names if importlib.util.find_spec(name)]
print(json.dumps({"installed": installed, "found": found}))
"""

SAME = """
import gevent.event, gevent.hub, greenlet, greenloom.event, greenloom.greenlet, greenloom.hub
assert gevent.hub is greenloom.hub and gevent.event is greenloom.event
assert greenlet.greenlet is greenloom.greenlet.greenlet
"""


def test_pip_takes_greenloom_for_what_the_programs_require(programs_python: Path) -> None:
    checked = run(programs_python, "-m", "pip", "check", "--disable-pip-version-check")
    assert checked.returncode == 0, checked.stdout
    assert json.loads(output(programs_python, "-c", WHERE)) == {
        "installed": {
            "gevent": f"26.9.0+greenloom.{greenloom.__version__}",
            "greenlet": f"3.5.6+greenloom.{greenloom.__version__}",
        },
        "found": ["gevent", "greenlet"],
    }
    output(programs_python, "-c", SAME)


def test_the_ordinary_environment_has_nothing_of_these_names(ordinary_python: Path) -> None:
    assert json.loads(output(ordinary_python, "-c", WHERE)) == {"installed": {}, "found": []}

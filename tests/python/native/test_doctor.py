"""`python -m greenloom doctor`, and `greenloom.doctor` for programs: what blocks, and what to do about it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from slow_library import environment, slow, status

USES_LIBRARY = """
import ctypes, os
slow = ctypes.CDLL(os.environ["SLOW_LIBRARY"])
"""


def findings(tmp_path: Path, program: str, *options: str) -> tuple[int, dict[str, Any]]:
    """What doctor says of a program as JSON, and its exit status."""
    script = tmp_path / "program.py"
    script.write_text(program)
    done = status("-m", "greenloom", "doctor", "--json", str(script), *options)
    assert "Traceback" not in done.stderr, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return done.returncode, found


def objects(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [one for one in found["objects"] if one["name"].startswith(name)]


def test_a_library_that_blocks_is_named_with_its_symbols_and_a_remedy(tmp_path: Path) -> None:
    code, found = findings(tmp_path, "from gevent import monkey; monkey.patch_all()" + USES_LIBRARY)
    (one,) = objects(found, "libslow")
    assert one["state"] == "blocks"
    assert {"recv", "poll", "nanosleep", "getaddrinfo"} <= {*one["blocking"]}
    assert one["patched"] == []
    assert 'monkey.patch_native([*monkey.NATIVE_OBJECTS, "libslow"])' in one["advice"]
    assert [line for line in found["todo"] if "monkey.patch_native" in line and '"libslow"' in line]
    assert code == 1


def test_a_library_that_is_patched_is_named_with_its_rule(tmp_path: Path) -> None:
    code, found = findings(
        tmp_path,
        "from gevent import monkey; monkey.patch_all()"
        + USES_LIBRARY
        + "monkey.patch_native(['libslow', 'libsl*'])",
    )
    (one,) = objects(found, "libslow")
    assert one["state"] == "patched"
    assert sorted(one["rules"]) == ["libsl*", "libslow"]
    assert {"recv", "poll", "nanosleep", "pthread_mutex_lock"} <= {*one["patched"]}
    assert (one["blocking"], one["advice"]) == ([], "")
    assert not [line for line in found["todo"] if "libslow" in line]
    assert code == (1 if found["todo"] else 0)


def test_nothing_to_do_is_status_zero(tmp_path: Path) -> None:
    code, found = findings(tmp_path, "from gevent import monkey; monkey.patch_all(native=True)")
    assert found["todo"] == []
    assert code == 0


def test_a_name_that_matches_nothing_is_told(tmp_path: Path) -> None:
    code, found = findings(
        tmp_path,
        "from gevent import monkey; monkey.patch_all(native=True); monkey.patch_native(['libmisspelt'])",
    )
    assert found["unmatched"] == ["libmisspelt"]
    assert (code, len(found["todo"])) == (1, 1)


def test_an_object_that_is_never_patched_is_explained_and_no_problem(tmp_path: Path) -> None:
    _, found = findings(tmp_path, "from gevent import monkey; monkey.patch_all(native=True)")
    for name in ("_greenloom", "_socket"):
        for one in objects(found, name):
            assert one["state"] == "explained"
            assert one["why"]
            assert one["advice"] == ""
    assert not [
        one for one in found["objects"] if one["name"].startswith("libc.so") and one["state"] != "explained"
    ]


def test_names_that_were_taken_too_early_are_found(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(
        "from time import sleep as pause\n"
        "from socket import socket, create_connection\n"
        "import time\n"
        "class Mine(socket): pass\n"
    )
    (tmp_path / "late.py").write_text("from time import sleep\nfrom socket import socket\n")
    code, found = findings(
        tmp_path, "import early\nfrom gevent import monkey\nmonkey.patch_all(native=True)\nimport late\n"
    )
    taken = {
        (late["module"], late["name"], late["original"], late["derives"]) for late in found["late_imports"]
    }
    assert taken == {
        ("early", "pause", "time.sleep", False),
        ("early", "socket", "socket.socket", False),
        ("early", "create_connection", "socket.create_connection", False),
        ("early", "Mine", "socket.socket", True),
    }
    assert {late["file"] for late in found["late_imports"]} == {str(tmp_path / "early.py")}
    assert found["todo"] == ["call monkey.patch_all() before anything imports early"]
    assert code == 1


def test_a_program_that_patches_nothing_is_told_so(tmp_path: Path) -> None:
    code, found = findings(tmp_path, "pass")
    assert (found["python_patched"], found["native_patched"], code) == (False, False, 1)
    assert "nothing is patched" in found["todo"][0]


def test_the_program_gets_its_arguments_and_json_is_alone_on_stdout(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text("import os, sys; print(sys.argv[1:], __name__, flush=True); os.system('echo child')")
    done = status("-m", "greenloom", "doctor", "--json", str(script), "--json", "-h")
    assert json.loads(done.stdout)
    assert done.stderr == "['--json', '-h'] __main__\nchild\n"


@pytest.mark.parametrize(
    ("end", "shown"),
    [("raise SystemExit(3)", ""), ("raise SystemExit('so long')", "so long"), ("1 / 0", "ZeroDivisionError")],
)
def test_it_reports_however_the_program_ends(end: str, shown: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(f"from gevent import monkey\nmonkey.patch_all(native=True)\n{end}\n")
    done = status("-m", "greenloom", "doctor", str(script))
    assert shown in done.stderr
    assert "_run.py" not in done.stderr
    assert "Nothing to do." in done.stdout
    assert done.returncode == 0


def test_ctrl_c_ends_the_program_and_not_the_report(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import gevent\nfrom gevent import monkey\nmonkey.patch_all()\nprint('up', flush=True)\ngevent.sleep(60)\n"
    )
    command = [sys.executable, "-m", "greenloom", "doctor", str(script)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment()})
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    text, _ = child.communicate(timeout=30)
    assert "Nothing to do." in text or "To do:" in text


def test_a_module_can_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text("import sys; print(sys.argv[1:])")
    done = subprocess.run(
        [sys.executable, "-m", "greenloom", "doctor", "--module", "worker", "a"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, **environment()},
        check=False,
    )
    assert done.stdout.startswith("['a']\n")
    assert "To do:" in done.stdout


def test_without_a_program_the_installed_drivers_are_looked_at() -> None:
    done = status("-m", "greenloom", "doctor", "--json")
    found = json.loads(done.stdout)
    assert found["python_patched"]
    assert found["native_patched"]
    # Python has these itself.
    assert {one["state"] for one in objects(found, "libcrypto")} <= {"patched"}
    assert {one["state"] for one in objects(found, "libsqlite3")} <= {"patched"}
    assert done.returncode == (1 if found["todo"] else 0)
    assert found["late_imports"] == []


def test_the_text_says_the_same() -> None:
    done = status("-m", "greenloom", "doctor")
    assert "Nothing to do." in done.stdout or "To do:" in done.stdout
    assert "Not patched, and rightly so:" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["--unknown"], ["--module"], ["--json", "--module"], ["no-such-file.py"], ["-m", "no_such_module"]],
)
def test_wrong_usage_is_status_two(arguments: list[str]) -> None:
    done = status("-m", "greenloom", "doctor", *arguments)
    assert done.returncode == 2
    assert done.stderr


def test_help_has_examples_and_the_statuses() -> None:
    done = status("-m", "greenloom", "doctor", "--help")
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert "exit status: 0 nothing to do, 1 something to do, 2 wrong usage" in done.stdout
    assert "doctor" in status("-m", "greenloom", "--help").stdout


def test_a_program_can_look_at_itself() -> None:
    text = slow(
        """
        import io
        from greenloom import doctor
        found = doctor.examine()
        (one,) = [one for one in found.objects if one.path == path]
        print(one.state, one.rules)
        out = io.StringIO()
        print(doctor.report(out) == bool(found.todo), "libslow" in out.getvalue(), out.getvalue() == f"{found}\\n")
        """
    )
    assert text == "patched ['libslow']\nTrue True True\n"

#!/usr/bin/env bash
# Makes a virtual environment with the Python package and the tools that test it.
#
#   ci/python.sh PYTHON VENV
#
# The package's own Python files are used where they lie; the extension is built in release mode.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 venv=$2

"$python" - <<'CHECK' || exit 1
import pathlib, sys, sysconfig
if sys.implementation.name != "cpython" or sys.version_info < (3, 10):
    sys.exit(f"greenloom needs CPython 3.10 or newer; {sys.executable} is {sys.version.split()[0]}. Set PYTHON to another.")
if not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
    sys.exit(f"{sys.executable} has no headers: on Debian and Ubuntu, install python3-dev")
try:
    import ensurepip, venv
except ImportError:
    sys.exit(f"{sys.executable} cannot make virtual environments: on Debian and Ubuntu, install python3-venv")
CHECK

version() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null; }
if [ "$(version "$venv/bin/python")" != "$(version "$python")" ]; then
    "$python" -m venv --clear "$venv"
fi
# Asking the registry takes seconds, so only when what is wanted has changed.
wanted=$(sha256sum pyproject.toml)
if [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]; then
    mapfile -t packages < <("$venv/bin/python" ci/requirements.py pyproject.toml)
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}"
    echo "$wanted" > "$venv/installed"
fi
# A target folder for each Python: the crate is built for one, and switching would build it anew.
tag=$("$venv/bin/python" -c 'import sys; print("py%d.%d" % sys.version_info[:2])')
if [ -t 2 ]; then
    echo "building greenloom for $("$venv/bin/python" -c 'import platform; print("Python", platform.python_version())')" >&2
fi
# maturin has much to say when all is well.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! VIRTUAL_ENV=$(realpath "$venv") CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/$tag" \
    "$venv/bin/maturin" develop --release >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi

#!/usr/bin/env bash
# The tests of the Python package on every CPython that is found.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=ci/pythons.sh
. ci/pythons.sh
mapfile -t pythons < <(find_pythons)
[ "${#pythons[@]}" -gt 0 ] || { echo "no CPython from 3.10 on with headers was found" >&2; exit 1; }
failed=()
for python in "${pythons[@]}"; do
    minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "== CPython $minor ($python)"
    venv=target/venv-$minor
    ci/python.sh "$python" "$venv"
    "$venv/bin/python" -m pytest -q tests/python || failed+=("$minor")
done
if [ "${#failed[@]}" -gt 0 ]; then
    echo "failed on: ${failed[*]}" >&2
    exit 1
fi
echo "passed on: $(for python in "${pythons[@]}"; do "$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'; done | xargs)"

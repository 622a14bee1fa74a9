#!/usr/bin/env bash
# The originals' unchanged tests against greenloom: greenlet's on every CPython that is found, gevent's on those of them
# that there is a baseline for. Arguments go to conformance/run.py.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=ci/pythons.sh
. ci/pythons.sh
mapfile -t pythons < <(find_pythons)
[ "${#pythons[@]}" -gt 0 ] || { echo "no CPython from 3.10 on with headers was found" >&2; exit 1; }
# Whoever judges is judged first.
python3 -m unittest discover --quiet conformance
arguments=()
for python in "${pythons[@]}"; do
    arguments+=(--python "$python")
done
exec python3 conformance/run.py "${arguments[@]}" "$@"

#!/usr/bin/env bash
# Programs written for greenlet, unchanged, on greenloom.
#
#   ci/demo-python.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
for program in examples/python/*.py; do
    printf '\n== python -m greenloom %s\n' "$program"
    "$1" -m greenloom "$program"
done

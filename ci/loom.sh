#!/usr/bin/env bash
# The cross-thread queue under the loom model checker, which runs it in every interleaving of small cases. Release,
# because there are many. About 15 s.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/tally.sh

export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
tally loom cargo test -p greenloom --release --lib model "$@"

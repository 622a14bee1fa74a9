#!/usr/bin/env bash
# The core's tests under Miri, which finds undefined behaviour: bad pointers, aliasing, data races, leaks. Coroutines are
# OS threads there (src/context/threads.rs), because Miri does not execute assembly.
#
#   ci/miri.sh [arguments of cargo test]      default: the tests of the library
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/tally.sh

need_nightly miri
cargo "+$nightly" miri --version >/dev/null 2>&1 ||
    missing miri "Miri is not installed: rustup component add miri rust-src --toolchain $nightly"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri"
# Without isolation the tests see the real clock and environment.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
[ $# -gt 0 ] || set -- --lib
tally miri cargo "+$nightly" miri test -p greenloom --no-fail-fast "$@"

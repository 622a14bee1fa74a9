#!/usr/bin/env bash
# The core's tests under Miri, which finds undefined behaviour: bad pointers, aliasing, data races. Coroutines are
# OS threads there (src/context/threads.rs), because Miri does not execute assembly.
#
# A test that Miri cannot run says so itself, by `#[cfg_attr(miri, ignore = "why")]`; a file of such tests, by
# `#![cfg(not(miri))]`.
#
#   ci/miri.sh [arguments of cargo test]      default: all tests; about 20 minutes
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/tally.sh

need_nightly miri
cargo "+$nightly" miri --version >/dev/null 2>&1 ||
    missing miri "Miri is not installed: rustup component add miri rust-src --toolchain $nightly"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri"
# Tree Borrows, because a coroutine's block is reached from references to the header it begins with; Stacked Borrows
# would confine those to the header. The header is freed through such references too: its cells make that sound by what the
# compiler relies on today, but not if every byte outside of a cell counts as frozen. Without isolation the tests see the
# real clock and the environment. Leaks are AddressSanitizer's business, which can be told of those that are on purpose.
export MIRIFLAGS="-Zmiri-ignore-leaks -Zmiri-tree-borrows -Zmiri-tree-borrows-no-precise-interior-mut -Zmiri-disable-isolation ${MIRIFLAGS:-}"
# Symbolising the expected panics' backtraces would take minutes.
export RUST_BACKTRACE=0
[ $# -gt 0 ] || set -- --lib --tests
tally miri cargo "+$nightly" miri test -p greenloom --no-fail-fast "$@"

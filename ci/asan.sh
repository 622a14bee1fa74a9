#!/usr/bin/env bash
# The core's tests under AddressSanitizer (with its leak check). Coroutines are OS threads there
# (src/context/threads.rs), because the sanitizer has to know where a thread's stack is.
#
#   ci/asan.sh [arguments of cargo test]      default: all tests
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/tally.sh

need_nightly asan
build_std asan
export LSAN_OPTIONS="suppressions=$PWD/ci/asan-leaks.txt:print_suppressions=0 ${LSAN_OPTIONS:-}"
export RUSTFLAGS="-Zsanitizer=address --cfg greenloom_threads ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/asan"
export ASAN_OPTIONS="detect_stack_use_after_return=1 ${ASAN_OPTIONS:-}"
[ $# -gt 0 ] || set -- --lib --tests -- "${not_sanitized[@]}"
tally asan cargo "+$nightly" test -p greenloom "${std[@]}" --no-fail-fast "$@"

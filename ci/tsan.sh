#!/usr/bin/env bash
# The core's tests under ThreadSanitizer. Coroutines are OS threads there (src/context/threads.rs), because the sanitizer
# does not know that a thread can change its stack; that also lets it check that the stand-in hands over cleanly.
#
#   ci/tsan.sh [arguments of cargo test]      default: all tests
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/tally.sh

need_nightly tsan
build_std tsan
export RUSTFLAGS="-Zsanitizer=thread --cfg greenloom_threads ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tsan"
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
[ $# -gt 0 ] || set -- --lib --tests -- "${not_sanitized[@]}"
tally tsan cargo "+$nightly" test -p greenloom "${std[@]}" --no-fail-fast "$@"

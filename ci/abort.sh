#!/usr/bin/env bash
# Programs built with panic = "abort": nothing that has begun can be ended, and whoever tries is told so.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="-C panic=abort ${RUSTFLAGS:-}" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/abort"
cargo build --quiet -p greenloom --example panic_abort
program=$CARGO_TARGET_DIR/debug/examples/panic_abort
passed=0 failed=0

# expect ARGUMENT TEXT [STATUS]
expect() {
    local output status=0
    output=$(RUST_BACKTRACE=0 timeout 60 "$program" "$1" 2>&1) || status=$?
    if [ "$status" -eq "${3:-134}" ] && grep -qF "$2" <<<"$output"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'abort: %s: status %s, not %s with "%s":\n%s\n' "$1" "$status" "${3:-134}" "$2" "$output" >&2
    fi
}

expect works "all is well" 0
for what in kill group remote; do
    expect "$what" 'a greenlet that has begun cannot be killed in a program built with panic = "abort"'
done
expect timeout 'which panic = "abort" rules out'
expect panic "as usual"
expect deadlock "main waits for Semaphore::acquire"
echo "abort: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

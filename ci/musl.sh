#!/usr/bin/env bash
# Runs the tests of patching on musl: of a program that is linked dynamically, and of a static one, which cannot be patched.
#
# Needs, and says so if it is missing:
#   rustup target add x86_64-unknown-linux-musl
#   apt-get install musl-tools
#
# Without them it prints a line with SKIPPED and succeeds; with CHECK_STRICT=1 it fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-musl

skip() {
    echo "musl: SKIPPED: $1"
    exit "${CHECK_STRICT:-0}"
}
command -v musl-gcc >/dev/null || skip "no musl-gcc (Debian: musl-tools)"
libraries=$(rustc --print target-libdir --target $target)
[ -e "$libraries" ] || skip "rustup target add $target"

# A dynamic program expects libgcc_s, which there is none of for musl here; what Rust links into static ones does as well.
place=${CARGO_TARGET_DIR:-target}/musl-libraries
mkdir -p "$place"
place=$(cd "$place" && pwd)
echo "INPUT($libraries/self-contained/libunwind.a)" >"$place/libgcc_s.so"

RUSTFLAGS="-C target-feature=-crt-static -C linker=musl-gcc -L $place" cargo test --quiet --package greenloom-patch --target $target \
    --lib --test slots --test loading --test at_any_time --test locks --test std_waits --test std_locks --test std_interrupts --test patched_core --test thread_words
RUSTFLAGS="" cargo test --quiet --package greenloom-patch --target $target --test static_program
echo "musl: passed"

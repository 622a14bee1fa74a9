#!/usr/bin/env bash
# Builds the core for aarch64 Linux and runs the tests of its lowest layers (the switch, stacks, overflow) in an emulator; and
# those of the patching of loaded objects.
#
# Needs, and says so if it is missing:
#   rustup target add aarch64-unknown-linux-gnu
#   apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
#
# Without them it prints a line with SKIPPED and succeeds; with CHECK_STRICT=1 it fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
sysroot=/usr/aarch64-linux-gnu

skip() {
    echo "aarch64: SKIPPED: $1"
    exit "${CHECK_STRICT:-0}"
}
command -v aarch64-linux-gnu-gcc >/dev/null || skip "no aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu)"
command -v qemu-aarch64 >/dev/null || skip "no qemu-aarch64 (Debian: qemu-user)"
[ -e "$sysroot/lib/libc.so.6" ] || skip "no $sysroot/lib/libc.so.6 (Debian: libc6-dev-arm64-cross)"
[ -e "$(rustc --print target-libdir --target $target)" ] || skip "rustup target add $target"

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $sysroot"
# Tests that start themselves again need the emulator for it.
export GREENLOOM_TEST_EMULATOR=$CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER

# What is skipped measures the memory of the process: here that is the emulator's.
for profile in dev release; do
    cargo test --quiet --package greenloom --target $target --profile $profile \
        --test switching --test stacks --test stack_overflow -- \
        --skip memory::
done
cargo test --quiet --package greenloom-patch --target $target --test slots --test loading --test at_any_time \
    --test std_waits --test std_interrupts --test patched_core --test thread_words
echo "aarch64: passed"

#!/usr/bin/env bash
# The core's tests with every coroutine stood in for by an OS thread (src/context/threads.rs). That is what the sanitizers
# and Miri run, so it has to behave like the real switch.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg greenloom_threads ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/threads"
cargo test -p greenloom --tests

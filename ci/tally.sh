# For the other scripts to source: runs tests and says in the last line how many there were.
#
#   tally NAME COMMAND...
#
# runs COMMAND, which prints what `cargo test` prints, adds up its result lines, and ends with "NAME: N passed, M failed".
# It fails unless the command succeeded and at least one test passed: a run that stops before its first test, or whose
# filter matches none, must not look like a success. A test process that dies (a sanitizer's report does that) has no
# result line, so a command that failed counts as one failure even if no test says so.

tally() {
    local name=$1 log status=0 passed failed
    shift
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || status=$?
    read -r passed failed < <(sed 's/\x1b\[[0-9;]*m//g' "$log" |
        awk '/^test result: / { p += $4; f += $6 } END { print p + 0, f + 0 }')
    rm -f "$log"
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
    fi
    if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
        echo "$name: no test ran" >&2
        failed=1
    fi
    echo "$name: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

# missing NAME WHAT...: says that a tool is missing and how to get it, and ends with status 77, as automake's tests do
# for "skipped". The caller may count it as it likes; it is not a success.
missing() {
    local name=$1
    shift
    printf '%s\n' "$@" >&2
    echo "$name: 0 passed, 0 failed (skipped: a tool is missing)"
    exit 77
}

# The toolchain for what stable Rust cannot do.
nightly=${GREENLOOM_NIGHTLY:-nightly}

# need_nightly NAME: ends the script if there is no nightly toolchain.
need_nightly() {
    rustc "+$nightly" --version >/dev/null 2>&1 ||
        missing "$1" "$1 needs a nightly toolchain: rustup toolchain install $nightly"
}

# Sets `std` to the flags that build the standard library like the rest. A sanitizer sees into std only then: without it
# ThreadSanitizer misses the ordering that std's locks and channels give, and reports races that are none.
build_std() {
    [ -d "$(rustc "+$nightly" --print sysroot)/lib/rustlib/src/rust/library" ] ||
        missing "$1" "$1 needs std's sources: rustup component add rust-src --toolchain $nightly"
    std=(-Zbuild-std --target "$(rustc "+$nightly" -vV | sed -n 's/^host: //p')")
}

# What the sanitizers cannot run: they handle SIGSEGV themselves, and need much memory.
# shellcheck disable=SC2034
not_sanitized=(--skip a_threads_own_overflow --skip a_wild_pointer --skip memory::)

# Two commands do everything: `make demo` shows it, `make test` proves it. The rest is for those who work on it.
#
# Needs Rust 1.88 or newer and a C compiler. Each target says what it is missing.

CARGO ?= cargo
.DEFAULT_GOAL := help
.PHONY: help demo test test-many test-threads lint fmt docs bench bench-quick asan tsan loom abort miri aarch64 check-all clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: ## Build and run the tour, then the crawler on its built-in site
	$(CARGO) run --release -p greenloom-cli -- demo
	$(CARGO) run --release -p greenloom-cli -- crawl

test: ## Build and pass every test
	$(CARGO) build --workspace --all-targets
	$(CARGO) test --workspace
	$(MAKE) --no-print-directory test-threads

test-many: ## Ten million spawns and a million parked tasks in a release build (needs 5 GB of memory)
	GREENLOOM_TEST_SPAWNS=10000000 GREENLOOM_TEST_PARKED=1000000 \
		$(CARGO) test --release -p greenloom --test many_tasks -- --nocapture

test-threads: ## The core's tests with coroutines stood in for by OS threads, as the sanitizers and Miri run them
	ci/threads.sh

lint: ## Formatting, clippy, docs: warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	ci/lint.sh

fmt: ## Format the sources
	$(CARGO) fmt --all

docs: ## Build the API documentation into target/doc
	$(CARGO) doc --workspace --no-deps
	@echo "target/doc/greenloom/index.html"

bench: ## Run every benchmark beside its peers and write the table and plots (about 6 minutes)
	$(CARGO) run --release --manifest-path benches/Cargo.toml -- --out benches/results

bench-quick: ## The same with fewer rounds (about 90 s)
	$(CARGO) run --release --manifest-path benches/Cargo.toml -- --quick --out benches/results

asan: ## The tests under AddressSanitizer (nightly)
	ci/asan.sh

tsan: ## The tests under ThreadSanitizer (nightly)
	ci/tsan.sh

loom: ## The cross-thread queue under the loom model checker
	ci/loom.sh

abort: ## What programs built with panic = "abort" can and cannot do
	ci/abort.sh

miri: ## Everything above the switch under Miri (nightly with the miri component)
	ci/miri.sh

aarch64: ## The aarch64 switch under qemu-user (Debian: gcc-aarch64-linux-gnu qemu-user libc6-dev-arm64-cross)
	ci/aarch64.sh

check-all: lint test test-many loom tsan asan abort aarch64 miri ## All of the above

clean: ## Remove what was built
	$(CARGO) clean
	$(CARGO) clean --manifest-path benches/Cargo.toml

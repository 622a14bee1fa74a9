# Two commands do everything: `make demo` shows it, `make test` proves it. The rest is for those who work on it.
#
# Needs Rust 1.88 or newer, a C compiler, and CPython 3.10 or newer with its headers. Each target says what it is missing.

CARGO ?= cargo
# The Python that the package is built for: `make python PYTHON=python3.12`.
PYTHON ?= python3
VENV ?= .venv
.DEFAULT_GOAL := help
.PHONY: help demo python test test-rust test-python test-all-pythons test-many test-threads conformance conformance-gevent lint fmt docs \
	bench bench-rust bench-python bench-check bench-quick asan tsan loom abort miri aarch64 musl check-all clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: python ## Build and run the tour, the crawler on its built-in site, and Python programs written for greenlet and gevent
	$(CARGO) run --release -p greenloom-cli -- demo
	$(CARGO) run --release -p greenloom-cli -- crawl
	ci/demo-python.sh $(VENV)/bin/python

python: ## Make .venv with the Python package in it, for development
	ci/python.sh $(PYTHON) $(VENV)

test: test-rust test-python ## Build and pass every test

test-rust: ## The tests of the crates
	$(CARGO) build --all-targets
	$(CARGO) test
	$(MAKE) --no-print-directory test-threads

test-python: python ## The tests of the Python package
	$(VENV)/bin/python -m pytest -q tests/python benches/python

test-all-pythons: ## The tests of the Python package on every CPython from 3.10 on that is found
	ci/all-pythons.sh

conformance: ## The unchanged tests of greenlet and gevent, on the CPythons from 3.10 on that are found (about 12 minutes)
	ci/conformance.sh

conformance-gevent: ## Those of gevent alone, on the CPythons that there is a baseline for (about 8 minutes)
	ci/conformance.sh --suite gevent

test-many: ## Ten million spawns and a million parked tasks in a release build (needs 5 GB of memory)
	GREENLOOM_TEST_SPAWNS=10000000 GREENLOOM_TEST_PARKED=1000000 \
		$(CARGO) test --release -p greenloom --test many_tasks -- --nocapture

test-threads: ## The core's tests with coroutines stood in for by OS threads, as the sanitizers and Miri run them
	ci/threads.sh

lint: python ## Formatting, clippy, ruff, mypy, docs: warnings are errors
	$(CARGO) fmt --all --check
	PYO3_PYTHON=$(abspath $(VENV))/bin/python $(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	ci/lint.sh

fmt: python ## Format the sources
	$(CARGO) fmt --all
	$(VENV)/bin/ruff format

docs: ## Build the API documentation into target/doc
	$(CARGO) doc --workspace --no-deps
	@echo "target/doc/greenloom/index.html"

bench: bench-rust bench-python ## Run every benchmark beside its peers and write the tables (about 15 minutes)

bench-rust: ## The crate beside its peers, with plots (about 6 minutes)
	$(CARGO) run --release --manifest-path benches/Cargo.toml -- --out benches/results

bench-python: python ## The Python package beside greenlet, gevent, asyncio and uvloop (about 8 minutes)
	$(PYTHON) benches/python/run.py --ours-venv $(VENV) --out benches/results/python

bench-check: ## Whether the benchmarks compile
	$(CARGO) check --quiet --manifest-path benches/Cargo.toml

bench-quick: python ## Both with fewer rounds (about 5 minutes)
	$(CARGO) run --release --manifest-path benches/Cargo.toml -- --quick --out benches/results
	$(PYTHON) benches/python/run.py --quick --ours-venv $(VENV) --out benches/results/python

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

aarch64: ## The aarch64 switch and patching under qemu-user (Debian: gcc-aarch64-linux-gnu qemu-user libc6-dev-arm64-cross)
	ci/aarch64.sh

musl: ## Patching on musl, dynamic and static (Debian: musl-tools)
	ci/musl.sh

check-all: lint test test-all-pythons conformance test-many loom tsan asan abort aarch64 musl miri ## All of the above

clean: ## Remove what was built
	$(CARGO) clean
	$(CARGO) clean --manifest-path benches/Cargo.toml

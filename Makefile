# Every command of this project. `make` lists them; each does its own set-up and is quick the second time.
# Needs Rust, Python 3.10 or newer, a C compiler and make. What Python needs goes to .venv.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-rust test-python test-long loom soak lint format bench docs wheel clean distclean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
OUT ?= out/study

BIN := .venv/bin
STAMPS := .venv/stamps
EXTRAS := torch,cli,plot,data,interop,test,peers,lint
PYTHON_SOURCES := pyasync tests benches .ci conftest.py
RUST := $(wildcard Cargo.toml Cargo.lock) $(shell find rust -name '*.rs' -o -name Cargo.toml 2>/dev/null)
export VIRTUAL_ENV := $(CURDIR)/.venv
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## list the commands
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: $(STAMPS)/engine ## create .venv, install what everything needs, build the engine

demo: setup ## study the built-in digits: train layered and unlayered, compare; report and figures in out/study
	$(BIN)/pyasync study digits --out $(OUT)

test: test-rust test-python ## run all tests, the examples in the documentation included

test-rust: $(STAMPS)/venv ## run the Rust tests
	if cargo nextest --version >/dev/null 2>&1; then cargo nextest run -p pyasync-core && cargo test -q -p pyasync-core --doc; \
	else cargo test -p pyasync-core; fi

test-python: setup ## run the Python tests
	$(BIN)/python -m pytest $(ARGS)

test-long: setup ## run the property tests with many more examples (an hour or more)
	HYPOTHESIS_PROFILE=long PROPTEST_CASES=10000 cargo test --release -p pyasync-core
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/property $(ARGS)

# Stand-ins for atomics and threads (rust/core/src/sync.rs), each built in a folder of its own and without the link-time optimisation that only costs time here.
STAND_IN = CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 RUSTFLAGS="--cfg $(1)" cargo test --release -p pyasync-core --target-dir target/$(1)
SPIKES ?= 1000000000

loom: $(STAMPS)/venv ## check the protocol of free running, in every interleaving (loom) and in random ones (shuttle)
	$(call STAND_IN,loom) --lib free::verify
	SHUTTLE_SILENCE_WARNINGS=1 $(call STAND_IN,shuttle) --test shuttle_free

soak: $(STAMPS)/venv ## send SPIKES (10^9) spikes through free runs with atomics that pause at random (a quarter of an hour or more)
	PYASYNC_SOAK_SPIKES=$(SPIKES) $(call STAND_IN,disturbed) --test stress_free -- --nocapture --test-threads 1

lint: setup ## check formatting, lints and types
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	$(BIN)/python -m ruff check $(PYTHON_SOURCES)
	$(BIN)/python -m ruff format --check $(PYTHON_SOURCES)
	$(BIN)/python -m mypy --strict pyasync tests/unit/test_types.py
	$(BIN)/python -m mypy.stubtest pyasync._core

format: setup ## format the sources in place
	cargo fmt --all
	$(BIN)/python -m ruff check --fix $(PYTHON_SOURCES)
	$(BIN)/python -m ruff format $(PYTHON_SOURCES)

bench: setup ## time forward runs and training steps, and their peers on the same work
	$(BIN)/python benches/forward.py $(ARGS)
	$(BIN)/python benches/training.py $(ARGS)
	$(BIN)/python benches/layers.py $(ARGS)

docs: $(STAMPS)/docs ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

wheel: $(STAMPS)/venv ## build the wheel into dist/
	rm -rf dist
	$(BIN)/maturin build --release --out dist

clean: ## remove what was built, keep .venv
	rm -rf target dist site out pyasync/_core*.so pyasync/_core*.pyd $(STAMPS)/engine
	rm -rf .hypothesis tests/.hypothesis .pytest_cache .mypy_cache .ruff_cache
	find pyasync tests benches -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove .venv too
	rm -rf .venv

# A PyTorch that the interpreter already has is taken as it is; that of another virtual environment no new one can see.
$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "no Python 3.10 or newer found; set PYTHON=/path/to/python" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "no cargo found; see https://rustup.rs" >&2; exit 1; }
	@site=$$($(PYTHON) -c 'import sys, importlib.util as u; print("--system-site-packages" if sys.prefix == sys.base_prefix and u.find_spec("torch") else "")'); \
	test -x $(BIN)/python || $(PYTHON) -m venv $$site .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --ignore-installed uv 'maturin>=1.9.4,<2'
	mkdir -p $(STAMPS) && touch $@

# uv does not see packages outside .venv, so where those are in use pip installs the rest.
UV = $(if $(shell grep -x 'include-system-site-packages = true' .venv/pyvenv.cfg 2>/dev/null),,--uv)

$(STAMPS)/extras: $(STAMPS)/venv pyproject.toml
	$(BIN)/maturin develop --release $(UV) --extras $(EXTRAS)
	touch $@

$(STAMPS)/docs: $(STAMPS)/extras
	$(BIN)/maturin develop --release $(UV) --extras docs
	touch $@

$(STAMPS)/engine: $(STAMPS)/extras $(RUST)
	$(BIN)/maturin develop --release --skip-install --quiet
	touch $@

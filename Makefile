# All commands of the project. Run `make` to list them.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RAY := $(VENV)/.installed-ray
RAY_TESTS := tests/integration/clusters/test_ray.py
ROUNDS ?= 10
MINUTES ?=
SEED ?=
CASES ?= 20000
JOBS ?= 3
LOCK_FLAGS ?=
QUICK := $(BIN)/python -m pytest -q -m "not slow" --hypothesis-profile quick
PART := tests/unit/domain tests/unit/workflows tests/unit/artifacts
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install install-ray demo test test-ray unit check bench bench-full chaos soak fuzz lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## Create .venv and install everything, with the exact versions in requirements.lock

# 250 MB that only its tests need, so not a part of `install`.
install-ray: $(RAY) ## Add Ray to .venv, with the exact versions in requirements-ray.lock

demo: $(INSTALLED) ## Build a playable campaign in 13 steps and show its history
	@$(BIN)/orchestrator demo

# Tests wait more than they compute: three processes keep two cores busy. Keep the order of files: long ones run first.
test: $(INSTALLED) ## Run all tests, on a real Postgres and a real Valkey (JOBS=3 processes)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --ignore $(RAY_TESTS)

test-ray: $(RAY) ## Run the tests of the Ray adapter, in a network namespace of their own (as root)
	@$(BIN)/python -m pytest $(RAY_TESTS)

# Two sessions side by side, each with its part of the tests. The processes of one session would each import all tests.
unit: $(INSTALLED) ## Run the quick tests: no server, no test of half a second, few examples a property
	@$(QUICK) $(PART) & part=$$!; trap "kill $$part" INT TERM; \
	  $(QUICK) tests/unit $(addprefix --ignore=,$(PART)); code=$$?; wait $$part && exit $$code

check: $(INSTALLED) ## Check format, lint, types, the direction of imports and the architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/architecture

bench: $(INSTALLED) ## Measure latency and throughput on this machine (a few minutes)
	@$(BIN)/python -m benchmarks

bench-full: $(INSTALLED) ## Measure more, side by side with the peers, each in its own environment (half an hour)
	@$(BIN)/python -m benchmarks --full

chaos: $(INSTALLED) ## Kill processes and servers while runs execute (MINUTES=10 SEED=random)
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

soak: $(INSTALLED) ## Run real processes under steady load and break each part in turn (MINUTES=30 SEED=random)
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

fuzz: $(INSTALLED) ## Repeat the property tests with new random data (ROUNDS=10), then send CASES=20000 requests to the API
	@for round in $$(seq $(ROUNDS)); do $(BIN)/python -m pytest -q -m hypothesis || exit; done
	@$(BIN)/python -m tests.fuzz --cases $(CASES)

# Uses the package index that this machine is configured for; it is not recorded. LOCK_FLAGS=--upgrade upgrades versions.
lock: $(INSTALLED) ## Regenerate requirements.lock, requirements-ray.lock and requirements-image.lock (LOCK_FLAGS=--upgrade)
	@$(BIN)/python -m pip install -q uv
	@compile="$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(LOCK_FLAGS)" && \
	  eval "$$compile --extra dev -o requirements.lock" && \
	  eval "$$compile --extra ray -c requirements.lock -o requirements-ray.lock" && \
	  eval "$$compile --extra redis --extra encryption --extra oidc --extra s3 --extra examples --extra build --extra tracing --extra parquet --extra signing -c requirements.lock -o requirements-image.lock"

clean: ## Remove .venv, caches and build output; keep your data (.orchestrator)
	rm -rf $(VENV) benchmarks/.peers build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .tools
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# Compile all modules here: where Python cannot write its cache, the program would take twice as long to start.
# The stamp file has the time of the last installation: the target runs only after the lock or pyproject.toml changed.
$(INSTALLED): requirements.lock pyproject.toml
	@usable='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(BIN)/python -c "$$usable" 2>/dev/null; then \
	  for python in $(PYTHON) python3 python3.13 python3.12 python3.11 none; do \
	    $$python -c "$$usable" 2>/dev/null && break; \
	  done; \
	  if [ $$python = none ]; then \
	    echo "Python 3.11 or newer, with its venv module, is needed. Found: $$(python3 --version 2>&1 | tail -n 1)" >&2; \
	    echo "Install it (on Debian: python3.11 and python3.11-venv), or give its path: make PYTHON=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	  echo "Creating $(VENV) with $$($$python --version)"; \
	  $$python -m venv --clear $(VENV) || exit; \
	fi
	@echo "Installing the versions in requirements.lock"
	@$(BIN)/python -m pip install -q --no-compile --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --no-compile --no-deps --no-build-isolation --no-index -e .
	@$(BIN)/python -m compileall -q -j 0 -x '/(pip|setuptools|mypy|mypyc|hypothesis|tests)/' $(VENV)/lib src
	@touch $@

$(RAY): requirements-ray.lock $(INSTALLED)
	@echo "Installing Ray"
	@$(BIN)/python -m pip install -q --no-compile --no-deps --require-hashes -r requirements-ray.lock
	@touch $@

# Needs Python 3.11 or newer with venv and pip; everything else is installed into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin

# The first Python that is new enough; `make PYTHON=/path/to/python` overrides it.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

# uv from the PATH, or else one installed into the environment.
UV := $(or $(shell command -v uv),$(BIN)/uv)
OWN_UV := $(filter $(BIN)/uv,$(UV))
INSTALL := $(UV) pip install --quiet --python $(BIN)/python

WORKERS ?= 2
PYTEST_ARGS ?=
# Least coverage in percent, branches included, of a folder that exists.
FLOORS := mcai_pipelines:85 assets:85 resources:85 sensors:85 \
	mcai_pipelines/lakehouse:90 mcai_pipelines/config:90 mcai_pipelines/contracts:90 \
	mcai_pipelines/state:95 mcai_pipelines/providers:90 mcai_pipelines/emulators:85

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
		sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

.PHONY: demo
demo: $(VENV)/.demo ## Build the demo lake: retail tables on four sites
	$(BIN)/mcai demo

.PHONY: ui
ui: $(VENV)/.demo ## Open the Dagster UI on the demo's instance
	$(BIN)/mcai ui

.PHONY: test
test: $(VENV)/.dev ## Run the tests and hold the coverage floors
	rm -f .coverage .coverage.*
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --cov --cov-report= $(PYTEST_ARGS)
	@failed=0; for floor in $(FLOORS); do \
		folder=$${floor%:*}; percent=$${floor#*:}; \
		test -n "$$(find $$folder -name '*.py' 2>/dev/null)" || continue; \
		echo "coverage of $$folder, at least $$percent %:"; \
		$(BIN)/coverage report --include="$$folder/*" --fail-under=$$percent \
			--skip-covered --skip-empty | tail -n +3 || failed=1; \
	done; exit $$failed

.PHONY: check
check: $(VENV)/.dev ## Lint, format check, types, import floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: bench
bench: $(VENV)/.dev ## Measure against raw libraries and the existing integrations
	$(BIN)/python -m benchmarks

.PHONY: soak
soak: $(VENV)/.dev ## Kill writers at random moments and check every row
	$(BIN)/python -m tests.soak

COMPILE := pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(UPGRADE)
LOCKED := -c requirements/all.txt --extra

.PHONY: lock
lock: $(BIN)/python $(OWN_UV) ## Pin requirements/*.txt anew (UPGRADE=--upgrade for newer versions)
	$(UV) $(COMPILE) pyproject.toml --all-extras -o requirements/all.txt
	$(UV) $(COMPILE) pyproject.toml $(LOCKED) demo -o requirements/demo.txt
	$(UV) $(COMPILE) pyproject.toml $(LOCKED) dev -o requirements/dev.txt
	echo 'hatchling' | $(UV) $(COMPILE) - -o requirements/build.txt
	echo 'uv' | $(UV) $(COMPILE) - -o requirements/uv.txt
	@! grep -nE '://|^-|/(home|root|tmp|work)/' requirements/*.txt || \
		{ echo "an address or a path got into requirements/"; exit 1; }

.PHONY: clean
clean: ## Remove the environment and all caches; the lake in .mcai stays
	rm -rf $(VENV) .bench dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# --- environment: stamp files make a repeated make quick ------------------------------------

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found on the PATH." \
		"Install one, or run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"$(PYTHON) is not Python 3.11 or newer; name another: make PYTHON=..." >&2; exit 1; }
ifdef OWN_UV
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
else
	$(UV) venv --quiet --no-project --python $$(command -v $(PYTHON)) $(VENV)
endif

$(BIN)/uv: $(BIN)/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

# `install`, not `sync`: an environment made for development keeps its tools.
$(VENV)/.demo $(VENV)/.dev: $(VENV)/.%: $(BIN)/python $(OWN_UV) \
		requirements/%.txt requirements/build.txt pyproject.toml
	$(INSTALL) --require-hashes -r requirements/$*.txt
	$(INSTALL) --no-deps --build-constraints requirements/build.txt -e .
	@touch $@

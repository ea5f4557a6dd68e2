# `make` alone prints what there is to do.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

export DROVEWAY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/droveway
export PATH := $(CURDIR)/.venv/bin:$(DROVEWAY_CACHE)/bin:$(PATH)
PYTEST := pytest --durations=5

##@ Daily

.PHONY: help
help: ## What there is to do
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Python dependencies of requirements.lock into .venv
	@hack/step $@ hack/setup

.PHONY: check
check: lint types layers unit ## Everything fast: lint, types, layers, unit tests

.PHONY: fmt
fmt: setup ## Format the code, repair what ruff can
	@hack/step $@ sh -c 'ruff check -q --fix-only . && ruff format -q .'

.PHONY: lint
lint: setup ## Style and common bugs (ruff)
	@hack/step $@ sh -c 'ruff check -q . && ruff format -q --check .'

.PHONY: types
types: setup ## Types (mypy strict)
	@hack/step $@ mypy

.PHONY: layers
layers: setup ## Which room may import which (import-linter)
	@hack/step $@ lint-imports

##@ Tests

.PHONY: test
test: verify lint types layers coverage contract integration e2e ## Everything; brings up what it needs

.PHONY: unit
unit: setup ## No network, no clock, no cluster
	@hack/step $@ $(PYTEST) --numprocesses=$(shell nproc) tests/unit

.PHONY: coverage
coverage: setup ## Unit tests again, and how much of the judging rooms they reach
	@hack/step $@ hack/coverage

.PHONY: mutate
mutate: setup ## Break core in small ways: does a test notice? MODULES="core/retry core/pod"
	@hack/step $@ python -m hack.mutate $(MODULES)

.PHONY: contract
contract: setup control-plane-up ## Our resources and our chart against a real API server and helm
	@hack/cluster/binaries helm
	@hack/prometheus
	@hack/step $@ $(PYTEST) tests/contract

.PHONY: integration
integration: setup control-plane-up ## Operator and gateway processes against a real API server
	@hack/agent-clis
	@hack/redis
	@hack/shells
	@hack/prometheus
	@hack/step $@ $(PYTEST) --numprocesses=$(shell nproc) --dist=loadfile tests/integration

.PHONY: e2e
e2e: setup cluster-up images ## Real agent CLIs on the kind cluster
	@KUBECONFIG=$(DROVEWAY_CACHE)/kubeconfig hack/step $@ $(PYTEST) tests/e2e

.PHONY: verify
verify: setup ## Generated files are current, rules have code and tests, workflows are well-formed
	@hack/step $@ hack/verify

.PHONY: bench
bench: bench-operator bench-gateway bench-telemetry bench-streams bench-fanout ## All benchmarks, into results/

.PHONY: bench-operator
bench-operator: setup ## Runs beside bare Jobs, real API server
	@hack/step $@ sh -c 'python -m benchmarks.operator.run --python "$$(hack/runtime-python)"'

.PHONY: report-reliability
report-reliability: setup ## Error rates, retries and timeouts while the provider fails, into results/
	@hack/step $@ python -m benchmarks.reliability --out results/reliability.json

.PHONY: bench-gateway
bench-gateway: setup ## Requests through our gateway, LiteLLM's and a bare relay, in one run
	@hack/step $@ python -m benchmarks.gateway.run

.PHONY: bench-compare
bench-compare: setup ## The last gateway benchmark beside the saved one; fails when we got slower
	@hack/step $@ python -m benchmarks.compare results/gateway_baseline.json results/gateway.json

.PHONY: bench-telemetry
bench-telemetry: setup ## Time and memory of telemetry; fails when a budget is missed
	@hack/step $@ python -m benchmarks.telemetry --out results/telemetry.json

.PHONY: bench-streams
bench-streams: setup ## How fast the CLIs' streams are read; fails when a budget is missed
	@hack/step $@ python -m benchmarks.streams --out results/streams.json

.PHONY: bench-fanout
bench-fanout: setup ## Fan-outs under load beside what is possible; fails when a provider gets more than it takes
	@hack/step $@ python scripts/fanout_load_test.py

##@ Generated files

.PHONY: generate
generate: setup ## crds/ and docs/schemas/ from the models
	@hack/step $@ hack/generate

.PHONY: lock
lock: ## Resolve the dependencies anew, into the locks
	@hack/step $@ hack/setup --lock

##@ Clusters

.PHONY: demo
demo: setup cluster-up images ## See runs survive a spent subscription
	@KUBECONFIG=$(DROVEWAY_CACHE)/kubeconfig hack/demo

.PHONY: cluster-up
cluster-up: ## A kind cluster named droveway
	@hack/step $@ hack/cluster/up

.PHONY: cluster-down
cluster-down: ## Delete that cluster; what was built stays
	@hack/step $@ hack/cluster/down

.PHONY: images
images: ## Build our images, load them into the cluster when it is up
	@hack/step $@ hack/images

.PHONY: control-plane-up
control-plane-up: ## A Kubernetes API of plain processes with fake nodes
	@hack/step $@ hack/control-plane/up

.PHONY: control-plane-down
control-plane-down: ## Stop those processes
	@hack/step $@ hack/control-plane/down

##@ Tidy

.PHONY: clean
clean: ## Remove what tools left in the checkout; clusters and the cache stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

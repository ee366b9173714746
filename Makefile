# Everyday commands. The scripts behind them are in dev/; see dev/README.md.
.DEFAULT_GOAL := help
.PHONY: help up down bench test contract clients charts e2e e2e-full demo-autoscaling dev manifests image lint

# Passed on by bench, test, contract, e2e-full and dev: ARGS="…". The shell evaluates it, so quotes in it work as usual.
export ARGS

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Start the whole stack on its own real Kubernetes (KEDA=1: with autoscalers; CONTEXT=name VALUES=file: on yours)
	@dev/up

down: ## Remove everything that `make up` created
	@dev/down

bench: ## Run a load test against the stack of `make up` and check every balance; ARGS=suite: all scenarios; ARGS=--help
	@eval dev/bench "$$ARGS"

test: ## Run all tests, on real PostgreSQL, Kafka and Redis; ARGS="-p wallex-journal"
	@eval dev/test "$$ARGS"

contract: ## Check the HTTP interface against its description with an external tester; ARGS="-n 200"
	@eval dev/contract/run "$$ARGS"

clients: ## Generate clients from docs/openapi.json in several languages and try them; any generator warning fails
	@dev/contract/clients

charts: ## Check the charts without a cluster; UPDATE=1 rewrites charts/tests/golden
	@dev/charts

e2e: ## Run the core end-to-end tests on a private stack: install, load, failures, delete
	@dev/e2e/run core

e2e-full: ## Run all end-to-end tests: upgrades, rotations, topics, leaders, …; ARGS="30-plugin" for some
	@eval dev/e2e/run "$${ARGS:-full}"

demo-autoscaling: ## Watch projectors scale on lag: 200,000 events pile up, pods are added, drain them and are removed
	@dev/demo-autoscaling

dev: ## Start everything in one process: no Kubernetes, no Kafka, API on port 3000
	@dev/install rust
	@eval cargo run -p wallex -- dev "$$ARGS"

image: ## Build the release programs and pack the image into target/image.tar
	@dev/install rust
	@dev/image target/image.tar

manifests: ## Regenerate crds/, the chart's copy, charts/plain/, docs/configuration.md and docs/openapi.json
	@dev/manifests

lint: ## Check formatting, clippy and code structure, as CI does
	@cargo fmt --all --check
	@dev/structure/check
	@cargo clippy --workspace --all-targets -- -D warnings

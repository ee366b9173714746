# The few commands of daily work. What they do is in dev/; see dev/README.md.
.DEFAULT_GOAL := help
.PHONY: help up down bench test contract clients charts e2e e2e-full demo-autoscaling dev manifests image lint

# ARGS="…" is handed on by bench, test and dev. Read by the shell, so that quotes in it mean what they say.
export ARGS

help: ## Lists these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Starts the whole stack on its own real Kubernetes (KEDA=1: with autoscalers; CONTEXT=name VALUES=file: on yours)
	@dev/up

down: ## Removes everything that `make up` created
	@dev/down

bench: ## Puts load on the stack of `make up` and checks every balance; ARGS="--workers 64 --json out.json"
	@eval dev/bench "$$ARGS"

test: ## All tests, on real PostgreSQL, Kafka and Redis; ARGS="-p wallex-journal"
	@eval dev/test "$$ARGS"

contract: ## Checks the HTTP interface against its description with an external tester; ARGS="-n 200"
	@eval dev/contract/run "$$ARGS"

clients: ## Generates clients from docs/openapi.json in several languages and uses them; a generator's warning fails it
	@dev/contract/clients

charts: ## Checks the charts without a cluster; UPDATE=1 rewrites charts/tests/golden
	@dev/charts

e2e: ## The whole stack in a private folder: install, load, failures, delete
	@dev/e2e/run core

e2e-full: ## The same with every test: upgrades, rotations, topics, leaders, …; ARGS="30-plugin" for some
	@eval dev/e2e/run "$${ARGS:-full}"

demo-autoscaling: ## Projectors scale by their lag, live: 200,000 events pile up, pods come, drain them and go
	@dev/demo-autoscaling

dev: ## The simplest start: one process, no Kubernetes, no Kafka, API on port 3000
	@dev/install rust
	@eval cargo run -p wallex -- dev "$$ARGS"

image: ## Builds the release programs and packs the image into target/image.tar
	@dev/install rust
	@dev/image target/image.tar

manifests: ## Writes what is generated: crds/, the chart's copy, charts/plain/, docs/configuration.md, docs/openapi.json
	@dev/manifests

lint: ## Format, clippy and the structure of the code, as CI checks them
	@cargo fmt --all --check
	@dev/structure/check
	@cargo clippy --workspace --all-targets -- -D warnings

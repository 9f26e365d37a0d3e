# The commands that people type. `make demo` first; `make help` lists the rest.
SHELL := /bin/bash
CARGO ?= cargo

.PHONY: help demo test lint unit e2e fidelity services bench torture replicas harsh mutants seeds soak

# The services of the end-to-end tests, and the program they run.
E2E = TAPLINE_E2E=1 TAPLINE_BIN=$(CURDIR)/target/debug/tapline TAPLINE_SERVICES=$(CURDIR)/.services

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## build what is missing and watch detections arrive
	$(CARGO) build --quiet -p tapline
	target/debug/tapline demo

test: services lint ## everything, against the real services
	$(CARGO) build --workspace --bins --tests
	$(E2E) $(CARGO) test --workspace --no-fail-fast -- --test-threads=3
	$(MAKE) --no-print-directory fidelity

services: ## install what the end-to-end tests need
	scripts/install-services

lint: ## format, lints, and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --no-deps

unit: ## all tests that need no service
	$(CARGO) test --workspace

e2e: ## only the end-to-end tests
	$(CARGO) build --workspace --bins --tests
	$(E2E) $(CARGO) test --workspace --test it -- --test-threads=3

fidelity: ## real samples and generated records through `tapline normalize`, checked against the schema
	.services/venv/bin/python tests/fidelity/check.py --tapline target/debug/tapline

bench: ## benchmarks, as a table
	scripts/bench

torture: services ## kills, cuts, full disks, and all of Microsoft's faults, in both modes side by side; MINUTES=120
	$(CARGO) build --workspace --bins --tests
	TAPLINE_TORTURE_MINUTES=$(or $(MINUTES),120) $(E2E) $(CARGO) test --workspace --test it -- --nocapture --test-threads=2 tortured

replicas: services ## three replicas, crashes, and a broker restart every half minute; MINUTES=5
	$(CARGO) build --workspace --bins --tests
	TAPLINE_REPLICAS_MINUTES=$(or $(MINUTES),5) $(E2E) $(CARGO) test --workspace --test it -- --nocapture replicas_and_broker

harsh: services ## Microsoft's APIs with their worst faults; six minutes
	$(CARGO) build --workspace --bins --tests
	TAPLINE_HARSH=1 $(E2E) $(CARGO) test --workspace --test it -- --nocapture under_harsh_faults

mutants: services ## plants known bugs and requires that tests catch them
	scripts/mutants

seeds: ## the simulation of the whole way with 10,000 seeds; SEEDS=
	TAPLINE_SIMULATION_SEEDS=$(or $(SEEDS),10000) $(CARGO) test --workspace --lib -- --nocapture no_schedule_of_faults_and_crashes

soak: ## ten minutes under load, watching memory
	scripts/soak

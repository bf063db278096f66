# One door for every chore. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
INSTALLED := $(VENV)/.installed
FUZZ_INSTALLED := $(VENV)/.installed-fuzz
SYSTEM_PACKAGES := PYTHON=$(PYTHON) VENV=$(VENV) deploy/system-packages

.DEFAULT_GOAL := help
.PHONY: help setup run test check conformance fuzz demo bench proto docs fmt sample

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## virtual environment, packages, and with apt what the system lacks
	@$(SYSTEM_PACKAGES)
	@$(MAKE) --no-print-directory SYSTEM_PACKAGES=: $(INSTALLED)

# The other targets need only this: what apt could not bring once is not tried each time.
$(INSTALLED): pyproject.toml
	@$(SYSTEM_PACKAGES)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[server]' --group dev
	@touch $@

run: $(INSTALLED) ## start palomard on this machine and print flows until Ctrl-C
	@$(BIN)/python deploy/run.py

test: $(INSTALLED) ## all tests; PALOMAR_REQUIRE_LIVE=1 makes live tests fail where they would skip
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup $(ARGS)

check: $(INSTALLED) ## ruff, mypy, import-linter, freshness of the stubs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check

conformance: $(INSTALLED) ## what palomar makes of the cases that real Hubble has decided
	@$(BIN)/python -m tests.conformance $(ARGS)

# Only fuzzing needs it, and it is large.
$(FUZZ_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --group fuzz
	@touch $@

fuzz: $(FUZZ_INSTALLED) ## look for input that breaks the decoders, for FUZZ_SECONDS (60)
	@$(BIN)/python -m tests.fuzz $(ARGS)

demo: $(INSTALLED) ## two pods, real traffic, real drops, and what palomar says about them
	@$(BIN)/python deploy/demo.py

bench: $(INSTALLED) ## every performance figure, as a table and as build/bench.json
	@$(BIN)/python -m bench

proto: $(INSTALLED) ## write the stubs anew after a change of a .proto file
	$(BIN)/python proto/generate.py

docs: $(INSTALLED) ## write the pages anew that come from the code
	$(BIN)/python docs/generate.py

fmt: $(INSTALLED) ## format and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

sample: $(INSTALLED) ## record the bundled sample anew, by running the demo
	@$(BIN)/python deploy/demo.py --record-sample

# Every target does its own set-up: Python 3.11 or newer, make and git are enough.
# `make demo` and `make test` are the two to know, `make quick` the one to work with; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/installed
INSTALLED_DEV := .venv/installed-dev
# The lock names everything, so pip must not resolve again: it would prefer a newer release to a pin for "coverage[toml]".
LOCKED = $(BIN)/pip install --quiet --require-hashes --no-deps
WHEELHOUSE := .venv/wheelhouse/complete
SERVICE_PYTHON := /usr/bin/python3
HAS_SERVICE_PYTHON := $(SERVICE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
# What a test box is made of, where there can be one; where not, those tests are left out and say what is missing.
BOXED := $(shell [ "$$(id -u)" -eq 0 ] && $(HAS_SERVICE_PYTHON) && echo $(WHEELHOUSE))
# The most that `systemd-analyze security` may find, in tenths.
EXPOSURE := 13
PYTEST := $(BIN)/python -m pytest
# What both runs of `make test` left out.
LEFT_OUT := .venv/left-out
# `make lock UPGRADE=` keeps every version that still fits.
UPGRADE ?= --upgrade

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "tracker needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv

$(INSTALLED): requirements.txt pyproject.toml | $(BIN)/python
	$(LOCKED) --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(INSTALLED_DEV): requirements-dev.txt $(INSTALLED)
	$(LOCKED) --requirement requirements-dev.txt
	@$(BIN)/pip check --quiet # whether the lock is complete
	@touch $@

# For the Python that a service can use: the Debian package and the tests against a real systemd install from there.
$(WHEELHOUSE): requirements.txt | $(BIN)/python
	@$(HAS_SERVICE_PYTHON) || { echo "a service needs $(SERVICE_PYTHON) 3.11 or newer"; exit 1; }
	@rm -rf $(@D) && mkdir $(@D)
	@$(BIN)/pip --python $(SERVICE_PYTHON) download --quiet --only-binary=:all: --require-hashes --no-deps \
		--requirement requirements.txt --dest $(@D)
	@cp requirements.txt $@

##@ Try it
.PHONY: demo
demo: $(INSTALLED) ## the whole thing at work against a HeyGen look-alike, in half a minute
	@$(BIN)/tracker demo

.PHONY: install
install: $(INSTALLED) ## .venv with the locked dependencies and .venv/bin/tracker

##@ Work on it
.PHONY: quick
quick: $(INSTALLED_DEV) ## the tests to run all day: units, contracts on SQLite, documents; two minutes
	$(PYTEST) tests/unit tests/contract tests/house -m 'not postgresql and not alone and not long'

.PHONY: format
format: $(INSTALLED_DEV) ## put the code into the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lint
lint: $(INSTALLED_DEV) ## format, lint, types and import contracts, without the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test
test: $(INSTALLED_DEV) $(BOXED) ## every test but the long ones; what this machine cannot run is listed at the end
	@rm -f $(LEFT_OUT)
	$(PYTEST) -m 'not alone and not long' --left-out=$(LEFT_OUT)
	$(PYTEST) -m 'alone and not long' -n0 --left-out=$(LEFT_OUT)
	@$(BIN)/python -m tests.omissions $(LEFT_OUT)

##@ Before a change lands
.PHONY: check
check: lint exposure coverage test ## everything that must hold before a change lands

.PHONY: coverage
coverage: $(INSTALLED_DEV) ## whether the unit tests cover every branch of the core
	$(PYTEST) tests/unit -m 'not alone and not long' --cov

.PHONY: exposure
exposure: ## how well the service's sandbox closes, by systemd's own measure
	@if command -v systemd-analyze >/dev/null; then \
		systemd-analyze security --offline=true --threshold=$(EXPOSURE) systemd/tracker.service | tail -n 1; \
	else echo "NOT CHECKED: the exposure of tracker.service; there is no systemd-analyze on this machine"; \
		[ -z "$${TRACKER_TEST_STRICT:-}" ]; fi

.PHONY: long
long: $(INSTALLED_DEV) $(BOXED) ## the tests that are worth an hour: many crashes and restarts, much load
	$(PYTEST) -m long -n0

.PHONY: contracts-wheel
contracts-wheel: $(INSTALLED_DEV) ## the contracts on the PostgreSQL of the wheel, a later one than Debian's
	TRACKER_TEST_POSTGRESQL=wheel $(PYTEST) tests/contract -m 'postgresql and not long'

##@ Measure and record
.PHONY: bench
bench: $(INSTALLED_DEV) ## what polling costs, how late it is, what a batch saves, and how large rows are; ten minutes
	$(BIN)/python -m tests.bench

.PHONY: queries
queries: $(INSTALLED_DEV) ## write down what this version's store says in SQL, for the migrations after it
	@$(BIN)/python -m tests.recorded_queries

##@ Package and maintain
.PHONY: dist
dist: $(INSTALLED) ## a wheel and an sdist in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build

.PHONY: wheelhouse
wheelhouse: $(WHEELHOUSE) ## every package that tracker needs, for a Debian package or a machine without a network

.PHONY: lock
lock: ## rewrite the two lock files from pyproject.toml
	@test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv; }
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header $(UPGRADE) pyproject.toml --group build --output-file requirements.txt
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header $(UPGRADE) pyproject.toml --group build --group dev --constraint requirements.txt --output-file requirements-dev.txt

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf .venv .venv-lock .demo dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

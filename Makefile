# Every target does its own set-up: Python 3.11 or newer, make and git are enough.
# `make demo` and `make test` are the two to know; `make help` lists the rest.
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
# What a test box is made of, where there can be one; where not, those tests say what is missing.
BOXED := $(shell [ "$$(id -u)" -eq 0 ] && $(HAS_SERVICE_PYTHON) && echo $(WHEELHOUSE))
# The most that `systemd-analyze security` may find, in tenths.
EXPOSURE := 13

empty :=
comma := ,
FULLY_COVERED := $(subst $(empty) $(empty),$(comma),$(strip tracker/domain/* tracker/tracking.py \
	tracker/heygen/payloads.py tracker/heygen/webhook.py tracker/heygen/answers.py tracker/heygen/v2.py \
	tracker/heygen/v3.py tracker/heygen/statuses.py tracker/files/*))

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

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

.PHONY: wheelhouse
wheelhouse: $(WHEELHOUSE) ## every package that tracker needs, for a Debian package or a machine without a network

.PHONY: install
install: $(INSTALLED) ## .venv with the locked dependencies and .venv/bin/tracker

.PHONY: demo
demo: $(INSTALLED) ## the whole thing at work against a HeyGen look-alike, in half a minute
	@$(BIN)/tracker demo

.PHONY: test
test: $(INSTALLED_DEV) $(BOXED) ## every test, with coverage; the core must be covered branch by branch
	$(BIN)/python -m pytest -m 'not alone'
	$(BIN)/python -m pytest -m alone -n0 --cov-append
	$(BIN)/coverage report --fail-under=100 --include='$(FULLY_COVERED)'

.PHONY: bench
bench: $(INSTALLED_DEV) ## what polling costs, how late it is, what a batch saves, and how large rows are; ten minutes
	$(BIN)/python -m tests.bench

.PHONY: queries
queries: $(INSTALLED_DEV) ## write down what this version's store says in SQL, for the migrations after it
	@$(BIN)/python -m tests.recorded_queries

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

.PHONY: exposure
exposure: ## how well the service's sandbox closes, by systemd's own measure
	@if command -v systemd-analyze >/dev/null; then \
		systemd-analyze security --offline=true --threshold=$(EXPOSURE) systemd/tracker.service | tail -n 1; \
	else echo "NOT CHECKED: the exposure of tracker.service; there is no systemd-analyze on this machine"; fi

.PHONY: dist
dist: $(INSTALLED) ## a wheel and an sdist in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build

.PHONY: check
check: lint exposure test ## everything that must hold before a change lands

.PHONY: lock
lock: ## rewrite the two lock files from pyproject.toml
	@test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv; }
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --upgrade pyproject.toml --group build --output-file requirements.txt
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --upgrade pyproject.toml --group build --group dev --constraint requirements.txt --output-file requirements-dev.txt

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf .venv .venv-lock .demo dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

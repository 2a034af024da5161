# Two commands do everything on a fresh machine:
#   make transfer   virtual environment, pinned packages, weights, the main experiments -> runs/
#   make test       virtual environment, pinned packages, the test suite
# `make help` lists the rest. Options reach the program: make transfer ARGS="--preset quality"

# The first interpreter that is new enough; say PYTHON=/path/to/python to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=
# One worker a core, at most 8; what a file's tests share is made once; long files go first (tests/conftest.py).
# A debugger wants WORKERS= (none).
WORKERS ?= -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install transfer backdoor rlhf test test-gpu test-all lint format docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make the virtual environment with the pinned packages

# torch first and alone, so that whichever build the machine offers (CPU or CUDA) is kept by the rest.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found. Install one, or say: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) could not make $(VENV). On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing the pinned packages into $(VENV) (once; a few minutes)"
	$(BIN)/python -m pip install --quiet $$(grep -E '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

transfer: $(INSTALLED) ## the main experiment: stories, then programs (another: ARGS="--preset quality"; ARGS=--help)
ifeq ($(strip $(ARGS)),)
	$(BIN)/python experiments/transfer.py --preset mini
	$(BIN)/python experiments/transfer.py --preset mini-code
else
	$(BIN)/python experiments/transfer.py $(ARGS)
endif

backdoor: $(INSTALLED) ## retrain the backdoored, decoy and clean organisms (programs: ARGS="--preset mini-code")
	$(BIN)/python experiments/train_backdoor.py $(ARGS)

rlhf: $(INSTALLED) ## retrain the pi_init and pi_rlhf organisms (programs: ARGS="--preset mini-code")
	$(BIN)/python experiments/train_rlhf.py $(ARGS)

# Compiled code is kept, whatever the shell says: the workers and the programs they start share it.
test test-gpu test-all: export PYTHONDONTWRITEBYTECODE :=

test: $(INSTALLED) ## the test suite: offline, CPU, all cores, a few minutes (ARGS="-k transfer")
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-gpu: $(INSTALLED) ## the tests that need a GPU: it gives the answers of the CPU
	$(BIN)/python -m pytest -m gpu $(ARGS)

test-all: $(INSTALLED) ## also the slow tests, which download weights
	$(BIN)/python -m pytest $(WORKERS) -m "not gpu" $(ARGS)

lint: $(INSTALLED) ## style, format and types, as CI checks them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(INSTALLED) ## put the code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Warnings are errors; links between pages are checked. Pictures need a Chrome or Chromium.
docs: $(INSTALLED) ## the documentation site -> build/docs/index.html (needs a Chrome or Chromium)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -b html -W --keep-going -n -q docs build/docs $(ARGS)

clean: ## remove the virtual environment and caches, keep runs/
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

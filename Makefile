# The front door: every target sets itself up. `make help` lists them.
#
#   make test VENV=/path/to/venv       use (and complete) an environment you have
#   make test PYTHON=python3.12        choose the interpreter that makes .venv
#   make test ARGS="-m slow -x"        hand arguments to the tool behind the target
#
# Needs a POSIX shell, GNU make >= 3.81, Python >= 3.11 with venv, and a package registry.

VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
# One process per core in the tests, so one thread per process.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
TEST_PROCESSES ?= 2

# An environment is up to date for this folder, these settings and compiled sources, whatever the file times say.
KEY := $(shell { pwd; cat pyproject.toml setup.py; find src -name "*.[ch]pp" -exec cat {} +; } | cksum | cut -d " " -f 1)
ready = $(VENV)/.tag2mask-$(1)-$(KEY)

.DEFAULT_GOAL := help
# Two installs into one environment at a time would break it.
.NOTPARALLEL:
.PHONY: help demo test check format docs bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(call ready,demo) ## compose pictures, train, score, write a page (minutes, on a CPU)
	$(BIN)/tag2mask demo $(ARGS)

test: $(call ready,dev) ## run the tests (the default tier)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(TEST_PROCESSES) $(ARGS)

check: $(call ready,dev) ## lint, formatting, types, who may import whom; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(call ready,dev) ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(call ready,docs) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

bench: $(call ready,dev) ## say how the quality tables are made; ARGS=... makes them
	$(BIN)/python benchmarks/quality/table.py $(if $(ARGS),$(ARGS),--help)

clean: ## remove what the targets made, the environment in .venv included
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.tag2mask-%-$(KEY): | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[$*]"
	@find "$(VENV)" -maxdepth 1 -name '.tag2mask-*' ! -name '*-$(KEY)' -exec rm -f {} +
	@touch "$@"

# An interpreter counts only if it starts (version managers leave stubs that do not), is new
# enough, and can make an environment (Debian keeps that in python3-venv).
$(BIN)/python:
	@for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	        >/dev/null 2>&1; then \
	        echo "Making $(VENV) with $$("$$python" --version); the first install takes minutes."; \
	        exec "$$python" -m venv "$(VENV)"; \
	    fi; \
	done; \
	echo "No Python that can be used: tried $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3)." >&2; \
	echo "Expected Python >= 3.11 with venv (Debian: apt install python3-venv)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python" >&2; \
	exit 1

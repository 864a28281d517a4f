# Everything is installed into one virtual environment; Python 3.11 or newer and make are enough.
#   make demo    recover a real network from its answers
#   make test    format, lint, types and tests
#   make docs    the documentation, in site/
# PYTHON=/path/to/python chooses the interpreter, VENV=folder the virtual environment, WORKERS=2 how
# many processes run the tests.

VENV ?= .venv
WORKERS ?= 2
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$python" && break; done)

BIN := $(VENV)/bin
# Files are compiled when they are first imported: compiling all of them takes ten seconds more.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq install \
	--no-compile --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test lint types pytest docs clean

help:
	@sed -n 's/^#   //p' Makefile

install: $(VENV)/test.stamp

demo: $(VENV)/run.stamp
	$(BIN)/expand-and-cluster demo

test: lint types pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/test.stamp
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# Each process begins with its share of the files: what is compiled for a test serves the next, and
# what takes long is kept for the other processes and for the next run. With a size, JAX locks it.
# NumPy's products take one thread: those of two processes wait for each other on the same cores.
# Four fifths of the tests' time is compiling, of programs that run once: LLVM is not to optimise
# them, which saves a fifth. `XLA_FLAGS= make test` tests them as users run them.
pytest: export XLA_FLAGS ?= --xla_backend_optimization_level=0
pytest: export OPENBLAS_NUM_THREADS := 1
pytest: export JAX_COMPILATION_CACHE_DIR := $(abspath $(VENV))/programs
pytest: export JAX_COMPILATION_CACHE_MAX_SIZE := 1000000000
pytest: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0.2
# After lint and types even under `make -j`: theirs are the quicker answers.
pytest: $(VENV)/test.stamp | lint types
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) site

$(BIN)/python:
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, and '$(or $(PYTHON),python3)' is not:" \
			"give one as PYTHON=/path/to/python." >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo "'$(PYTHON) -m venv' failed: install Python's venv module (on Debian python3-venv)" \
			"or give another Python as PYTHON=/path/to/python." >&2; exit 1; }

# The build back end is installed at its pinned version, so that nothing is resolved out of sight.
$(VENV)/run.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (half a minute, once)."
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/%.stamp: $(VENV)/run.stamp
	@echo "Installing what '$*' needs into $(VENV)."
	@$(PIP) --no-build-isolation --editable '.[$*]'
	@touch $@

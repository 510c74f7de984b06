# `make run` and `make test` set up all they need on a machine with Python 3.11 or newer and make.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help run test check format lock clean python

help:
	@echo "make run     serve the sign-in portal on http://127.0.0.1:$(PORT)"
	@echo "make test    run the whole suite against real servers"
	@echo "make check   formatter, linter, types"
	@echo "make format  let the formatter and the linter mend what they can"
	@echo "make lock    resolve the requirements anew"

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Emolytics needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)." >&2; \
	  echo "Install it, or name another one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its venv module is missing." >&2; \
	  echo "On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# The package itself is installed without its index-resolved dependencies: the lock is the only source of those.
$(VENV)/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml | python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements/build.txt -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

run: $(VENV)/run.stamp
	@exec $(BIN)/emolytics run --port $(PORT)

test: $(VENV)/dev.stamp
	@$(BIN)/python tests/upstreams/install.py
	@exec $(BIN)/python -m pytest $(PYTEST)

check: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Names, versions and hashes only: a lock that named an index would tie everybody to it.
lock:
	@for set in run build dev; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --upgrade requirements/$$set.in -o requirements/$$set.txt; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

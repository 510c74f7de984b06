# `make run` and `make test` set up all they need on a machine with Python 3.11 or newer and make.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help run demo test bench fuzz check format lock clean python

# Quiet but for errors; --isolated is not used, for a machine's own settings say where its packages come from.
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input
NOT_INSTALLED = { \
	  echo "The packages could not be installed; the lines above say why. Is there a network?" >&2; exit 1; }

help:
	@echo "make run     serve the sign-in portal on http://127.0.0.1:$(PORT)"
	@echo "make demo    the portal with a real directory and real OpenID providers beside it"
	@echo "make test    run the whole suite against real servers"
	@echo "make bench   what can be learned from the time of a failed sign-in, measured"
	@echo "make fuzz    the properties of the suite, for an hour or more"
	@echo "make check   formatter, linter, types"
	@echo "make format  let the formatter and the linter mend what they can"
	@echo "make lock    resolve the requirements anew"

# Every failure below is one line of what is wrong and one of what mends it.
python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no program named $(PYTHON) here; Emolytics needs Python 3.11 or newer." >&2; \
	  echo "Install it, or name another one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Emolytics needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
	  echo "Install it, or name another one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its venv module is missing." >&2; \
	  echo "On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# The lock is the only source of packages; the project itself is installed from this folder without asking for any.
# A virtual environment that was left half made has no pip that runs, and is made anew.
$(VENV)/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml | python
	@test -w . && { test ! -e $(VENV) || test -w $(VENV); } || { \
	  echo "$$(id -un) may not write in $(CURDIR), where $(VENV) is to be." >&2; \
	  echo "Use a folder of your own, or give this account the right." >&2; exit 1; }
	@echo "Setting up $(VENV); this takes about half a minute the first time."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@{ $(PIP) --require-hashes -r requirements/build.txt -r requirements/run.txt && \
	  $(PIP) --no-deps --no-build-isolation -e .; } || $(NOT_INSTALLED)
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@echo "Installing what the tests and checks need ..."
	@$(PIP) --require-hashes -r requirements/dev.txt || $(NOT_INSTALLED)
	@touch $@

run: $(VENV)/run.stamp
	@exec $(BIN)/emolytics --settings settings.toml run --port $(PORT)

demo: $(VENV)/dev.stamp
	@$(BIN)/python tests/upstreams/install.py
	@PORT=$(PORT) exec $(BIN)/python examples/demo.py

# A worker for each processor; a worker keeps the tests of one file together, and with them the servers they share.
test: $(VENV)/dev.stamp
	@$(BIN)/python tests/upstreams/install.py
	@exec $(BIN)/python -m pytest --numprocesses=auto --dist=loadscope $(PYTEST)

# On a machine that does nothing else; some ten minutes.
bench: $(VENV)/dev.stamp
	@$(BIN)/python tests/upstreams/install.py
	@$(BIN)/python -W ignore -m bench.telling

# Each property is tried 20,000 times, names a million times, with other examples at each run: an hour or more.
FUZZED = $(shell grep -rl --include='test_*.py' '^@given\|^    @given' tests)
fuzz: $(VENV)/dev.stamp
	@$(BIN)/python tests/upstreams/install.py
	@HYPOTHESIS_PROFILE=long exec $(BIN)/python -m pytest --numprocesses=auto --dist=loadscope $(FUZZED) $(PYTEST)

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

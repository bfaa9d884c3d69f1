# `make run` and `make test` set up all they need in .venv and do their work. See README.md.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
ARGS ?=

# A plugin cache of before an install hides what was installed.
REFRESH = find $(VENV) egress twisted -name dropin.cache -delete && $(BIN)/egress plugins >/dev/null && $(BIN)/twistd --help >/dev/null

.PHONY: run test lint types docs tests bench clean

run: $(VENV)/run.stamp
	$(BIN)/twistd --nodaemon --pidfile= egress-proxy $(ARGS)

test: lint types docs tests

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/mypy

# The API pages of interfaces, model, errors and testing, in build/api; [tool.pydoctor] has the settings.
docs: $(VENV)/test.stamp
	$(BIN)/python docs/build_api.py

# TESTS=tests.wire runs a part of them.
TESTS ?= tests
tests: $(VENV)/test.stamp
	$(BIN)/python -m tests.runner $(TESTS)

# ARGS="--only peers --runs 5" and more: bench/README.md.
bench: $(VENV)/run.stamp
	$(BIN)/python bench/run.py $(ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "make: $(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	$(REFRESH)
	touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lint,docs,test,live]'
	$(REFRESH)
	touch $@

clean:
	rm -rf $(VENV) .nox build dist *.egg-info bench/bin _trial_temp* .mypy_cache .ruff_cache .hypothesis

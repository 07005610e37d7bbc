# `make demo` and `make test` need Python 3.10+ and a package index, and make all the rest themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# One sentence, before pip gives fifty; of the interpreter that $(1) is.
define CHECK
@$(1) -c 'import sys; found = tuple(sys.version_info[:2]); found >= (3, 10) or sys.exit("enginebench \
needs Python 3.10 or later, and this is %d.%d (%s); name a later one, as in: make $(2) \
PYTHON=python3.12" % (found + (sys.executable,)))'
endef

.PHONY: demo test bench rehearsal clean

demo: $(VENV)/.cpu
	$(BIN)/enginebench demo

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 2 --cov

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# An hour or more: whole runs of the bundled model, up to a tree for the official checker. It goes on
# where it was stopped; QPS is the Server rate, for a machine that has other things to do; QUICK=1
# walks the same way in minutes, without a tree for the checker.
rehearsal: $(VENV)/.dev
	$(BIN)/python -m tests.rehearsal.full $(if $(CHECKER),--checker $(CHECKER)) $(if $(QPS),--qps $(QPS)) \
		$(if $(QUICK),--quick)

clean:
	rm -rf $(VENV) results

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A stamp is as new as the last installation; a changed pyproject.toml installs again.
$(VENV)/.cpu: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[cpu]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[cpu,dev]'
	touch $@ $(VENV)/.cpu

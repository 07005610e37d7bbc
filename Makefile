# `make demo` and `make test` need Python 3.10+ and a package index, and make all the rest themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test bench rehearsal image container-test clean

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

# With Docker, or with buildah where Docker does not run. IMAGE_FLAGS are flags of their `build`.
image:
	container/build cpu $(IMAGE_FLAGS)

container-test: image
	container/demo

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

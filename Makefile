# `make demo` and `make test` need Python 3.10+ and a package index, and make all the rest themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Of an interpreter: one sentence now is better than fifty of pip's later.
OLD := import sys; found = sys.version_info; found >= (3, 10) or sys.exit( \
	"enginebench needs Python 3.10 or later, and %s is %d.%d; remove $(VENV) if it is there, and name \
	a later one: make $(MAKECMDGOALS) PYTHON=python3.12" % (sys.executable, found[0], found[1]))

.PHONY: demo test bench cluster faults rehearsal image container-test clean

demo: $(VENV)/.cpu
	$(BIN)/enginebench demo

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 2 --dist worksteal --cov

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Two hosts as network namespaces, a Ray on each, their faults, and deploy/ssh.sh: at most fifteen
# minutes; root.
cluster: $(VENV)/.dev
	$(BIN)/pytest -m cluster tests/cluster tests/deploy

# Kills, full disks, little memory, closed streams and hostile files: at most fifteen minutes.
faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults.full $(if $(SEED),--seed $(SEED))

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
	@$(PYTHON) -c '$(OLD)'
	$(PYTHON) -m venv $(VENV)

# A stamp is as new as the last installation; a changed pyproject.toml installs again.
$(VENV)/.cpu: pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -c '$(OLD)'
	@echo "Installing enginebench and its CPU engine in $(VENV): this takes a minute or more."
	$(PIP) --editable '.[cpu]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -c '$(OLD)'
	@echo "Installing enginebench and what its tests need in $(VENV): this takes a minute or more."
	$(PIP) --editable '.[cpu,dev]'
	touch $@ $(VENV)/.cpu

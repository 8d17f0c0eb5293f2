# Two commands set everything up on a fresh machine: `make demo` and `make test`.
# They need python3 (3.10 or newer, with venv) and make; the rest goes into .venv.

PYTHON ?= python3
PORT ?= 8080
FUZZ_SECONDS ?= 600
FUZZ_PLACEMENTS ?= 50000
DAY_SECONDS ?= 3600
# More than there are cores: many tests wait for a process or a time limit.
TEST_PROCESSES ?= 4
CHAOS_KILLS ?= 100
CHAOS_MINUTES ?= 60
CHAOS_SECONDS ?= 60
CHAOS_SEED ?= 1
VENV := .venv
BIN := $(VENV)/bin
comma := ,

.PHONY: help demo test bench lint format fuzz day chaos audit lock clean

help:
	@echo "make demo    the whole service against two simulated clusters, on 127.0.0.1:$(PORT)"
	@echo "             (make demo PORT=9000 takes another port)"
	@echo "make test    every test that this machine can run (as root on Debian: all of them)"
	@echo "make bench   what Clockwork costs, beside baselines and limits (QUICK=1: under a minute;"
	@echo "             BENCH_ROWS=read,rounds: those groups of rows alone)"
	@echo "make lint    formatter, linter and type checker, without changing a file"
	@echo "make format  let the formatter and the linter mend what they can"
	@echo "make fuzz    try to break the reader of scontrol's output: FUZZ_PLACEMENTS=50000 forged texts"
	@echo "             of one attacker and of two, then FUZZ_SECONDS=600 of chance"
	@echo "make day     real clusters come and go, daemons are killed, no job is lost (DAY_SECONDS=3600)"
	@echo "make chaos   try to break the service; the figures go to docs/chaos.md. About 1.5 hours, 1 of"
	@echo "             them of load (make chaos CHAOS_MINUTES=10 CHAOS_KILLS=20 for half an hour)"
	@echo "make audit   look the locked packages up among the known vulnerabilities (needs the network)"
	@echo "make lock    write the lock files anew from pyproject.toml"
	@echo "make clean   remove .venv and what the tools have left"

demo: $(VENV)/runtime
	@exec $(BIN)/clockwork demo --port $(PORT)

test: $(VENV)/development
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadgroup

bench: $(VENV)/development
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(subst $(comma), ,$(BENCH_ROWS))

lint: $(VENV)/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive api clockwork config ingest scraper
	$(BIN)/mypy

format: $(VENV)/development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(VENV)/development
	$(BIN)/python -m tests.fuzz.placements --count $(FUZZ_PLACEMENTS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	$(BIN)/python -m tests.fuzz.fuzz_reader -max_total_time=$(FUZZ_SECONDS)

day: $(VENV)/development
	DAY_SECONDS=$(DAY_SECONDS) $(BIN)/python -m pytest tests/system/test_day.py

chaos: $(VENV)/development
	$(BIN)/python -m tests.chaos --kills $(CHAOS_KILLS) --minutes $(CHAOS_MINUTES) \
	  --away $(CHAOS_SECONDS) --seed $(CHAOS_SEED)

# --strict: a package that the service did not know is no clean one.
audit: $(VENV)/development
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	  -r requirements.lock || { \
	  echo "make: not clean, or no verdict: pip-audit found a vulnerability, or could not ask about" >&2; \
	  echo "      every package (that needs the network); see above" >&2; exit 1; }

# Each stamp says that .venv holds what its lock file names; development holds runtime too.
$(VENV)/runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing what Clockwork needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/development: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing what Clockwork and its tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@ $(VENV)/runtime

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: $(PYTHON) is missing: install Python 3.10 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1): Clockwork needs 3.10 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) can't make virtual environments: install its venv package (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

lock: $(VENV)/development
	$(BIN)/uv pip compile -q --universal --python-version 3.10 --generate-hashes --no-header \
	  --extra embedded --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.10 --generate-hashes --no-header \
	  --extra embedded --extra build --extra test --extra bench -c requirements.lock pyproject.toml \
	  -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.10 --generate-hashes --no-header \
	  --extra embedded --extra build --extra test --extra bench --extra fuzz -c requirements-dev.lock \
	  pyproject.toml -o requirements-fuzz.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

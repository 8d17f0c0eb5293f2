# `make demo` and `make test` set up everything that they need on a fresh machine.
# They need python3 (3.10 or newer, with venv) and make. Everything else is installed into .venv.

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
# Many tests start programs, which would otherwise compile all modules again.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
PYTEST = $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile
comma := ,
# Written by npm when the packages of package-lock.json are installed.
NODE_TOOLS := node_modules/.package-lock.json
BIOME := node_modules/.bin/biome

# The files whose English `make prose` checks.
PROSE := $(wildcard *.md docs/*.md) clockwork.example.toml Makefile $(wildcard systemd/*)

.PHONY: help demo test test-fast coverage bench lint lint-page prose format fuzz day year chaos screenshots audit release lock clean

help:
	@echo "make demo       run the whole service with two simulated clusters, on 127.0.0.1:$(PORT)"
	@echo "                (another port: make demo PORT=9000)"
	@echo "make test       run every test that this machine can run (all of them as root on Debian)"
	@echo "make test-fast  run the tests that need no other program; under a minute on an idle machine"
	@echo "make coverage   run every test and show which lines and branches no test runs"
	@echo "make lint       check format, style, types, unsafe calls, spelling and plain English"
	@echo "make prose      check the English of the documents alone"
	@echo "make format     format the code and fix what the linter can fix"
	@echo "make bench      measure what Clockwork costs, beside baselines and limits; BENCH_MONGO_URI=..."
	@echo "                (QUICK=1: small sizes, a minute or two; BENCH_ROWS=read,rounds: these rows only)"
	@echo "make fuzz       try to break the reader of scontrol's output: FUZZ_PLACEMENTS=50000 forged"
	@echo "                texts of one attacker and of two, outputs that are hard to read, and"
	@echo "                FUZZ_SECONDS=600 of chance"
	@echo "make day        run real clusters for an hour, stop and start everything, lose no job"
	@echo "                (DAY_SECONDS=3600)"
	@echo "make year       a year of a small cluster in half an hour: does memory or the database grow?"
	@echo "make chaos      try to break the service for 1.5 hours; the results go to docs/chaos.md"
	@echo "                (half an hour: make chaos CHAOS_MINUTES=10 CHAOS_KILLS=20)"
	@echo "make screenshots  take pictures of every view of the page, into build/screenshots (needs Chromium)"
	@echo "make audit      look for known vulnerabilities of the locked packages (needs the network)"
	@echo "make release    build the packages of a release into dist, with checksums and a list of what they"
	@echo "                need (needs the network)"
	@echo "make lock       write the lock files again from pyproject.toml (needs the network)"
	@echo "make clean      remove .venv and the files that the tools have left"

demo: $(VENV)/runtime
	@exec $(BIN)/clockwork demo --port $(PORT)

test: $(VENV)/development
	$(PYTEST)

test-fast: TEST_PROCESSES = auto
test-fast: $(VENV)/development
	$(PYTEST) -m "pure and not slow" --hypothesis-profile=fast tests/test_*.py tests/config tests/ingest/slurm \
	  tests/ingest/reading tests/api tests/scraper

# Programs that a test starts are measured too: see [tool.coverage.run] in pyproject.toml.
coverage: $(VENV)/development
	$(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-report=html:build/coverage

bench: $(VENV)/development
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(subst $(comma), ,$(BENCH_ROWS))

lint: $(VENV)/development prose lint-page
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive api clockwork config ingest scraper
	$(BIN)/mypy
	$(BIN)/codespell

# Of the page's JavaScript. Where npm is missing, all other checks are made.
lint-page:
	@if command -v npm >/dev/null; then $(MAKE) -s $(NODE_TOOLS) && $(BIOME) ci api/page; else \
	  echo "make: the JavaScript of the page is not checked: npm is missing (Debian: apt install npm)"; fi

prose: $(VENV)/development
	$(BIN)/python -m tests.prose $(PROSE)

format: $(VENV)/development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	@if command -v npm >/dev/null; then $(MAKE) -s $(NODE_TOOLS) && $(BIOME) check --write api/page; fi

fuzz: $(VENV)/development
	$(BIN)/python -m tests.fuzz.placements --count $(FUZZ_PLACEMENTS)
	$(BIN)/python -m tests.fuzz.growth 5
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	$(BIN)/python -m tests.fuzz.fuzz_reader -max_total_time=$(FUZZ_SECONDS)

day: $(VENV)/development
	DAY_SECONDS=$(DAY_SECONDS) $(BIN)/python -m pytest tests/system/test_day.py

year: $(VENV)/development
	$(BIN)/python -m tests.year

chaos: $(VENV)/development
	$(BIN)/python -m tests.chaos --kills $(CHAOS_KILLS) --minutes $(CHAOS_MINUTES) \
	  --away $(CHAOS_SECONDS) --seed $(CHAOS_SEED)

screenshots: $(VENV)/development
	$(BIN)/python -m tests.page.picture

# --strict: a package that the service does not know counts as a failure.
audit: $(VENV)/development
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	  -r requirements.lock || { \
	  echo "make: pip-audit found a vulnerability, or could not ask about every package" >&2; \
	  echo "      (it needs the network); see above" >&2; exit 1; }

# Each of these two empty files says that .venv holds the packages of its lock file.
# development holds those of runtime too.
$(VENV)/runtime: requirements-embedded.lock pyproject.toml | $(BIN)/python
	@echo "installing what Clockwork needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-embedded.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/development: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing what Clockwork and its tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@ $(VENV)/runtime

$(NODE_TOOLS): package.json package-lock.json
	@echo "installing the tools that check the page into node_modules ..."
	@npm ci --silent
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: $(PYTHON) is missing: install Python 3.10 or newer, or choose another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1): Clockwork needs 3.10 or newer; choose another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make virtual environments: install its venv package (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# The same commit gives the same bytes: the archives bear the time of the commit.
release: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
release: $(VENV)/development
	@[ -z "$$(git status --porcelain)" ] || { \
	  echo "make: there are changes that are not committed: commit them, so that others can build the same" >&2; exit 1; }
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	  --format cyclonedx-json --output dist/sbom.cyclonedx.json -r requirements.lock
	cp requirements.lock requirements-embedded.lock dist
	cd dist && sha256sum * > SHA256SUMS

# Each lock file holds the packages of the one before it, in the same versions.
LOCK = $(BIN)/uv pip compile -q --universal --python-version 3.10 --generate-hashes --no-header pyproject.toml
lock: $(VENV)/development
	$(LOCK) -o requirements.lock
	$(LOCK) --extra embedded --extra build -c requirements.lock -o requirements-embedded.lock
	$(LOCK) --extra embedded --extra build --extra test --extra bench \
	  -c requirements-embedded.lock -o requirements-dev.lock
	$(LOCK) --extra embedded --extra build --extra test --extra bench --extra fuzz \
	  -c requirements-dev.lock -o requirements-fuzz.lock

clean:
	rm -rf $(VENV) node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

# Each target creates .venv and installs hdbench there first; this needs only python3 with venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Streets needs no data. For another dataset: make quickstart BENCHMARK=camvid-quick DATA=FOLDER
# A variable that is empty takes its value from hdbench.toml; without that file the benchmark is
# streets-quick and the workspace ./hdbench-runs.
BENCHMARK ?=
DATA      ?=
WORKSPACE ?=
OUTPUT    ?=
# Number of processes that run the tests; the tests of one file run in one process.
WORKERS   ?= 2
PYTEST     = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
             --max-worker-restart 0

.PHONY: quickstart test test-quick performance lint format clean

# Train, synthesize, score and write the page. Run it again to resume it after a stop.
quickstart: $(VENV)/.installed
	$(BIN)/hdbench quickstart $(if $(BENCHMARK),--benchmark "$(BENCHMARK)") \
	  $(if $(DATA),--data-root "$(DATA)") $(if $(WORKSPACE),--workspace "$(WORKSPACE)")

test: $(VENV)/.installed-test
	$(PYTEST)

test-quick: $(VENV)/.installed-test
	$(PYTEST) -m "not slow"

# What time goes into, on this machine: make performance OUTPUT=FILE.md, or on standard output.
performance: $(VENV)/.installed-test
	$(BIN)/python tests/performance/table.py $(if $(OUTPUT),--output "$(OUTPUT)")

# With Node's usual heap pyright forgets what it has inferred, and takes four times as long.
lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	NODE_OPTIONS=--max-old-space-size=8192 $(BIN)/pyright

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[web]"
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@

$(VENV)/.installed-lint: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,lint]"
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

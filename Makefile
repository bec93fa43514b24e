# Every target makes .venv and installs by itself; python3 with venv is enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Streets needs no data; another benchmark does: make quickstart BENCHMARK=camvid-quick DATA=FOLDER
# What is not set is what hdbench.toml says, else benchmark streets-quick in ./hdbench-runs.
BENCHMARK ?=
DATA      ?=
WORKSPACE ?=
# Processes that share the tests; the tests of one file stay together.
WORKERS   ?= 2

.PHONY: quickstart test test-quick lint format clean

# Train, synthesize, score and draw the page; stopped, it goes on.
quickstart: $(VENV)/.installed
	$(BIN)/hdbench quickstart $(if $(BENCHMARK),--benchmark "$(BENCHMARK)") \
	  $(if $(DATA),--data-root "$(DATA)") $(if $(WORKSPACE),--workspace "$(WORKSPACE)")

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-quick: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@

$(VENV)/.installed-lint: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,lint]"
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

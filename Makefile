# Every target makes .venv and installs by itself; python3 with venv is enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

BENCHMARK ?= camvid-quick

.PHONY: quickstart test test-quick lint format clean

# Train, synthesize, score and draw the page. DATA is CamVid's folder (train/, trainannot/, ...).
quickstart: $(VENV)/.installed
	@test -n "$(DATA)" || { echo "make quickstart DATA=FOLDER: FOLDER holds CamVid's train/ trainannot/ val/ valannot/"; exit 2; }
	$(BIN)/hdbench quickstart --benchmark $(BENCHMARK) --data-root "$(DATA)"

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest

test-quick: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow"

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

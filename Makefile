# Every target sets up all it needs in .venv (versions pinned by constraints.txt) and can be run again.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: demo test test-slow lint bench datagen clean

demo: $(VENV)/.base
	$(BIN)/vidamodal demo --out demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

test-slow: $(VENV)/.dev $(VENV)/.datagen $(VENV)/.ray
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow or blender or needs"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.base
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.dev.bench

datagen: $(VENV)/.datagen
	$(BIN)/python -m dataset_gen --help

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) --editable ".[dev]"
	touch $@

$(VENV)/.ray: $(VENV)/.base
	$(PIP) --editable ".[ray]"
	touch $@

# Kubric declares TensorFlow and Beam, which nothing used here calls: it comes without its dependencies (1.6 GB, not 4.3).
$(VENV)/.datagen: $(VENV)/.base dataset_gen/requirements.txt
	$(PIP) -r dataset_gen/requirements.txt
	$(PIP) --no-deps kubric-nightly==2023.12.27
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache

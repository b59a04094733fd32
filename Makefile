# Every target installs what it needs into .venv, in the versions of constraints.txt, and can be run again.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
CONSTRAINTS := constraints.txt
BIN := $(VENV)/bin
TEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c $(CONSTRAINTS)
# Without this mode, a folder named vidamodal in the working directory, such as the clone, hides the installed package.
EDITABLE := --config-settings editable_mode=compat --editable

.PHONY: demo app test test-lowest coverage test-slow test-pages lint bench audit datagen docs clean

# Predict the bundled clip and score the result.
demo: $(VENV)/.base
	$(BIN)/vidamodal demo --out demo

# Open the page on which videos are completed and corrected.
app: $(VENV)/.app
	$(BIN)/vidamodal app

test: $(VENV)/.dev
	$(TEST) --numprocesses 2 --dist loadfile

# The same tests with the lowest versions that pyproject.toml allows, in a separate environment.
test-lowest:
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

# The same tests with line coverage, which makes them 30 to 45 % slower.
coverage: $(VENV)/.dev
	$(TEST) --numprocesses 2 --dist loadfile --cov=vidamodal --cov=dataset_gen --cov-report=term:skip-covered

# Tests that train, render or launch processes.
test-slow: $(VENV)/.dev $(VENV)/.datagen $(VENV)/.ray $(VENV)/.onnx
	$(TEST) -m "slow or blender or needs"

# Tests that drive the pages in a browser, where Chromium is installed.
test-pages: $(VENV)/.dev $(VENV)/.browser
	$(TEST) -m needs tests/app tests/report

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.base
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.dev.bench

# Known vulnerabilities of the pinned versions, from a data base on the network, and the licences of what is installed.
audit: $(VENV)/.dev $(VENV)/.audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip
	$(BIN)/python -m scripts.dev.licences

# Install what data generation needs.
datagen: $(VENV)/.datagen
	$(BIN)/python -m dataset_gen --help

# Build the documentation into build/site; broken links are errors.
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(BIN)/python pyproject.toml $(CONSTRAINTS)
	$(PIP) $(EDITABLE) .
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) $(EDITABLE) ".[dev]"
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(PIP) $(EDITABLE) ".[docs]"
	touch $@

$(VENV)/.ray: $(VENV)/.base
	$(PIP) $(EDITABLE) ".[ray]"
	touch $@

$(VENV)/.onnx: $(VENV)/.base
	$(PIP) $(EDITABLE) ".[onnx]"
	touch $@

# Gradio declares pillow below 13, and works with the pinned one.
$(VENV)/.app: $(VENV)/.base vidamodal/app/requirements.txt
	$(PIP) -r vidamodal/app/requirements.txt
	$(PIP) --no-deps gradio
	touch $@

$(VENV)/.audit: $(VENV)/.base
	$(PIP) pip-audit
	touch $@

$(VENV)/.browser: $(VENV)/.app
	$(PIP) playwright
	touch $@

# Kubric declares TensorFlow and Beam, which are not used here: without its dependencies it takes 1.6 GB, not 4.3.
$(VENV)/.datagen: $(VENV)/.base dataset_gen/requirements.txt
	$(PIP) -r dataset_gen/requirements.txt
	$(PIP) --no-deps kubric-nightly==2023.12.27
	touch $@

clean:
	rm -rf $(VENV) .venv-lowest demo build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .coverage

# make report: the main job on the embedded model. make test, make lint: what has to pass. Each sets up all that it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: report test lint format lock bench clean

report: .venv/.run
	$(BIN)/reportgen build prompts.yaml --results results

test: .venv/.test node_modules/.installed
	scripts/install-chromium
	$(BIN)/reportgen models --fetch smollm2-135m
	npm run --silent test
	$(BIN)/python -m pytest

lint: .venv/.lint node_modules/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	npm run --silent types
	npm run --silent lint
	$(BIN)/djlint --lint --quiet templates

format: .venv/.lint node_modules/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	npx biome check --write

bench: .venv/.test
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/page.py
	$(BIN)/python benchmarks/index.py
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/capture.py
	$(BIN)/python benchmarks/batches.py
	$(BIN)/python benchmarks/induction.py

# What pip resolved, pinned for everyone. A local build tag such as +cpu is left out: it names one machine's torch.
lock:
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	echo '# The versions that tests and pages were last seen to work with; make lock resolves them anew.' > constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' >> constraints.txt
	touch .venv/.run .venv/.test .venv/.lint

clean:
	rm -rf .venv node_modules .pytest_cache .ruff_cache .hypothesis
	find results -mindepth 1 ! -name README.md ! -name .gitignore -delete

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	touch $@

.venv/.test: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[test,lint]'
	touch .venv/.run .venv/.lint $@

.venv/.lint: .venv/.test
	touch $@

node_modules/.installed: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

# make report: the main job on the bundled model. make test, make lint: what has to pass. make quick: the tests that need
# neither a browser nor a model. Each sets up all that it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCKED := $(PIP) --no-deps --require-hashes --requirement
# Pinned by version alone: requirements/README.md says why.
TORCH := $(PIP) --constraint requirements/constraints.txt torch
OURS := $(PIP) --no-deps --no-build-isolation --editable .
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--constraint requirements/constraints.txt
COMPILE := $(LOCK) --override requirements/overrides.in pyproject.toml requirements/extra.in

# What versions of dependencies decide: files that are read, networks that are run, pages that are drawn.
LOWEST := $(addprefix tests/,prompts models instrumentation captures evidence pages records cli \
	build/test_build.py build/test_rerender.py project/test_packaging.py)

# Tests side by side; whoever is done takes some of what others have left. T names a part: make test T=tests/build/test_build.py
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal
QUICK := not browser and not docs and not engines and not model and not system
T ?=

LINTS := lint-python lint-types lint-scripts lint-templates lint-repository

.PHONY: report test quick lint $(LINTS) lowest format lock bench clean

report: .venv/.run
	$(BIN)/reportgen build prompts.yaml --results results $(if $(SITE_URL),--site-url '$(SITE_URL)')

test: .venv/.test tests/js/node_modules/.installed
	tests/install-browsers
	$(BIN)/reportgen models --fetch smollm2-135m
	$(if $(T),,node --test tests/js/*.test.js)
	$(PYTEST) $(T)

quick: .venv/.test
	$(if $(T),,node --test tests/js/*.test.js)
	$(PYTEST) -m '$(QUICK)' $(T)

# Its parts side by side, each with its output in one piece; all of them, also where one fails.
lint: .venv/.lint tests/js/node_modules/.installed
	@$(MAKE) --no-print-directory --jobs 3 --output-sync --keep-going $(LINTS)

lint-python:
	$(BIN)/python -m pip --disable-pip-version-check check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

lint-types:
	tests/js/node_modules/.bin/pyright

lint-scripts:
	tests/js/node_modules/.bin/biome ci
	tests/js/node_modules/.bin/tsc --project tests/js

lint-templates:
	$(BIN)/djlint --lint --quiet templates

# What only looks at the repository: tables, links, the reference, pins, workflows.
lint-repository:
	$(BIN)/python -m pytest --quiet --override-ini python_files='check_*.py' tests/repository

# The oldest versions that pyproject.toml allows, in an environment of their own.
lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/release.txt
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable '.[test]'
	.venv-lowest/bin/reportgen models --fetch smollm2-135m
	.venv-lowest/bin/python -m pytest --numprocesses auto $(LOWEST)

format: .venv/.lint tests/js/node_modules/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	tests/js/node_modules/.bin/biome check --write

bench: .venv/.test
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/draw.py
	$(BIN)/python benchmarks/page.py
	$(BIN)/python benchmarks/index.py
	$(BIN)/python benchmarks/heads.py
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/capture.py
	$(BIN)/python benchmarks/batches.py
	$(BIN)/python benchmarks/induction.py
	$(BIN)/python benchmarks/resume.py
	$(BIN)/python benchmarks/scaling.py

# What pip resolved, pinned for everyone. A local build tag such as +cpu is left out: it names one machine's torch.
lock:
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	echo '# The versions that tests and pages were last seen to work with; make lock resolves them anew.' > requirements/constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' >> requirements/constraints.txt
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --output-file requirements/run.txt
	$(COMPILE) --extra test --extra lint --output-file requirements/test.txt
	$(LOCK) requirements/release.in --output-file requirements/release.txt
	$(BIN)/python -m pip uninstall --quiet --yes uv
	touch .venv/.run .venv/.test .venv/.lint

clean:
	rm -rf .venv .venv-lowest tests/js/node_modules .pytest_cache .ruff_cache .hypothesis
	find results -mindepth 1 ! -name README.md ! -name .gitignore -delete

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: pyproject.toml requirements/constraints.txt requirements/run.txt | .venv/bin/python
	$(LOCKED) requirements/run.txt
	$(TORCH)
	$(OURS)
	touch $@

.venv/.test: pyproject.toml requirements/constraints.txt requirements/test.txt | .venv/bin/python
	$(LOCKED) requirements/test.txt
	$(TORCH)
	$(OURS)
	touch .venv/.run .venv/.lint $@

.venv/.lint: .venv/.test
	touch $@

tests/js/node_modules/.installed: tests/js/package.json tests/js/package-lock.json
	npm ci --prefix tests/js --silent --no-audit --no-fund
	touch $@

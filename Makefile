# make study [STUDY=studies/x.toml]   set up, then run a study       make test       set up, then the fast tests
# make ui                             the MLflow UI over runs/        make test-all   the slow tier as well
STUDY ?= studies/digits-mlp.toml
PYTHON ?= python3
BIN := .venv/bin

.PHONY: study test test-all ui lint setup lock

study: .venv/ready
	$(BIN)/workbench run $(STUDY) $(ARGS)

# Two workers, a file to each: most of the time goes to compiling.
test: .venv/ready
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

test-all: .venv/ready
	$(BIN)/pytest -n 2 --dist loadfile -m "" $(ARGS)

ui: .venv/ready
	$(BIN)/workbench ui

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "workbench needs Python 3.11 or newer; pass PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

# Needs uv; one lock for every supported Python, without addresses.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra dev --extra postgres pyproject.toml -o requirements.lock

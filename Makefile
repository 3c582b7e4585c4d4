# make study [STUDY=studies/x.toml]   set up, then run a study       make test       set up, then the fast tests
# make ui                             the MLflow UI over runs/        make test-all   the slow tier as well
# make up / down                      the servers of docker compose, started and stopped; volumes stay
# make backup / restore               their databases, artifacts and studies, to and from BACKUP=folder
STUDY ?= studies/digits-mlp.toml
PYTHON ?= python3
BIN := .venv/bin
COMPOSE ?= docker compose

.PHONY: study test test-all ui lint setup lock up down backup restore

study: .venv/ready
	$(BIN)/workbench run $(STUDY) $(ARGS)

# Two workers, a file to each: most of the time goes to compiling.
test: .venv/ready
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-all: .venv/ready
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "" $(ARGS)

ui: .venv/ready
	$(BIN)/workbench ui

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "workbench needs Python 3.11 or newer; pass PYTHON=/path/to/python3.11")'
	@echo "installing into .venv what requirements.lock names, 1.5 GB: a minute or two"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

# Needs uv; one lock for every supported Python, without addresses.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra dev --extra postgres --extra cluster pyproject.toml -o requirements.lock

up: .env
	$(COMPOSE) up --detach --build --wait postgres mlflow

down:
	$(COMPOSE) --profile '*' down

# A password of this installation's own, which nobody else can read; never replaced.
.env:
	(umask 077 && $(PYTHON) -c 'import secrets; print("POSTGRES_PASSWORD=" + secrets.token_urlsafe(24))' > $@.part)
	mv $@.part $@

BACKUP ?= backups/$(shell date +%Y%m%d-%H%M%S)
BACKUP := $(BACKUP)
TAR = $(COMPOSE) run --rm --no-deps --no-TTY --entrypoint tar
backup:
	test ! -e $(BACKUP)
	mkdir -p $(BACKUP).part
	$(COMPOSE) exec -T postgres pg_dump -U workbench -Fc workbench > $(BACKUP).part/workbench.dump
	$(COMPOSE) exec -T postgres pg_dump -U workbench -Fc postgres > $(BACKUP).part/mlflow.dump
	$(TAR) study -C /runs -c . > $(BACKUP).part/runs.tar
	$(TAR) mlflow -C /artifacts -c . > $(BACKUP).part/artifacts.tar
	mv $(BACKUP).part $(BACKUP)
	@echo "$(BACKUP) is written; make restore BACKUP=$(BACKUP) brings it back"

# Replaces what is there; stop studies and workers first.
RESTORED = $(COMPOSE) exec -T postgres pg_restore -U workbench --clean --if-exists --single-transaction -d
restore: .env
	test -d $(BACKUP) || { echo "restore needs a folder that make backup wrote: make restore BACKUP=..."; exit 2; }
	$(COMPOSE) up --detach --build --wait postgres
	$(COMPOSE) stop mlflow
	$(RESTORED) workbench < $(BACKUP)/workbench.dump
	$(RESTORED) postgres < $(BACKUP)/mlflow.dump
	$(TAR) study -C /runs -x < $(BACKUP)/runs.tar
	$(TAR) mlflow -C /artifacts -x < $(BACKUP)/artifacts.tar
	$(COMPOSE) up --detach --wait postgres mlflow

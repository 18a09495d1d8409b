# Everything here makes and uses its own .venv; nothing else is installed and nothing needs root.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo up down test chaos bench check format lock clean help

help: ## Say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

demo: $(READY) ## Run the flight_delay model on one real day, through Airflow, on the local AWS
	@$(BIN)/stepbridge demo

up: $(READY) ## Start Airflow and the local AWS and leave them running
	@$(BIN)/stepbridge up

down: $(READY) ## End what `make up` started
	@$(BIN)/stepbridge down

test: $(READY) ## Run all tests, two files at a time; last those with a whole Airflow, 50 runs of chaos among them
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/unit tests/contract tests/integration; \
	first=$$?; $(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/e2e tests/chaos/test_storm.py && exit $$first

chaos: $(READY) ## Stop, kill and crash a real Airflow in the middle of 1,000 runs (an hour or more; CHAOS_RUNS=50 for less)
	@CHAOS_RUNS=$${CHAOS_RUNS:-1000} $(BIN)/python -m pytest -s tests/chaos

bench: $(READY) ## Measure speed and memory beside what is used otherwise (20 minutes; BENCH=quick: 3)
	@$(BIN)/python -m tests.bench $(BENCH)

check: $(READY) ## Lint, format, types, import directions, and that every DAG imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint infra/stack.yaml
	$(BIN)/python -m pytest -q tests/integration/dag_factory -k "import or loader"

format: $(READY) ## Format the code and mend what ruff can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: ## Resolve the dependencies anew into requirements.lock
	uv pip compile -q --generate-hashes --no-header --no-emit-index-url --python-version 3.11 \
	    --extra local --extra dev pyproject.toml -o requirements.lock

clean: ## Remove the virtual environment and all local state
	rm -rf $(VENV) .stepbridge

# uv is taken from the machine, or fetched by pip into the new environment.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and f"{sys.executable}: found Python {sys.version.split()[0]}; expected 3.11, which requirements.lock is made for; name one with make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing requirements.lock into $(VENV)"
	@uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then $(BIN)/python -m pip install --quiet --disable-pip-version-check uv && uv=$(BIN)/uv; fi; \
	$$uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
	$$uv pip install --quiet --python $(BIN)/python --no-deps --editable ./local --editable .
	@touch $@

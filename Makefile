# All targets create and use .venv in this folder. Nothing else is installed, and nothing needs root.
# The Python is the newest supported one of this machine; make PYTHON=/path/to/python uses another.
PYTHON ?= $(shell .ci/pythons | head -n 1)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Where the environment forbids to keep compiled modules, each process would compile all of Airflow again: five seconds.
export PYTHONDONTWRITEBYTECODE =

# If the Python of .venv no longer exists, .venv is created again.
BROKEN := $(shell test ! -e $(READY) || $(BIN)/python -c '' 2>/dev/null || echo yes)

.PHONY: demo up down test test-all test-pythons chaos bench conformance check format lock scikit-images wheels clean help force

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

demo: $(READY) ## Run the flight_delay model on one real day, through Airflow, on the local AWS
	@$(BIN)/stepbridge demo

up: $(READY) ## Start Airflow and the local AWS and leave them running
	@$(BIN)/stepbridge up

down: $(READY) ## Stop what `make up` started
	@$(BIN)/stepbridge down

# Runs the tests of both distributions, one after the other. A process takes a new test when it has none left. Tests that
# share something expensive are in one xdist_group, and run in the same process. Short tests sometimes wait, so four
# processes keep two cores busy. Of long tests two do: each of them starts much by itself.
PYTEST = python -m pytest --dist loadgroup --numprocesses
define tests
@(cd local && ../$(BIN)/$(PYTEST) $(1)); local=$$?; $(BIN)/$(PYTEST) $(1) && exit $$local
endef

test: $(READY) ## Run the tests, some of them with a real Airflow
	$(call tests,4 -m "not long")

test-all: $(READY) ## Run the long tests: many faults at once, restarts, large inputs, Docker
	$(call tests,2 -m long)

test-pythons: $(READY) ## Run the unit tests on every Python 3.11, 3.12 and 3.13 of this machine, including those of pyenv and uv
	@failed=; for python in $$(.ci/pythons --all); do \
	    venv=$(VENV)-$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "Unit tests with $$python"; \
	    $(BIN)/uv venv --quiet --allow-existing --python $$python $$venv && \
	    $(BIN)/uv pip sync --quiet --python $$venv/bin/python --require-hashes requirements.lock && \
	    $(BIN)/uv pip install --quiet --python $$venv/bin/python --no-deps --no-build-isolation \
	        --editable ./local --editable . && \
	    $$venv/bin/python -m pytest -q --numprocesses 2 -p no:cacheprovider tests/unit && \
	    (cd local && ../$$venv/bin/python -m pytest -q --numprocesses 2 -p no:cacheprovider tests/unit) \
	    || failed="$$failed $$python"; \
	done; test -z "$$failed" || { echo "Unit tests failed with:$$failed"; exit 1; }

chaos: $(READY) ## Stop, kill and crash a real Airflow during 1,000 runs (an hour or more; CHAOS_RUNS=50 for fewer)
	@CHAOS_RUNS=$${CHAOS_RUNS:-1000} $(BIN)/python -m pytest -s tests/chaos

bench: $(READY) ## Compare speed and memory with the alternatives (20 minutes; BENCH=quick: 3; BENCH=smallest: only to see that it works)
	@$(BIN)/python -m tests.bench $(BENCH)

conformance: $(READY) ## Replay executions that AWS recorded, from RECORDS=FOLDER, against the local AWS
	@$(BIN)/python .ci/conformance "$(RECORDS)"

check: $(READY) ## Lint, format, types, import directions, and that every DAG imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/lint-imports --config local/pyproject.toml
	$(BIN)/deptry plugins
	cd local && ../$(BIN)/deptry . --extend-exclude tests
	$(BIN)/cfn-lint infra/stack.yaml
	$(BIN)/python -m pytest -q tests/integration/dag_factory -k "import or loader"

format: $(READY) ## Format the code and apply ruff's fixes
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: $(READY) ## Resolve the dependencies of both distributions into requirements.lock, for all Pythons
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --extra lineage --extra postgres --extra dev pyproject.toml local/pyproject.toml -o requirements.lock

scikit-images: $(READY) ## Update stepbridge's table of scikit-learn images from the SageMaker SDK
	$(BIN)/python .ci/scikit-images

wheels: $(READY) ## Build the wheels and source distributions of both distributions into dist/
	$(BIN)/uv build --quiet --no-build-isolation --out-dir dist .
	$(BIN)/uv build --quiet --no-build-isolation --out-dir dist ./local

clean: ## Remove the virtual environment and all local state
	rm -rf $(VENV) $(VENV)-3.* .stepbridge

# pip installs uv as requirements.lock pins it, and uv installs the rest. The marker file contains the version of Python
# and is written last. So an incomplete .venv, or one of another Python, is created again.
$(READY): requirements.lock pyproject.toml local/pyproject.toml $(if $(BROKEN),force)
	@test -n "$(PYTHON)" || { \
	    echo "No Python 3.11, 3.12 or 3.13 with venv was found. Install one:"; \
	    echo "  Debian, Ubuntu   apt install python3 python3-venv"; \
	    echo "  macOS            brew install python@3.13"; \
	    echo "  anywhere         uv python install 3.13, or pyenv install 3.13"; \
	    echo "or name one: make PYTHON=/path/to/python"; exit 1; }
	@version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \
	case $$version in 3.11|3.12|3.13) ;; *) \
	    echo "$(PYTHON): found Python $$version; expected 3.11, 3.12 or 3.13"; exit 1;; esac; \
	made=$$(cat $@ 2>/dev/null); rm -f $@; \
	if [ "$$made" != "$$version" ] || ! $(BIN)/python -c ''; then \
	    rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) || exit 1; \
	fi; \
	echo "Installing requirements.lock into $(VENV) for Python $$version"; \
	awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock >$(VENV)/uv.lock && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock && \
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable ./local --editable . && \
	echo "$$version" >$@

force:

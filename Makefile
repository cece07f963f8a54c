# Every command sets up what it needs first; nothing left to do takes less than a second.
# ARGS goes to the command: make demo ARGS="--repeats 1", make test ARGS="-k uris".

SHELL := bash
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=
# Packages are compiled when they are first imported. Where that is not kept, each program compiles
# pandas again, for two seconds.
unexport PYTHONDONTWRITEBYTECODE
# JupyterLab refuses to run as root unless it is told that this is meant.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## Set up all that the lab needs: Debian packages, and Python in .venv
	@.ci/setup

.PHONY: setup-dev
setup-dev:
	@.ci/setup --dev

.PHONY: setup-image
setup-image:
	@.ci/setup --image

.PHONY: demo
demo: setup-image ## Migrate a guest live between two hosts, in both modes, and report
	@$(BIN)/migrationlab demo $(ARGS)

.PHONY: lab
lab: setup-image ## Open the notebooks in JupyterLab
	@$(BIN)/jupyter lab $(AS_ROOT) --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(ARGS)

# Live tests often wait, so three processes keep two CPUs busy. tests/conftest.py says in which order.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder

.PHONY: test
test: setup-dev ## Run the tests
	@$(PYTEST) $(ARGS)

.PHONY: test-all
test-all: setup-dev ## Run the tests, also those that take long
	@$(PYTEST) --thorough $(ARGS)

.PHONY: fuzz
fuzz: setup-dev ## Try many stored runs, designs and arguments that nobody thought of
	@MIGRATIONLAB_FUZZ=3000 $(BIN)/python -m pytest --numprocesses 2 tests/unit/fuzz $(ARGS)

.PHONY: lint
lint: setup-dev ## Check style, types and the import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: bench
bench: setup-dev ## Measure what the README states, on this machine
	@PYTHONPATH=tests $(BIN)/python -m bench.run $(ARGS)

.PHONY: soak
soak: setup-dev ## Migrate a guest 1,000 times, with random plans and small faults (about an hour)
	@PYTHONPATH=tests $(BIN)/python -m bench.soak $(ARGS)

.PHONY: matrix
matrix: setup-dev ## Migrate between hosts of four releases, in all directions
	@$(BIN)/migrationlab matrix $(ARGS)

.PHONY: clean
clean: ## Remove what was made in this folder (images stay in the user's cache)
	rm -rf .venv build demo-output helpers/*.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find helpers notebooks tests -name __pycache__ -prune -exec rm -rf {} +

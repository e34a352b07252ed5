# The commands of the README and of CI. Paths are relative, so a checkout may live under a name with spaces.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
PYTHON ?=
export PYTHON
# Containers often set it. Each process that starts here would compile every library it loads anew: most of the time of a start.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv/bin/python
# Most tests wait for processes that they started: four files at a time keep two processors busy. A file's tests stay together:
# they share what is slow to start. They run in the order of their folders, the slowest first (tests/conftest.py): by number, as is usual, a file of
# few long tests would be what all wait for.
PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder
INSTALL := @PYTHON="$(PYTHON)" sh requirements/install.sh
LOCK := $(VENV) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url
# Programs that no package holds.
SCRIPTS := .github/scripts/retrain.py deploy/smoke.py
# Knows the schemas without a connection.
SCHEMA := .venv/bin/check-jsonschema --builtin-schema
DERIVED_LOCKS := gateway scorer trainer monitor stack bench

.PHONY: help up down dev train test test-docker test-delivery test-compose coverage torture check bench lock lock-rivals clean stack-venv dev-venv bench-venv

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

up: stack-venv ## start everything in the foreground; Ctrl-C drains and ends it
	@exec $(VENV) -m tasador up

down: ## end the running stack from another terminal
	@if [ -x $(VENV) ]; then exec $(VENV) -m tasador down; else echo "Nothing runs: there is no .venv."; fi

dev: stack-venv ## as `up`, and restart a service when its code changes
	@exec $(VENV) -m tasador up --reload

train: stack-venv ## train a model now and promote it if it is better
	@exec $(VENV) -m tasador train

test: dev-venv ## run the whole suite
	@$(VENV) -m pytest tests $(PARALLEL) $(ARGS)

coverage: dev-venv ## as `test`, and measure coverage, of the started processes too (slower)
	@$(VENV) -m pytest tests $(PARALLEL) --cov --cov-config=tests/processes.coveragerc --cov-report=term:skip-covered $(ARGS)

test-docker: test-delivery test-compose ## run the tests that need a Docker engine: the next two

test-delivery: dev-venv ## delivery on the public images of Redis and Valkey
	@$(VENV) -m pytest tests -m "docker and delivery" $(PARALLEL) $(ARGS)

test-compose: dev-venv ## the compose file, from outside, and the configuration of what watches it
	@$(VENV) -m pytest tests -m "docker and not delivery" $(ARGS)

torture: dev-venv ## kill, pause and flush while 100,000 rows are scored, with three seeds (8 minutes)
	@$(VENV) -m pytest tests/chaos -m torture --no-cov -v $(ARGS)

check: dev-venv ## lint, format, types, import contracts, workflows: what CI checks
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m mypy
	@$(VENV) -m mypy $(SCRIPTS)
	@.venv/bin/lint-imports
	@$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	@$(SCHEMA) custom.github-workflows-require-timeout .github/workflows/*.yml
	@$(SCHEMA) vendor.github-actions .github/actions/*/action.yml
	@$(SCHEMA) vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	@$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(SCHEMA) vendor.dependabot .github/dependabot.yml
	@$(SCHEMA) vendor.compose-spec docker-compose.yml
	@.venv/bin/zizmor --quiet --offline --pedantic --strict-collection .github

bench: bench-venv ## measure, print the tables, and fill docs/benchmarks.md from them
	@$(VENV) -m benchmarks $(ARGS)

lock: dev-venv ## recompile requirements/*.txt from pyproject.toml; with ARGS=--upgrade to the newest versions
	@for extra in dev $(DERIVED_LOCKS); do \
		echo "requirements/$$extra.txt"; \
		constraint=; [ $$extra = dev ] || constraint="-c requirements/dev.txt"; \
		$(LOCK) $(ARGS) --extra $$extra $$constraint pyproject.toml -o requirements/$$extra.txt || exit 1; \
	done
	@echo requirements/bootstrap.txt
	@echo uv | $(LOCK) $(ARGS) - -o requirements/bootstrap.txt

lock-rivals: dev-venv ## recompile requirements/rivals/*.txt, the servers that `bench` measures ours beside
	@for rival in requirements/rivals/*.in; do \
		echo "$$rival"; \
		$(LOCK) $(ARGS) $$rival -o $${rival%.in}.txt || exit 1; \
	done

clean: ## remove .venv, caches and the stack's state (.tasador: models, jobs, history)
	@if [ -f .tasador/stack.json ] && [ -x $(VENV) ]; then $(VENV) -m tasador down; fi
	@rm -f shared/kernel/*.so
	@rm -rf .venv .tasador .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

stack-venv:
	$(INSTALL) stack

dev-venv:
	$(INSTALL) dev

bench-venv:
	$(INSTALL) bench

# Two targets are enough: `make run` serves, `make test` tests. Both set up what they need first.
.DEFAULT_GOAL := help
.PHONY: help run test test-quick test-pythons endurance lint docs setup setup-dev lock audit clean

VENV ?= .venv
export VENV
# Where the environment forbids bytecode, each of the hundreds of services that the tests start would
# compile the whole project, and each worker all tests: half a second and six seconds of CPU.
unexport PYTHONDONTWRITEBYTECODE
# Under our own init: some tests orphan processes, and who reaps them must not be left to chance.
# Two plugins come with packages that are here for something else: no test uses them, and both take
# time for each test that is collected.
ALONE = $(VENV)/bin/poster-init -- $(VENV)/bin/python -m pytest -p no:schemathesis -p no:anyio
# Three workers (pytest-xdist) share the files of tests: with two, which often wait for a timeout or a
# page, a third of two cores is idle. JOBS=0 runs all in one process, for a debugger.
JOBS ?= 3
PYTEST = $(ALONE) -n $(JOBS) --dist loadfile --no-loadscope-reorder

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: setup ## set up what is missing, then serve on http://127.0.0.1:8080 (ARGS="--port 9000" for more)
	@exec $(VENV)/bin/poster-service serve $(ARGS)

test: setup-dev lint ## set up what is missing, then lint, types, every test
	$(PYTEST) $(ARGS)

test-quick: setup-dev ## the tests that take seconds
	$(PYTEST) -m "not slow and not endurance" $(ARGS)

test-pythons: setup-dev ## what proves that every other Python (3.12, 3.13) of this machine works
	@tools/pythons.sh

endurance: setup-dev ## the long proofs, several hours: run them before a release
	$(ALONE) -m endurance $(ARGS)

lint: setup-dev ## format, lint, types, the ladder of imports
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: setup-dev ## write what the docs generate, build the site into dist/site; a dead link fails
	$(VENV)/bin/python -m tools.docs
	$(VENV)/bin/zensical build --clean --strict

setup: ## only set up, for running
	@tools/setup.sh run

setup-dev: ## only set up, for tests
	@tools/setup.sh dev

lock: ## write the lock files again (needs uv; ARGS=--upgrade for the newest versions)
	tools/lock.sh $(ARGS)

audit: ## known holes in the locked versions, and what of that could not be checked (ARGS=--offline)
	tools/audit.sh $(ARGS)

clean: ## remove what was made here
	rm -rf $(VENV) .venv-python dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

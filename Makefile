# The commands of the project; `make` alone lists them.
# Needs Python >= 3.11 and make. Everything else is installed into .venv from requirements.lock.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test faults thorough image screenshots bench lint format lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv and install, from hashes
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "otel-evalgate needs Python 3.11 or newer; none was found. Set PYTHON=/path/to/python3."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "creating $(VENV) failed; on Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	@echo "installing into $(VENV) (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## walk the whole loop on this terminal: spans in, failures labelled, a red gate, a green gate
	@$(BIN)/evalgate demo

test: setup ## run the tests
	@$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=loadfile

faults: setup ## run every fault of docs/reliability.md: kills, power cuts, bad disks, hostile input; under 40 minutes
	@$(BIN)/python tests/faults/run.py

thorough: setup ## run what takes long and finds little that the tests do not: about ten minutes
	@$(BIN)/python -m pytest --faults -m thorough --numprocesses=logical --maxprocesses=8 --dist=loadfile

image: setup ## make what the container image holds in a clean folder, and try it: a few minutes, no container engine
	@$(BIN)/python -m pytest tests/deploy/test_image.py

screenshots: setup ## pictures of every page into docs/images/, of a service that a team has worked with: four minutes, needs Chromium
	@$(BIN)/python tests/web/screenshots.py

bench: setup ## measure everything, beside Rotel and Phoenix: about half an hour
	@$(BIN)/python bench/everything.py

lint: setup ## ruff and mypy --strict
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: setup ## let ruff lay out the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: ## resolve requirements.lock anew, for every platform and Python
	@$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install --quiet uv
	@$(VENV)/lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --extra dev --upgrade \
		--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements.lock
	@# Of the container image: what the collector needs, in the same versions; and what builds it.
	@$(VENV)/lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --extra collector \
		--constraints requirements.lock --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" -o deploy/image/collector.lock
	@printf 'hatchling\npip\n' | $(VENV)/lock/bin/uv pip compile - --quiet --universal --python-version 3.11 \
		--constraints requirements.lock --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" -o deploy/image/build.lock

clean: ## remove what the commands above made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

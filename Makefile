# Every target works from a bare checkout: it installs what it needs first.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo up down browser test lint format bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## create .venv from the hash-locked requirements

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Ballast needs Python 3.11 (set PYTHON=/path/to/python3.11)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Ballast needs Python 3.11, $(PYTHON) is another version"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing locked dependencies into $(VENV) (two to four minutes the first time)"
	@# The lock is complete: nothing is left to resolve, and what a newer release would change cannot slip in.
	$(BIN)/pip install --disable-pip-version-check --progress-bar on --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@# PyICU is there under the name of its wheels, which pip cannot know.
	@! $(BIN)/pip --disable-pip-version-check check | grep -Ev 'requires pyicu, which is not installed|No broken requirements'
	@touch $(STAMP)

demo: $(STAMP) ## run the whole chain once and print it (PRICES=<folder of ASSET.csv> for real closes)
	$(BIN)/ballast demo $(if $(PRICES),--prices $(PRICES))

up: $(STAMP) ## start everything and leave it running (PRICES=<folder> for real closes)
	$(BIN)/ballast up $(if $(PRICES),--prices $(PRICES))

down: $(STAMP) ## stop what `make up` started
	$(BIN)/ballast down

browser: ## install Debian's chromium for the browser tests, where this user may
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
	    echo "No chromium here: the browser tests will skip. Install it with: sudo apt-get install chromium"

test: $(STAMP) browser ## run the whole test suite
	@# A third process works while two wait. Hundreds of processes start: they keep compiled what they share.
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadgroup --durations 25

lint: $(STAMP) ## formatting, types, import law, SQL for BigQuery, Dagster definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/sqlfmt --check --no-progressbar dbt_project
	$(BIN)/python -m infra.sqlcheck
	DAGSTER_DISABLE_TELEMETRY=yes $(BIN)/dg check defs

format: $(STAMP) ## put Python and SQL into the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/sqlfmt --no-progressbar dbt_project

bench: $(STAMP) ## run the benchmarks of tests/perf, each beside a reference
	@for script in tests/perf/bench_*.py; do echo "== $$script"; $(BIN)/python -W ignore $$script || exit 1; done

clean: ## remove the environment and caches (local data stay: see `ballast reset`)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info

# `make` alone prints what there is.
SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml --group build

.DEFAULT_GOAL := help
.PHONY: help run test check fmt docs bench kill lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.run: requirements.lock pyproject.toml scripts/venv.sh
	@scripts/venv.sh requirements.lock && touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml scripts/venv.sh
	@scripts/venv.sh requirements-dev.lock && touch $@ $(VENV)/.run

run: $(VENV)/.run ## install into .venv and start Offhook with an embedded PostgreSQL
	@exec $(BIN)/offhook up

test: $(VENV)/.dev ## everything that must hold: style, types, floors, tests (under 12 minutes on two cores)
	@$(MAKE) --no-print-directory check
	@$(BIN)/pytest -n $(if $(OFFHOOK_TEST_DATABASE_URL),1,2) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.dev ## style, types and floors
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

fmt: $(VENV)/.dev ## rewrite the code in the house style
	@$(BIN)/ruff check --fix-only . && $(BIN)/ruff format .

docs: $(VENV)/.run ## write docs/webhook-contract.md anew from the code
	@$(BIN)/python scripts/webhook_contract

bench: $(VENV)/.run ## measure; the figures in docs/benchmarks.md come from here
	@$(BIN)/offhook bench all

kill: $(VENV)/.dev ## kill everything at random, 60 times over 20,000 events, and count what was lost
	@$(BIN)/python -m tests.kill --kills 60 --events 20000

lock: $(VENV)/.dev ## pin the newest allowed versions with their hashes
	@$(COMPILE) --upgrade -o requirements.lock
	@$(COMPILE) --upgrade --group dev --all-extras -o requirements-dev.lock

clean: ## remove the virtual environment and the data of `make run`
	@rm -rf $(VENV) .data

# Everything a newcomer needs: Python 3.11 or newer, and make. `make` alone lists what there is.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo up test test-all chaos check constraints

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

demo: $(RUN) ## compress a real MNIST model, end to end, and show what came of it
	@$(BIN)/python -m stack demo

up: $(RUN) ## run the service on 127.0.0.1:8000 until Ctrl-C; data in ./var
	@$(BIN)/python -m stack up

test: $(DEV) ## run the tests, on SQLite and a folder; minutes
	@$(BIN)/python -m tests

test-all: $(DEV) ## run every test: slow ones too, and again on PostgreSQL and S3; what CI runs
	@$(BIN)/python -m tests --all

chaos: $(DEV) ## 200 jobs while children, workers, gateway and broker are killed; half an hour
	$(BIN)/python -m tests.chaos --jobs 200

check: $(DEV) ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

constraints: $(DEV) ## renew constraints.txt from what is installed
	@head -1 constraints.txt > $(VENV)/constraints.new
	@$(BIN)/python -m pip list --format=freeze --exclude-editable | grep -v '^\(pip\|setuptools\|wheel\|secateur\)==' >> $(VENV)/constraints.new
	@mv $(VENV)/constraints.new constraints.txt

# What the service and the demo need.
$(RUN): pyproject.toml constraints.txt no-deps.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed. Say where it is: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is older. Say where it is: make PYTHON=/path/to/python3"; exit 1; }
	@echo "installing into $(VENV): minutes the first time, nothing after that"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -c constraints.txt -e '.[embedded]'
	@$(PIP) --no-deps -r no-deps.txt
	@touch $@

# What tests and checks need besides.
$(DEV): $(RUN)
	@echo "installing what tests and checks need"
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

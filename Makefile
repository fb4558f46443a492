.PHONY: demo test docs golden lock picture clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

demo: $(VENV)/.installed
	$(BIN)/probate run quickstart --out runs/quickstart

test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy & types=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder; tests=$$?; \
	wait $$types && exit $$tests

docs: $(VENV)/.installed
	$(BIN)/python -m probate.commands.reference docs

# Samples of every prompt, for tests/tasks/test_prompts.py. After a change of prompts, read: git diff tests/golden
golden: $(VENV)/.installed
	$(BIN)/python tests/prompts.py

# Versions with the hashes of their wheels, for: pip install --require-hashes --only-binary :all: -r requirements.lock. Needs uv.
lock:
	uv pip compile pyproject.toml --extra api --constraint constraints.txt --generate-hashes --universal --python-version 3.11 \
	    --only-binary :all: --no-header --no-annotate --quiet --output-file requirements.lock

# The README's picture: the head of the report of studies/planted.yaml. Needs Chromium, and BiasinBios biographies as
# JSONL (columns id, bio, occupation, gender): make picture BIOS=FILE
picture: $(VENV)/.installed
	$(BIN)/probate run studies/planted.yaml --out runs/planted --set data.source=$(abspath $(BIOS)) --set augmented.source=$(abspath $(BIOS))
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=0.75 --window-size=1000,1360 \
	    --user-data-dir=$(CURDIR)/runs/.chromium --screenshot=$(CURDIR)/docs/report.png file://$(CURDIR)/runs/planted/report.html

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Probate needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV)

.PHONY: demo test docs golden lock picture clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

demo: $(VENV)/.base
	$(BIN)/probate run demo --out runs/demo

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

# The README's picture: the head of the report of the preset demo. Needs Chromium.
picture: demo
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=0.75 --window-size=1000,1360 \
	    --user-data-dir=$(CURDIR)/runs/.chromium --screenshot=$(CURDIR)/docs/report.png file://$(CURDIR)/runs/demo/report.html

# Probate alone, for the demo; and with what its tests and tools need.
$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Probate needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV)

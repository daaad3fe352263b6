# Everything runs in .venv, with the exact versions of constraints.txt (torch's CPU build where pip can find it).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test explore lint bench clean

demo: $(STAMP)
	$(BIN)/falsum demo

# A process per core, each with tests that follow one another, so that few fixtures are made twice.
test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

# Any order and new examples of every property; -v shows the seed of the order.
explore: $(STAMP)
	HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -v -p randomly -n auto --maxprocesses 8 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check src tests bench scripts
	$(BIN)/ruff format --check src tests bench scripts
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python bench/epoch.py
	$(BIN)/python bench/ranking.py
	$(BIN)/python bench/step.py
	$(BIN)/python bench/memory.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,world]'
	touch $(STAMP)

clean:
	rm -rf .venv runs

# make demo   captions photographs; draws pictures, trains a captioner on them, captions others, and writes figures: all under runs/demo
# make test   runs the tests, in two processes
# make lint   checks style and types
# make bench  times what must be fast against the way that others do it, and measures memory: results under runs/bench
# make clean  removes the virtual environment and what the tools left; models and data stay
#
# Each makes the virtual environment first if it is not there. Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := recipes/demo.py
INSTALLED := $(VENV)/installed

.PHONY: demo test lint bench clean

demo: $(INSTALLED)
	$(BIN)/python $(DEMO)

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(PYTEST_FLAGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("showtell needs Python 3.11 or later, and $(PYTHON) is older: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install --upgrade -e ".[train,dev]"
	@touch $@

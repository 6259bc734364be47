# `make demo` and `make test` need python3 (3.11) and make, nothing else: the first one that runs makes .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test pytest lint docs clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	OMP_NUM_THREADS=1 $(BIN)/wsvad demo # tensors are small: more threads only wait for each other

test: setup
	$(MAKE) --no-print-directory -j 2 lint pytest

# That assertions are plain saves seconds; what fails runs once more, for their values.
pytest: setup
	$(BIN)/pytest -n auto --dist worksteal --assert=plain || { test $$? = 1 && $(BIN)/pytest --last-failed; exit 1; }

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/mkdocs build --strict

clean:
	rm -rf site .venv .mypy_cache .pytest_cache .ruff_cache runs

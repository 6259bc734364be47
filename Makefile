# `make demo` and `make test` need python3 (3.11) and make, nothing else: the first one that runs makes .venv.
PYTHON ?= python3
BIN := .venv/bin
OLD := .venv-oldest

.PHONY: setup demo test pytest oldest lint docs clean

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

# Tests with the oldest releases that pyproject.toml permits; tools of development are among them. torch alone is
# the pinned one: PyPI has older ones for x86_64 with CUDA only, of gigabytes. Old releases warn of new ones.
oldest: $(OLD)/installed
	$(OLD)/bin/pytest -n auto --dist worksteal -W ignore tests/data tests/extraction tests/interop tests/reporting \
		tests/runs tests/search tests/serving tests/test_cli.py tests/test_docs_site.py tests/test_plugin.py

$(OLD)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(OLD)
	$(OLD)/bin/pip install --quiet --disable-pip-version-check uv
	grep '^torch==' constraints.txt | $(OLD)/bin/uv pip compile pyproject.toml --extra dev --resolution lowest-direct \
		--python $(OLD) --constraint - --no-annotate --quiet --output-file $(OLD)/constraints.txt
	$(OLD)/bin/pip install --quiet --disable-pip-version-check --constraint $(OLD)/constraints.txt --editable '.[dev]'
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/mkdocs build --strict

clean:
	rm -rf site .venv $(OLD) .mypy_cache .pytest_cache .ruff_cache runs

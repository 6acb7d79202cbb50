# Two commands on a fresh machine: `make report` and `make test`. Both do all their own set-up; python3 (3.11+) and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROFILE ?= demo

.PHONY: setup report test check format lab clean

setup: $(STAMP)

# The stamp is newer than what it was made from: a second run installs nothing.
$(STAMP): requirements.txt requirements-data.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is $$($(PYTHON) -V 2>&1); rai_kit needs Python 3.11 or newer: set PYTHON=..." >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-data.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m ipykernel install --sys-prefix --name python3 --display-name "Python 3 (rai_kit)" >/dev/null
	touch $(STAMP)

report: $(STAMP)
	$(BIN)/python -m rai_kit run --profile $(PROFILE)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lab: $(STAMP)
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf $(VENV) outputs .mypy_cache .ruff_cache .pytest_cache

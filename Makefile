PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# a system is many processes, each of which would compile all modules anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test faults faults-table soak containers lint docs up clean

demo: $(VENV)/.installed
	$(BIN)/fits-dagster demo $(ARGS)

up: $(VENV)/.installed
	$(BIN)/fits-dagster up $(ARGS)

# twice two cores: the tests of whole systems wait for the most part, and others for servers to end
JOBS ?= 4
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# something is killed, frozen or taken away in a running system; FAULTS="fault and not slow" for the short ones
FAULTS ?= fault
faults: $(VENV)/.installed
	$(BIN)/python -m pytest -m "$(FAULTS)" $(ARGS)

# all of them, and their results into the document
faults-table: $(VENV)/.installed
	$(BIN)/python -m pytest -m fault --junitxml faults.xml $(ARGS)
	$(BIN)/python -m fits_dagster_tests.fault_table faults.xml docs/faults.md
	rm faults.xml

# MINUTES: for how long processes are killed, frozen and ended at random; SEED: which ones
MINUTES ?= 10
SEED ?=
soak: $(VENV)/.installed
	SOAK_MINUTES=$(MINUTES) SOAK_SEED=$(SEED) $(BIN)/python -m pytest -m "slow and not fault" $(ARGS)

# compose.yaml is started, files travel through it, two containers are killed; COMPOSE="podman compose" has
# something else than Docker run it, COMPOSE_UP="--no-build" takes an image that is there already
containers: $(VENV)/.installed
	$(BIN)/python -m pytest -m containers fits_dagster_tests/deploy $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed
	$(BIN)/python -m fits_dagster.settings.document > docs/settings.md

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fits_dagster needs Python 3.11 or later (make PYTHON=python3.12 ...)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

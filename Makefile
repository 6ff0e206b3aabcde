# make demo | test | test-slow | lint | clean
PYTHON ?= python3
CORES ?= 2
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
# the workflow's jobs call `hyperloader` by name
export PATH := $(BIN):$(PATH)

TABLES := $(foreach name,table2 table3 table4 parameters,results/demo/$(name).csv)

.PHONY: demo test test-slow lint clean

demo: $(VENV)/installed
	@snakemake --cores $(CORES) --quiet host rules reason -- $(TABLES)
	@echo && cat results/demo/table4.md

test: $(VENV)/installed-test
	@pytest -q -m "not slow"

test-slow: $(VENV)/installed-test
	@pytest -q -m slow

lint: $(VENV)/installed-test
	@ruff check
	@snakefmt --check Snakefile workflow
	@snakemake --lint

clean:
	rm -rf $(VENV) .snakemake .pytest_cache .ruff_cache .hypothesis
	find results -mindepth 1 -not -name README.md -delete

$(VENV)/installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/installed-test: pyproject.toml $(VENV)/installed
	@$(BIN)/python -m pip install --quiet -e ".[test]"
	@touch $@

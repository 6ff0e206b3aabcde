# make demo | report | test | test-slow | lint | rulegraph | clean
PYTHON ?= python3
CORES ?= 2
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
# the workflow's jobs call `hyperloader` by name
export PATH := $(BIN):$(PATH)

SCALE ?= demo

TABLES := table2.csv table3.csv table4.csv parameters.csv scores.csv comparisons.csv claims.csv
RESULTS = $(addprefix results/$(SCALE)/,$(TABLES) figure2.svg scores.html) results/audit.csv

.PHONY: demo report test test-slow lint rulegraph clean

demo: override SCALE := demo
demo: $(VENV)/installed
	@snakemake --cores $(CORES) --quiet host rules reason -- $(RESULTS)
	@$(MAKE) --no-print-directory report SCALE=demo
	@echo && cat results/demo/table4.md

# of results that are there already; needs no internet
report: $(VENV)/installed
	@snakemake --cores 1 --quiet host rules reason --report results/$(SCALE)/report.html -- $(RESULTS)
	@echo "report: results/$(SCALE)/report.html"

test: $(VENV)/installed-test
	@pytest -q -m "not slow"

test-slow: $(VENV)/installed-test
	@pytest -q -m slow

lint: $(VENV)/installed-test
	@ruff check
	@lint-imports --no-cache --config pyproject.toml > /dev/null || lint-imports --no-cache
	@snakefmt --check Snakefile workflow
	@snakemake --lint

# needs Graphviz; the order of the rules in it follows hashes of strings
rulegraph: $(VENV)/installed
	@PYTHONHASHSEED=0 snakemake --quiet all --rulegraph | dot -Tsvg > docs/rulegraph.svg

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

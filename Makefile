# make demo    prepare the models, run the whole pipeline on the embedded dataset
# make test    run the tests; those of the report's page need Chromium (apt-get install chromium), or are skipped
# make lint    check style and formatting
# make models  prepare the two offline models
# make docs    build the documentation into build/site; a warning is an error
# make bench   run the timings; DATA_DIR=data takes real tasks where the embedded one is the default
# make install create the environment (the others do so by themselves)
#
# make VENV=/path/to/env uses or creates another environment; make PYTHON=python3.12 chooses the interpreter it is
# created with.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint models bench docs install
.DEFAULT_GOAL := install

install: $(INSTALLED)

$(INSTALLED): setup.py pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt torch
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[test,export-test,docs]"
	touch $@

demo: models
	$(BIN)/ddg-hf demo --output_dir runs/demo --overwrite

models: $(INSTALLED)
	$(BIN)/ddg-hf models

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The other programs of benchmarks/ are experiments, which need a study or a generator; each says how it is run.
BENCHMARKS := generation gradient_matching icl own_prefixes pretraining processes

bench: models
	set -e; for name in $(BENCHMARKS); do \
		echo "== $$name"; $(BIN)/python benchmarks/$$name.py $(if $(DATA_DIR),--data_dir $(DATA_DIR)); \
	done; \
	echo "== convert"; $(BIN)/python benchmarks/convert.py

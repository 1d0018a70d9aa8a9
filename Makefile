# capybeam: `make demo` shows it, `make test` tests it. Both set up what they need, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help setup demo stream warehouse test chaos lint format conformance bench cluster-test countries schema modules stream-graphs templates lock sbom publish clean
.DEFAULT_GOAL := help

help:  ## Lists these targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{printf "%-14s %s\n", $$1, $$2}'

setup: $(INSTALLED)  ## Creates .venv with capybeam and all it needs.

$(INSTALLED): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 10) <= v < (3, 15) and f"capybeam needs Python 3.10 to 3.14, not {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup  ## Runs examples/ against the sandbox and checks the books against what arrived.
	@$(BIN)/python -m examples.demo

stream: setup  ## Publishes events to a Pub/Sub server on this machine (needs Go), delivers them, and replays dead letters.
	@$(BIN)/python -m examples.stream

warehouse: setup  ## Delivers orders from a table of a BigQuery emulator on this machine (needs Python 3.11).
	@$(BIN)/python -m examples.warehouse

test: setup  ## Runs the tests, three at a time; make test ARGS="-m 'not slow'" runs the quick ones, ARGS="-n 0 FILE" one file.
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: setup  ## Runs 200 seeds of faults, dead tokens and killed runs; nothing may be lost or doubled.
	@$(BIN)/python -m tests.chaos --seeds 200

lint: setup  ## Checks style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## Formats the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: setup  ## Compares with recorded cases of Segment's and Meta's own, where they are at hand.
	$(BIN)/python -m pytest tests/conformance -rs || [ $$? -eq 5 ]

cluster-test: setup  ## Delivers history on a real Flink cluster that loses a TaskManager, then a Python worker.
	@$(BIN)/python -m cluster

bench: setup  ## Measures speed, as ratios side by side; PARTS=limit: a part of it.
	$(BIN)/python -m benchmarks $(PARTS)

countries: setup  ## Writes the pinned names of countries and states.
	$(BIN)/python -m tools.countries

schema: setup  ## Writes the JSON Schemas of the job file and of the report of a run.
	$(BIN)/capybeam schema --output docs/conversions.schema.json
	$(BIN)/capybeam schema --report --output docs/run-report.schema.json

modules: setup  ## Writes the list of modules in docs/architecture.md.
	$(BIN)/python -m tools.modules

stream-graphs: setup  ## Keeps the graphs of streams as those of a release, with which later versions are compared.
	@$(BIN)/python -m tests.pipeline.stream_graphs

templates: setup  ## Writes the files in templates/ that are made from the code.
	$(BIN)/python -m templates.generate

lock: setup  ## Writes templates/requirements.txt, all that the images install, with hashes.
	$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	@echo '# All that the images install beside capybeam itself, for Python 3.11 on Linux: `make lock` writes it from pyproject.toml.' > templates/requirements.txt
	echo 'setuptools>=77' | $(BIN)/uv pip compile pyproject.toml - --quiet --upgrade --extra gcp --extra report --extra sandbox \
	  --constraint templates/constraints.txt --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	  --generate-hashes --no-annotate --no-header --no-emit-index-url >> templates/requirements.txt

sbom: setup  ## Writes out/sbom.json, the images' packages as CycloneDX, for scanners.
	$(BIN)/pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7,<8'
	mkdir -p out
	$(BIN)/cyclonedx-py requirements templates/requirements.txt --pyproject pyproject.toml --output-reproducible --output-file out/sbom.json

publish:  ## Builds the Dataflow image and templates: make publish PROJECT=... REGION=... BUCKET=...
	templates/publish.sh $(PROJECT) $(REGION) $(BUCKET) $(REPOSITORY)

clean:  ## Removes what the other targets made.
	rm -rf $(VENV) out build dist *.egg-info examples/events.jsonl

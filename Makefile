# `make` lists the targets. Everything is installed into .venv, from requirements.lock.

DATASET ?=
WORKSPACE ?= workspace
CONFIG ?=
AGAIN ?=
PYTHON ?= python3
BIN := .venv/bin
ifdef KERAS_HOME
export KERAS_HOME := $(abspath $(KERAS_HOME))
endif
# Names reach the shell as values of its variables: what stands in them is no command.
export LAB_WORKSPACE := $(value WORKSPACE)
export LAB_DATASET := $(value DATASET)
export LAB_CONFIG := $(value CONFIG)
SETTINGS := "workspace=$$LAB_WORKSPACE" $${LAB_DATASET:+"dataset=$$LAB_DATASET"} $${LAB_CONFIG:+"config=$$LAB_CONFIG"}
BENCH := --workspace "$$LAB_WORKSPACE" $${LAB_DATASET:+--dataset "$$LAB_DATASET"}

.DEFAULT_GOAL := help
.PHONY: help report view test test-faults test-slurm lint audit lab bench bench-scale bench-load bench-agreement lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo "  options: DATASET=kaggle|phantom|path.zip|folder  WORKSPACE=folder  CONFIG=mine.yaml  AGAIN=stage"

report: .venv/ready  ## run the whole lab on phantoms, or on DATASET=, and leave the report as HTML and PDF
	@$(BIN)/snakemake $(if $(AGAIN),--forcerun $(AGAIN)) --config $(SETTINGS)
	@echo "Report: $$LAB_WORKSPACE/report/lab_report.html and $$LAB_WORKSPACE/report/lab_report.pdf (make view opens it)"

view: .venv/ready  ## open the report in the browser
	@$(BIN)/python -m webbrowser -t "file://$$(cd "$$LAB_WORKSPACE" && pwd)/report/lab_report.html"

test: .venv/ready lint  ## run every test (as root on Debian, installs chromium to look at the report with)
	@command -v chromium > /dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } > /dev/null 2>&1 || echo "no chromium: tests in a browser are skipped"
	$(BIN)/python -m pytest

test-faults: .venv/ready  ## kill runs at 72 moments, in every stage, fill the disk, and look at what is left (an hour)
	LAB_FAULTS=72 $(BIN)/python -m pytest -s tests/faults tests/test_download.py

test-slurm: .venv/ready  ## run the lab on a SLURM cluster of this machine (Debian, as root: installs SLURM)
	@command -v slurmctld slurmd munged sbatch > /dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends munge slurmctld slurmd slurm-client; } > /dev/null
	$(BIN)/python -m pytest -m slurm tests/test_slurm.py

lint: .venv/ready  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: .venv/ready  ## ask whether any pinned version has a known vulnerability (needs the network)
	$(BIN)/uv tool run pip-audit --requirement requirements.lock --disable-pip

lab: .venv/ready  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

bench: .venv/ready  ## measure speed and memory against the plain way (DATASET=, half an hour)
	@$(BIN)/python bench/speed.py $(BENCH)

bench-scale: .venv/ready  ## measure how time and memory grow, up to 21,165 generated images
	@$(BIN)/python bench/scale.py --workspace "$$LAB_WORKSPACE"

bench-load: .venv/ready  ## measure downloading and preprocessing of 21,165 images, and of 100,000 small ones
	@$(BIN)/python bench/load.py --workspace "$$LAB_WORKSPACE"

bench-agreement: .venv/ready  ## compare the accuracies of the lab's way and the plain way over five seeds (DATASET=)
	@$(BIN)/python bench/agreement.py $(BENCH)

lock: .venv/ready  ## pin the newest versions that pyproject.toml admits
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --upgrade --output-file requirements.lock

clean:  ## remove the environment and the default workspace
	rm -rf .venv workspace

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("the lab needs Python 3.11 to 3.13, this is %s; say make PYTHON=python3.11" % sys.version.split()[0] if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	@echo "Installing the lab into .venv (once, a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

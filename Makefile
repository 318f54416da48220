# `make` lists the targets. Everything is installed into .venv, from requirements.lock.

DATASET ?=
EXTERNAL ?=
WORKSPACE ?= workspace
CONFIG ?=
AGAIN ?=
LAB ?=
IMAGES ?=
RUN ?=
PYTHON ?= python3
BIN := .venv/bin
ifdef KERAS_HOME
export KERAS_HOME := $(abspath $(KERAS_HOME))
endif
# Names reach the shell as values of its variables, so that it never runs their text as a command.
export LAB_WORKSPACE := $(value WORKSPACE)
export LAB_DATASET := $(value DATASET)
export LAB_EXTERNAL := $(value EXTERNAL)
export LAB_CONFIG := $(value CONFIG)
export LAB_AGAIN := $(value AGAIN)
export LAB_IMAGES := $(value IMAGES)
export LAB_RUN := $(value RUN)
# The package of this clone runs, also if the environment was copied from another one.
LAB_UTILS := PYTHONPATH="$(CURDIR)" $(BIN)/python -m lab_utils
# What JupyterLab adds to a notebook never enters a commit (see .gitattributes). Without .venv git commits as usual.
FILTER := git config filter.nbstripout.clean '"$(CURDIR)/$(BIN)/python" -m nbstripout --keep-id' && \
  git config filter.nbstripout.extrakeys "$(addprefix metadata.language_info.,version codemirror_mode file_extension mimetype nbconvert_exporter pygments_lexer)" && \
  git config filter.nbstripout.smudge cat && git config filter.nbstripout.required false && \
  git config diff.ipynb.textconv '"$(CURDIR)/$(BIN)/python" -m nbstripout -t'
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# uv takes a quarter of pip's time. It would read pyproject.toml, whose constraints have no hashes, in this folder.
UV := $(BIN)/uv --directory / pip install --quiet --python "$(CURDIR)/$(BIN)/python"
BENCH := --workspace "$$LAB_WORKSPACE" $${LAB_DATASET:+--dataset "$$LAB_DATASET"}

.DEFAULT_GOAL := help
.PHONY: help report quick predict share view test test-faults test-slurm lint vulnerabilities lab bench bench-scale bench-load bench-agreement lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo "  options: DATASET=kaggle|phantom|path.zip|folder  EXTERNAL=path  WORKSPACE=folder  CONFIG=mine.yaml  AGAIN=stage  LAB='options of JupyterLab'"

report: .venv/ready  ## run every stage on phantoms, or on DATASET=, and write the report as HTML and PDF
	@$(LAB_UTILS) report --workspace="$$LAB_WORKSPACE" --dataset="$$LAB_DATASET" --external="$$LAB_EXTERNAL" --config="$$LAB_CONFIG" --again="$$LAB_AGAIN"

quick: .venv/ready  ## the report in a minute or two, with one protocol and few phantoms, for the classroom (in quick/)
	@$(LAB_UTILS) report --workspace=quick --config=quick.yaml

predict: .venv/ready  ## predict IMAGES=path (an image, a folder, an archive or a table) with RUN=, and write page and table
	@$(LAB_UTILS) predict --run="$$LAB_RUN" --workspace="$$LAB_WORKSPACE" --config="$$LAB_CONFIG" -- "$$LAB_IMAGES"

share: .venv/ready  ## pack a trained network (RUN=) with its model card, LiteRT and ONNX files into a zip
	@$(LAB_UTILS) share --run="$$LAB_RUN" --workspace="$$LAB_WORKSPACE" --config="$$LAB_CONFIG"

view: .venv/ready  ## open the report in the browser
	@$(LAB_UTILS) view --workspace="$$LAB_WORKSPACE"

test: .venv/ready lint  ## run every test (as root on Debian, installs chromium for the tests of the report)
	@command -v chromium > /dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } > /dev/null 2>&1 || echo "There is no chromium, so tests in a browser are skipped."
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-faults: .venv/ready  ## kill runs at 72 moments in all stages, fill the disk, and check what is left (an hour)
	LAB_FAULTS=72 $(BIN)/python -m pytest -s tests/faults tests/data

test-slurm: .venv/ready  ## run the lab on a SLURM cluster of one machine (as root on Debian, installs SLURM)
	@command -v slurmctld slurmd munged sbatch > /dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends munge slurmctld slurmd slurm-client; } > /dev/null
	$(BIN)/python -m pytest -m slurm tests/pipeline/test_slurm.py

lint: .venv/ready  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

vulnerabilities: .venv/ready  ## check the pinned versions for known vulnerabilities (needs the network)
	$(BIN)/uv tool run pip-audit --requirement requirements.lock --disable-pip

lab: .venv/ready  ## open the project in JupyterLab (LAB="--port 9999 --no-browser" passes options)
	PYTHONPATH="$(CURDIR)" $(BIN)/python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB)

bench: .venv/ready  ## measure speed and memory with and without cached features (DATASET=, half an hour)
	@$(BIN)/python bench/speed.py $(BENCH)

bench-scale: .venv/ready  ## measure how time and memory grow, up to 21,165 generated images
	@$(BIN)/python bench/scale.py --workspace "$$LAB_WORKSPACE"

bench-load: .venv/ready  ## measure downloading and preprocessing of 21,165 images, and of 100,000 small ones
	@$(BIN)/python bench/load.py --workspace "$$LAB_WORKSPACE"

bench-agreement: .venv/ready  ## compare accuracies with and without cached features over five seeds (DATASET=)
	@$(BIN)/python bench/agreement.py $(BENCH)

lock: .venv/ready  ## pin the newest versions that pyproject.toml admits
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --upgrade --output-file requirements.lock

clean:  ## remove the environment and the default workspace
	rm -rf .venv workspace

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("the lab needs Python 3.11 to 3.13, this is %s; give make PYTHON=python3.11" % sys.version.split()[0] if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	@echo "Installing the lab into .venv (once, a minute or more) ..."
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	@$(PIP) --require-hashes -r .venv/uv.lock && $(UV) --require-hashes -r "$(CURDIR)/requirements.lock" \
	  || $(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@[ ! -e .git ] || { $(FILTER); } || echo "git is not set up to keep outputs of notebooks out of commits"
	@touch $@

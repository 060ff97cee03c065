# The two commands of a newcomer are `make demo` and `make test`. Nothing but Python >= 3.11 with pip is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 3000
METRICS_PORT ?= 9464
# Reports, films and viewers behind links in the UI.
FILES  ?= 3001
# Threads that spin while they wait halve the speed of training on a busy machine.
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.PHONY: help setup demo test reference azurite lint bench gpu soak dev readme golden viewer clean

help:            ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready   ## make the environment only
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": call make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup      ## make a sample capture, run the whole job on it, hold the result against the truth
	$(BIN)/splat demo

test: setup azurite  ## run all tests
	$(BIN)/python -m pytest -q

azurite: build/azurite/.ready   ## an Azure blob server for the tests, where npm is; without it they skip loudly
build/azurite/.ready:
	@mkdir -p build/azurite
	@npm install --silent --no-audit --no-fund --ignore-scripts --prefix build/azurite azurite@3.35.0 && touch $@ \
	|| echo "no azurite, for npm cannot install it: what is said of Azure is not tested"

# On top of the project's own environment: only what that lacks is installed. Its packages are found by a .pth file, for a
# virtual environment made by another looks for the site of the Python below both. torch 2.13.0 is held: where pip finds its
# build for the CPU (2.13.0+cpu) it takes that, and elsewhere the one with CUDA, which is ten times larger.
REFERENCE := build/reference
reference: $(REFERENCE)/.ready  ## tests against gsplat's pure-torch reference, in an environment with torch; no GPU is needed
	@if [ -x $(REFERENCE)/bin/python ]; then \
	    $(REFERENCE)/bin/python -m pytest -q tests/resources/gpu tests/splatting/test_reference.py; fi
$(REFERENCE)/.ready: $(VENV)/.ready
	@rm -rf $(REFERENCE) && $(BIN)/python -m venv $(REFERENCE)
	@$(BIN)/python -c 'import pathlib, sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	    > "$$($(REFERENCE)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	@$(REFERENCE)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    torch==2.13.0 'gsplat>=1.5,<1.6' && touch $@ \
	|| { rm -rf $(REFERENCE); echo "*** no torch and gsplat, for pip cannot install them: THE TRAINER FOR GPUS IS NOT TESTED ***"; }

lint: setup      ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup     ## time the CPU renderer and trainer on a tiny case, a minute or two; figures and plots in build/
	@mkdir -p build
	$(BIN)/python benchmarks/cpu_render.py --frames 10 --json build/cpu_render.json
	$(BIN)/python benchmarks/cpu_splatting.py --seconds 20 --json build/cpu_splatting.json
	$(BIN)/python benchmarks/cpu_scaling.py --quick --json build/cpu_scaling.json --svg build/cpu_scaling.svg

# Environments of their own: whatever torch with CUDA this machine has is used, and gsplat's trainer takes the name of our
# pycolmap. PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR does without a network, EXAMPLES=CHECKOUT without git.
GPU      := build/gpu
EXAMPLES ?= $(GPU)/gsplat
gpu: $(GPU)/.ready   ## train with gsplat on this machine's GPU beside gsplat's own trainer; ASK="--case NAME=DIR"
	PYTHONPATH=. $(GPU)/ours/bin/python benchmarks/gpu.py --json build/gpu.json $(ASK) \
	    $$(if [ -x $(GPU)/theirs/bin/python ]; then echo --gsplat $(EXAMPLES) --python $(CURDIR)/$(GPU)/theirs/bin/python; fi)
$(GPU)/.ready: benchmarks/gpu.requirements.txt
	@rm -rf $(GPU)/ours $(GPU)/theirs
	$(PYTHON) -m venv --system-site-packages $(GPU)/ours
	$(GPU)/ours/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/gpu.requirements.txt
	@{ [ -d $(EXAMPLES)/examples ] \
	   || git clone --quiet --depth 1 --branch v1.5.3 https://github.com/nerfstudio-project/gsplat $(EXAMPLES); } \
	&& $(PYTHON) -m venv --system-site-packages $(GPU)/theirs \
	&& $(GPU)/theirs/bin/python -m pip install --quiet --disable-pip-version-check torch setuptools wheel ninja gsplat==1.5.3 \
	&& $(GPU)/theirs/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
	    -r $(EXAMPLES)/examples/requirements.txt \
	|| { rm -rf $(GPU)/theirs; echo "*** gsplat's own trainer cannot be installed: ours is timed ALONE (remove $(GPU) to try again) ***"; }
	@touch $@

soak: setup      ## kill processes of a working installation 200 times and count what is lost; writes soak.json, takes a quarter of an hour or more
	$(BIN)/python benchmarks/soak.py --kills 200 --json soak.json

dev: setup       ## the Dagster UI with its daemon, and figures for Prometheus, on 127.0.0.1; watches the inbox
	@$(BIN)/splat init
	@echo "Dagster UI                   http://127.0.0.1:$(PORT)"
	@echo "files of artifacts           http://127.0.0.1:$(FILES) (linked from the UI)"
	@$(BIN)/splat artifacts --port $(FILES) & files=$$!; $(BIN)/splat metrics --port $(METRICS_PORT) & metrics=$$!; \
	trap "kill $$files $$metrics" EXIT; \
	SPLAT_ARTIFACT_URL=http://127.0.0.1:$(FILES) DAGSTER_HOME="$$($(BIN)/splat init --quiet)" \
	$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT)

readme: setup    ## write the README's generated tables anew
	SPLAT_WRITE_README=1 $(BIN)/python -m pytest -q tests/test_readme.py

golden: setup    ## write the golden asset graph anew
	SPLAT_WRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/test_definitions.py

viewer:          ## bundle the viewer's JavaScript anew; needs Node 20 or newer, and nothing else does
	cd viewer && npm ci --ignore-scripts && npm run build

clean:           ## remove the environment and caches; jobs and results stay
	rm -rf $(VENV) build viewer/node_modules *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

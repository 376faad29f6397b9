# The commands for people. A fresh machine needs Python 3.11+ and npm, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDIO := $(VENV)/label-studio
READERS := $(VENV)/export-readers
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INPUTS := pyproject.toml client/pyproject.toml constraints.txt
CHECKED := shared prompt_api encoder_worker client deploy bench tests

.PHONY: help run demo test test-torch bench bench-scale chaos fuzz soak label-studio-check exports-check images-check docs lint style types tests setup
.DELETE_ON_ERROR:

help:
	@echo "make run    serve on http://127.0.0.1:8000 (PORT=8080 make run moves it), Ctrl-C stops it"
	@echo "make demo   upload a photo, prompt it, write demo-overlay.png (IMAGE=photo.jpg POINT=x,y)"
	@echo "make test   lint and every test"
	@echo "make test-torch  only the tests of the models on torch"
	@echo "make bench  measure prompts against SamPredictor: ten minutes on a quiet machine (PHOTO=path adds yours)"
	@echo "make bench-scale  measure replicas behind the gateway: prompts per second, hit rates, one replica more and less: ten minutes on a quiet machine"
	@echo "make chaos  break the running service in every way it promises to survive: ten minutes on a quiet machine (SEED=7 varies it)"
	@echo "make fuzz   send mutated bytes to the five functions that read what clients send: TIME=60 seconds each"
	@echo "make soak   100,000 prompts and 2,000 uploads, to see what stays in memory: half an hour on a quiet machine"
	@echo "make label-studio-check  run a real Label Studio and its editor in Chromium: a gigabyte, ten minutes (PICTURES=folder keeps screenshots)"
	@echo "make exports-check  read the page's exports with pycocotools, Label Studio's SDK, Ultralytics and datumaro: two gigabytes, five minutes"
	@echo "make images-check  build both container images without an engine and send a photo through them: needs root, twenty minutes"
	@echo "make docs   write the tables and numbers of README and docs that are made from code and records (NEWEST=1: from the newest runs)"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make setup  only install what the other commands need"

run: $(VENV)/.serving
	@exec $(BIN)/python -m deploy.local.run

demo: $(VENV)/.serving
	@exec $(BIN)/python -m deploy.local.demo $${IMAGE:+--image "$$IMAGE"} $${POINT:+--point "$$POINT"}

# The types take half a minute of one core. The tests wait for other processes often, so both run at the same time.
test: style
	$(MAKE) --no-print-directory --jobs 2 types tests

# Most tests wait most of the time for processes of the service. So three at once take half the time on two cores.
# Compiled once here, or each of the hundreds of processes would compile the modules where Python may not keep them.
tests: $(VENV)/.developing
	$(BIN)/python -m compileall -q shared prompt_api encoder_worker deploy bench client/src
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# A part of `make test`: the models on torch, with random weights.
test-torch: $(VENV)/.developing
	$(BIN)/python -m pytest tests/torch

bench: $(VENV)/.developing
	@exec $(BIN)/python -m bench $${PHOTO:+--photo "$$PHOTO"}

bench-scale: $(VENV)/.developing
	@exec $(BIN)/python -m bench.scale

chaos: $(VENV)/.developing
	@exec $(BIN)/python -m tests.chaos $${SEED:+--seed "$$SEED"}

fuzz: $(VENV)/.fuzzing
	@exec $(BIN)/python -m tests.fuzz --seconds $${TIME:-60}

soak: $(VENV)/.developing
	@exec $(BIN)/python -m bench.soak

label-studio-check: $(VENV)/.developing $(STUDIO)/.installed-with-moto
	$(BIN)/python -m pytest tests/label_studio/end_to_end.py tests/label_studio/end_to_end_everything.py

exports-check: $(VENV)/.developing $(READERS)/.installed
	$(BIN)/python -m tests.web.check_exports $(READERS)/bin/python

images-check: $(VENV)/.developing
	@exec $(BIN)/python -m deploy.images.check

docs: $(VENV)/.developing
	@exec $(BIN)/python -m tests.documents $${NEWEST:+--newest}

lint: style types

style: $(VENV)/.developing
	$(BIN)/python -m ruff check $(CHECKED)
	$(BIN)/python -m ruff format --check $(CHECKED)

types: $(VENV)/.developing
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

setup: $(VENV)/.developing

# Label Studio has an environment of its own, because it needs other versions of many packages. Moto is an S3 for its tests.
$(STUDIO)/.installed-with-moto: $(VENV)/.created
	$(PYTHON) -m venv $(STUDIO)
	$(STUDIO)/bin/python -m pip install --quiet --disable-pip-version-check label-studio==1.23.2 'moto[server]==5.2.5'
	@touch $@

# The tools that read the page's exports want other versions of many packages, too.
$(READERS)/.installed: $(VENV)/.created
	$(PYTHON) -m venv $(READERS)
	$(READERS)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(READERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps ultralytics==8.4.190 torchvision==0.28.0
	$(READERS)/bin/python -m pip install --quiet --disable-pip-version-check label-studio-sdk==2.1.2 datumaro==1.13.12 \
	    matplotlib opencv-python-headless polars psutil pycocotools requests
	@touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	    "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo missing). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.serving: $(VENV)/.created $(INPUTS)
	$(INSTALL) --editable '.[api,worker,heic,local]' --editable ./client
	@touch $@

# torch is installed first, alone and by its exact version: a looser request would install gigabytes of GPU libraries.
# What is needed to serve is among the rest.
$(VENV)/.developing: $(VENV)/.created $(INPUTS)
	$(INSTALL) torch==2.13.0
	$(INSTALL) --editable '.[api,worker,local,sam2,dev]' --editable ./client
	@touch $(VENV)/.serving $@

$(VENV)/.fuzzing: $(VENV)/.developing
	$(INSTALL) --editable '.[fuzz]'
	@touch $@

# Tidemill: what a person types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ENGINE ?= $(firstword $(shell command -v podman docker))
# The locks' resolver; it needs no torch and lives apart from the environment that it locks.
UV := .tidemill/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-package llm --no-emit-package llama-cpp-python

help: ## list these targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

run: $(READY) ## (the default) run what is stale of the pipeline, then print the summary
	@$(BIN)/dvc repro
	@cat report/summary.txt

setup: $(READY) ## make the virtual environment from the lock

$(READY): locks/dev.txt locks/torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Tidemill needs Python 3.11, 3.12 or 3.13: make setup PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r locks/torch.txt
	@touch $@

test: $(READY) ## run the tests
	$(BIN)/python -m pytest $(TESTS)

lint: $(READY) ## check style, types and the rules of who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

verify: $(READY) ## re-hash every artifact here; REMOTE=1 walks the DVC cache and the remote too
	@$(BIN)/python -m stages.lib.verify $(if $(REMOTE),--remote)

trace: $(READY) ## print a row's whole chain, back to the raw function: make trace ID=…
	@$(BIN)/python -m stages.lib.trace $(ID)

report: $(READY) ## make the report alone, of what is there
	@$(BIN)/dvc repro --single-item report
	@cat report/summary.txt

score: $(READY) ## score completions: make score FILE=completions.jsonl BENCHMARK=humaneval OUT=folder
	@$(BIN)/python -m stages.lib.benchmarks.score_file $(FILE) --benchmark $(or $(BENCHMARK),humaneval) --out $(OUT) \
		$(if $(MODE),--mode $(MODE)) $(if $(DATA),--data $(DATA))

profile: $(READY) ## lay profiles/NAME.yaml over params.yaml: make profile NAME=openai
	@$(BIN)/python -m stages.lib.profile $(NAME)

bench: $(READY) ## measure against named peers, write bench/results/: make bench BENCH=kcenter
	$(BIN)/python bench/$(or $(BENCH),kcenter).py

bench-gpu: $(READY) ## measure what needs a GPU
	$(BIN)/python bench/kcenter_gpu.py

images: ## build the image of the CPU stages, with podman or docker
	@[ -n "$(ENGINE)" ] || { echo "make images needs podman or docker"; exit 1; }
	$(ENGINE) build --file containers/cpu.Containerfile --tag tidemill-cpu .

lock: ## resolve locks/*.in anew
	@[ -x .tidemill/uv/bin/uv ] || { $(PYTHON) -m venv .tidemill/uv && .tidemill/uv/bin/pip install --quiet uv; }
	$(UV) locks/cpu.in --no-emit-package torch --override locks/cpu-overrides.txt --output-file locks/cpu.txt
	$(UV) locks/cpu.in locks/dev.in --no-emit-package torch --constraint locks/cpu.txt --override locks/cpu-overrides.txt --output-file locks/dev.txt
	$(UV) locks/cpu.in locks/cuda.in --constraint locks/cpu.txt --override locks/cuda-overrides.txt --output-file locks/cuda.txt

clean: ## remove what the pipeline made here; the journal, downloads and DVC's cache stay
	rm -rf data models report metrics plots .tidemill/checkpoints .tidemill/run

.PHONY: help run setup test lint verify trace report score profile bench bench-gpu images lock clean

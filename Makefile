# Tidemill: what a person types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The locks' resolver; it needs no torch and lives apart from the environment that it locks.
UV := .tidemill/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-package llm --no-emit-package llama-cpp-python

COMMAND := @$(BIN)/python -m commands
WORKERS := -n 2 --dist loadfile

help: ## list these targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

run: $(READY) ## (the default) run what is stale of the pipeline, then print the summary
	@$(BIN)/python -m executors
	@cat report/summary.txt

setup: $(READY) ## make the virtual environment from the lock

$(READY): locks/dev.txt locks/torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Tidemill needs Python 3.11, 3.12 or 3.13: make setup PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r locks/torch.txt
	@touch $@

test: $(READY) ## run the quick tests, a few minutes; or some files, slow tests too: make test TESTS=tests/stages/test_train.py
	$(BIN)/python -m pytest $(or $(TESTS),-m "not slow" $(WORKERS))

test-all: $(READY) ## run every test, about half an hour
	$(BIN)/python -m pytest $(WORKERS)

lint: $(READY) ## check style, types and the rules of who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

verify: $(READY) ## re-hash every artifact here; REMOTE=1 walks the DVC cache and the remote too
	$(COMMAND) verify $(if $(REMOTE),--remote)

forget: $(READY) ## remove a damaged object that verify named from cache and remote: make forget OBJECT=…
	$(COMMAND) forget $(OBJECT)

remote: $(READY) ## where `dvc push` and pods put artifacts: make remote URL=s3://bucket/path (ENDPOINT=…)
	$(COMMAND) remote $(URL) $(ENDPOINT)

push: $(READY) ## put what dvc.lock names on the remote and see that it is there: make push [STAGE=…] (ARGS=--run-cache)
	$(COMMAND) push $(STAGE) $(ARGS)

pull: $(READY) ## bring what dvc.lock names from the remote: make pull [STAGE=…]
	$(COMMAND) pull $(STAGE) $(ARGS)

trace: $(READY) ## print a row's whole chain, back to the raw function: make trace ID=…
	$(COMMAND) trace $(ID)

evolve: $(READY) ## Code Evol-Instruct on the dataset, in rounds, until pass@1 on evolve.validation falls
	$(COMMAND) evolve

report: $(READY) ## make the report alone, of what is there
	@$(BIN)/dvc repro --single-item report
	@cat report/summary.txt

score: $(READY) ## score completions: make score FILE=completions.jsonl BENCHMARK=humaneval OUT=folder
	$(COMMAND) score "$(FILE)" --benchmark $(or $(BENCHMARK),humaneval) --out "$(OUT)" \
		$(if $(MODE),--mode $(MODE)) $(if $(DATA),--data "$(DATA)") $(if $(SHA256),--sha256 $(SHA256))

show-example: $(READY) ## print a dataset row as the model is taught it, token by token: make show-example [ROW=3]
	$(COMMAND) show-example $(ROW)

serve: $(READY) ## answer OpenAI-compatible requests with the tuned model, on a CPU too: make serve [PORT=8080]
	$(COMMAND) serve --port $(or $(PORT),8080)

gguf: $(READY) ## write the tuned model as one GGUF file for llama.cpp: make gguf OUT=tuned.gguf
	$(COMMAND) gguf $(OUT)

weights: $(READY) ## fetch weights ahead of a run: make weights NAME=qwen2.5-coder-0.5b-instruct (without NAME: list them)
	$(COMMAND) weights $(NAME)

profile: $(READY) ## lay profiles/NAME.yaml over params.yaml: make profile NAME=openai
	$(COMMAND) profile $(NAME)

ablate: $(READY) ## compare runs, as DVC experiments: make ablate NAME=smoke (PAGE=1: its page alone)
	$(COMMAND) ablate $(NAME) $(if $(PAGE),--page)

plan: $(READY) ## what the next run would take: requests, tokens, US dollars of its teachers; memory and hours of training
	$(COMMAND) plan $(ARGS)

journal: $(READY) ## what the teachers answered so far: size, spend, models; COMPACT=1 drops what nobody reads
	$(COMMAND) journal $(if $(COMPACT),--compact)

journal-share: $(READY) ## seal what the teachers answered, track it with DVC, push it: others replay it for nothing
	$(COMMAND) journal-share

soak: $(READY) ## kill and run again, for long, with a seed that is printed: make soak KILLS=100 SEED=1
	$(BIN)/python tests/soak/soak_teacher.py --kills $(or $(KILLS),100) --seed $(or $(SEED),0)
	$(BIN)/python tests/soak/soak_kills.py --kills $(or $(KILLS),500) --seed $(or $(SEED),0)
	$(BIN)/python tests/soak/soak_cluster.py --kills $(or $(KILLS),20) --seed $(or $(SEED),0)
	$(BIN)/python tests/soak/soak_train.py --kills $(or $(KILLS),20) --seed $(or $(SEED),0)

bench: $(READY) ## measure against named peers, write bench/results/: make bench BENCH=kcenter (ARGS=…)
	$(BIN)/python -m bench.$(or $(BENCH),kcenter) $(ARGS)

bench-gpu: $(READY) ## measure what needs a GPU
	$(BIN)/python bench/kcenter_gpu.py
	$(BIN)/python bench/train_gpu.py
	$(BIN)/python bench/humaneval_gpu.py

images: $(READY) ## build the images: make images IMAGES="cpu score" (also gpu, teacher); BASE=… by digest
	@$(BIN)/python -m containers.images build $(IMAGES) $(if $(BASE),--base $(BASE))

images-lock: $(READY) ## lock the stages to the images of this machine: the stages of another one run again
	@$(BIN)/python -m containers.images lock $(IMAGES)

images-push: $(READY) ## push the images and lock them: make images-push REGISTRY=host/path
	@$(BIN)/python -m containers.images push $(IMAGES) --registry "$(REGISTRY)"

k8s-setup: $(READY) ## make the namespace, the account and the network policies on the cluster
	@$(BIN)/python -m executors.kubernetes setup

k8s-render: $(READY) ## print the manifests of the stages, no cluster needed: make k8s-render STAGE=train
	@$(BIN)/python -m executors.kubernetes render $(STAGE)

k8s-run: $(READY) ## run a stage and what it needs on the cluster: make k8s-run STAGE=train
	@$(BIN)/python -m executors.kubernetes run $(STAGE)

k8s-status: $(READY) ## list the stages on the cluster
	@$(BIN)/python -m executors.kubernetes status

k8s-logs: $(READY) ## follow a stage's log: make k8s-logs STAGE=train
	@$(BIN)/python -m executors.kubernetes logs $(STAGE)

k8s-stop: $(READY) ## delete a stage's Job: make k8s-stop STAGE=train
	@$(BIN)/python -m executors.kubernetes stop $(STAGE)

lock: ## resolve locks/*.in anew
	@[ -x .tidemill/uv/bin/uv ] || { $(PYTHON) -m venv .tidemill/uv && .tidemill/uv/bin/pip install --quiet uv; }
	$(UV) locks/cpu.in --no-emit-package torch --override locks/cpu-overrides.txt --output-file locks/cpu.txt
	$(UV) locks/cpu.in locks/dev.in --no-emit-package torch --constraint locks/cpu.txt --override locks/cpu-overrides.txt --output-file locks/dev.txt
	$(UV) locks/score.in --constraint locks/cpu.txt --output-file locks/score.txt
	$(UV) locks/teacher-llama.in --constraint locks/cpu.txt --output-file locks/teacher-llama.txt
	$(UV:--universal=--python-platform linux) locks/teacher-vllm.in --output-file locks/teacher-vllm.txt
	$(UV) locks/cpu.in locks/cuda.in --constraint locks/cpu.txt --override locks/cuda-overrides.txt --output-file locks/cuda.txt

clean: ## remove what the pipeline made here; the journal, downloads and DVC's cache stay
	rm -rf data models report metrics plots .tidemill/checkpoints .tidemill/run

.PHONY: help run setup test test-all lint verify forget remote push pull trace evolve report score show-example ablate plan journal journal-share serve gguf weights profile soak
.PHONY: bench bench-gpu images images-lock images-push k8s-setup k8s-render k8s-run k8s-status k8s-logs k8s-stop lock clean

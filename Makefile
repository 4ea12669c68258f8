# Tidemill's commands. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Resolves the locks; it lives outside the environment it locks.
UV := .tidemill/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-package llm --no-emit-package llama-cpp-python

# `make PROFILE=NAME` with any target puts a profile in force first; it stays so.
LAYER := $(if $(PROFILE),$(BIN)/python -m commands profile "$(PROFILE)" &&)
typed = $(if $(filter command,$(origin $1)),$($1))# some systems have a NAME or a LANGUAGE of their own
COMMAND := @$(LAYER) $(BIN)/python -m commands
WORKERS := -n 3 --dist loadfile

help: ## list these targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

run: $(READY) ## run the pipeline's stale stages and print the summary (the default target); JOBS=1: one at a time
	@$(LAYER) $(BIN)/python -m executors
	@cat report/summary.txt

setup: $(READY) ## create the virtual environment from the lock

$(READY): locks/dev.txt locks/torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Tidemill needs Python 3.11, 3.12 or 3.13: make setup PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r locks/torch.txt
	@touch $@

dataset: $(READY) ## your own code, or another tool's rows, to a dataset: make dataset SOURCE=~/code/project (or DATA=rows.jsonl) [TEACHER=http://localhost:8000/v1 MODEL=name] [ROWS=500]
	$(COMMAND) dataset --source "$(SOURCE)" --teacher "$(TEACHER)" --model "$(MODEL)" --judge "$(JUDGE)" --rows "$(ROWS)" \
		--key "$(KEY)" --price "$(PRICE)" --budget "$(BUDGET)" --name "$(call typed,NAME)" --yes "$(YES)" \
		--data "$(call typed,DATA)" --license "$(LICENSE)" --language "$(call typed,LANGUAGE)" --columns "$(COLUMNS)"

tune: $(READY) ## train on the dataset and measure, or on rows of your own: make tune [DATA=rows.jsonl]
	$(COMMAND) tune $(if $(filter undefined,$(origin DATA)),,--data "$(DATA)")

check: $(READY) ## check all parameters and send the teacher and the judge one real request each
	$(COMMAND) check

doctor: $(READY) ## say what this machine has and lacks, with the command that mends it
	$(COMMAND) doctor

test: $(READY) ## run the quick tests, a few minutes; or some files, slow tests too: make test TESTS=tests/stages/test_train.py
	$(BIN)/python -m pytest $(or $(TESTS),-m "not slow" $(WORKERS))

test-all: $(READY) ## run every test, about half an hour
	$(BIN)/python -m pytest $(WORKERS)

lint: $(READY) ## check style, types and the layers' import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

verify: $(READY) ## re-hash every artifact here; REMOTE=1 checks the DVC cache and the remote too
	$(COMMAND) verify $(if $(REMOTE),--remote)

forget: $(READY) ## delete a damaged object that verify named, from cache and remote: make forget OBJECT=…
	$(COMMAND) forget $(OBJECT)

remote: $(READY) ## set where `dvc push` and pods put artifacts: make remote URL=s3://bucket/path [ENDPOINT=…]
	$(COMMAND) remote $(URL) $(ENDPOINT)

push: $(READY) ## upload what dvc.lock names and check that it arrived: make push [STAGE=…] [ARGS=--run-cache]
	$(COMMAND) push $(STAGE) $(ARGS)

pull: $(READY) ## download what dvc.lock names: make pull [STAGE=…]
	$(COMMAND) pull $(STAGE) $(ARGS)

trace: $(READY) ## trace a row back to the raw function it came from: make trace ID=…
	$(COMMAND) trace $(ID)

evolve: $(READY) ## evolve the dataset in rounds (Code Evol-Instruct) until pass@1 on evolve.validation falls
	$(COMMAND) evolve

report: $(READY) ## rebuild only the report, from the current artifacts
	@$(LAYER) $(BIN)/python -m executors.tracking.repro --single-item report
	@cat report/summary.txt

audit: $(READY) ## compare your marks, exported from the report, with the verdicts: make audit MARKS=marks.json
	$(COMMAND) audit $(if $(MARKS),"$(MARKS)")

compare-runs: $(READY) ## two runs on one page: make compare-runs A=folder B=HEAD~1 [OUT=comparison.html]
	$(COMMAND) compare-runs "$(A)" "$(B)" $(if $(OUT),--out "$(OUT)")

score: $(READY) ## score a file of completions: make score FILE=completions.jsonl BENCHMARK=humaneval OUT=folder
	$(COMMAND) score "$(FILE)" --benchmark $(or $(BENCHMARK),humaneval) --out "$(OUT)" \
		$(if $(MODE),--mode $(MODE)) $(if $(DATA),--data "$(DATA)") $(if $(SHA256),--sha256 $(SHA256))

export: $(READY) ## write the dataset for other tools: make export FORMAT=messages OUT=rows.jsonl (or sharegpt, prompt-completion, reward, harbor)
	$(COMMAND) export "$(OUT)" $(if $(FORMAT),--format $(FORMAT)) $(if $(DATA),--data "$(DATA)")

show-example: $(READY) ## print a dataset row as training sees it, token by token: make show-example [ROW=3]
	$(COMMAND) show-example $(ROW)

serve: $(READY) ## serve the tuned model through an OpenAI-compatible API (CPU is enough): make serve [PORT=8080]
	$(COMMAND) serve --port $(or $(PORT),8080)

gguf: $(READY) ## write the tuned model as one GGUF file for llama.cpp: make gguf OUT=tuned.gguf
	$(COMMAND) gguf $(OUT)

weights: $(READY) ## download weights before a run (without NAME: list them): make weights NAME=qwen2.5-coder-0.5b-instruct
	$(COMMAND) weights $(NAME)

profile: $(READY) ## list the profiles and say which is in force; `make PROFILE=openai` puts one in force, PROFILE=default none
	@$(BIN)/python -m commands profile $(or $(PROFILE),$(call typed,NAME))

ablate: $(READY) ## compare runs as DVC experiments: make ablate NAME=smoke [PAGE=1 rebuilds only its page]
	$(COMMAND) ablate $(NAME) $(if $(PAGE),--page)

plan: $(READY) ## estimate the next run: teacher requests, tokens and US dollars; training memory and hours
	$(COMMAND) plan $(ARGS)

journal: $(READY) ## show the teachers' journal: size, spend, models; COMPACT=1 drops useless records, FORGET=MODEL its answers
	$(COMMAND) journal $(if $(COMPACT),--compact) $(if $(FORGET),--forget "$(FORGET)")

replay: $(READY) ## make a published dataset again without asking a model: make replay NAME=evening [RECORD=1 publishes this run]
	$(COMMAND) replay $(NAME) $(if $(RECORD),--record)

journal-share: $(READY) ## seal and push the teachers' journal, so that others replay the run without paying
	$(COMMAND) journal-share

soak: $(READY) ## kill and rerun stages at random, for hours: make soak KILLS=100 SEED=1
	$(BIN)/python tests/soak/soak_teacher.py --kills $(or $(KILLS),100) --seed $(or $(SEED),0)
	$(BIN)/python tests/soak/soak_kills.py --kills $(or $(KILLS),500) --seed $(or $(SEED),0)
	$(BIN)/python tests/soak/soak_cluster.py --kills $(or $(KILLS),20) --seed $(or $(SEED),0)
	$(BIN)/python tests/soak/soak_train.py --kills $(or $(KILLS),20) --seed $(or $(SEED),0)

bench: $(READY) ## benchmark against peers and write bench/results/: make bench BENCH=kcenter [ARGS=…]
	$(BIN)/python -m bench.$(or $(BENCH),kcenter) $(ARGS)

bench-gpu: $(READY) ## run the benchmarks that need a GPU
	$(BIN)/python bench/kcenter_gpu.py
	$(BIN)/python bench/train_gpu.py
	$(BIN)/python bench/humaneval_gpu.py

images: $(READY) ## build images: make images IMAGES="cpu score" (also gpu, teacher) [BASE=IMAGE@DIGEST]
	@$(BIN)/python -m containers.images build $(IMAGES) $(if $(BASE),--base $(BASE))

images-lock: $(READY) ## lock stages to this machine's images; stages whose image changed run again
	@$(BIN)/python -m containers.images lock $(IMAGES)

images-push: $(READY) ## push the images and lock them: make images-push REGISTRY=host/path
	@$(BIN)/python -m containers.images push $(IMAGES) --registry "$(REGISTRY)"

k8s-setup: $(READY) ## create the namespace, service account and network policies on the cluster
	@$(LAYER) $(BIN)/python -m executors.kubernetes setup

k8s-render: $(READY) ## print the stages' manifests, no cluster needed: make k8s-render STAGE=train
	@$(LAYER) $(BIN)/python -m executors.kubernetes render $(STAGE)

k8s-run: $(READY) ## run a stage and its stale dependencies on the cluster: make k8s-run STAGE=train
	@$(LAYER) $(BIN)/python -m executors.kubernetes run $(STAGE)

k8s-status: $(READY) ## list the stages on the cluster
	@$(LAYER) $(BIN)/python -m executors.kubernetes status

k8s-logs: $(READY) ## follow a stage's log on the cluster: make k8s-logs STAGE=train
	@$(LAYER) $(BIN)/python -m executors.kubernetes logs $(STAGE)

k8s-stop: $(READY) ## delete a stage's Job: make k8s-stop STAGE=train
	@$(LAYER) $(BIN)/python -m executors.kubernetes stop $(STAGE)

slurm-render: $(READY) ## print the stages' scripts for sbatch, no cluster needed: make slurm-render STAGE=train
	@$(LAYER) $(BIN)/python -m executors.slurm render $(STAGE)

slurm-run: $(READY) ## run a stage and its stale dependencies on Slurm: make slurm-run STAGE=train
	@$(LAYER) $(BIN)/python -m executors.slurm run $(STAGE)

slurm-stop: $(READY) ## cancel a stage's jobs: make slurm-stop STAGE=train
	@$(LAYER) $(BIN)/python -m executors.slurm stop $(STAGE)

lock: ## resolve locks/*.in again
	@[ -x .tidemill/uv/bin/uv ] || { $(PYTHON) -m venv .tidemill/uv && .tidemill/uv/bin/pip install --quiet uv; }
	$(UV) locks/cpu.in --no-emit-package torch --override locks/cpu-overrides.txt --output-file locks/cpu.txt
	$(UV) locks/cpu.in locks/dev.in --no-emit-package torch --constraint locks/cpu.txt --override locks/cpu-overrides.txt --output-file locks/dev.txt
	$(UV) locks/score.in --constraint locks/cpu.txt --output-file locks/score.txt
	$(UV) locks/teacher-llama.in --constraint locks/cpu.txt --output-file locks/teacher-llama.txt
	$(UV:--universal=--python-platform linux) locks/teacher-vllm.in --output-file locks/teacher-vllm.txt
	$(UV) locks/cpu.in locks/cuda.in --constraint locks/cpu.txt --override locks/cuda-overrides.txt --output-file locks/cuda.txt

clean: ## delete the pipeline's outputs here; keep the journal, downloads and DVC's cache
	rm -rf data models report metrics plots .tidemill/checkpoints .tidemill/run

.PHONY: dataset tune check doctor help run setup test test-all lint verify forget remote push pull trace evolve report audit compare-runs score show-example ablate plan journal journal-share serve gguf weights profile soak
.PHONY: export
.PHONY: bench bench-gpu images images-lock images-push k8s-setup k8s-render k8s-run k8s-status k8s-logs k8s-stop slurm-render slurm-run slurm-stop lock clean

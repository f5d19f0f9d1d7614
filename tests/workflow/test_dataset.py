"""The merged dataset: reads like the question; other programs understand units and flags."""

import cf_units
import numpy as np
import pytest
import xarray as xr


@pytest.fixture(scope="module")
def tree(finished):
    with xr.open_datatree(finished[0] / "results/studies/small/study.nc") as tree:
        yield tree.load()


def test_groups_and_dimensions(tree):
    assert set(tree.children) == {"energy", "quality", "training", "weights", "ranking", "carbon"}
    cell = ("model", "training", "pruning", "quantization", "hardware", "engine", "workload")
    assert tree["energy"].energy.dims == (*cell, "session", "component")
    assert tree["quality"].quality.dims == (*cell[:4], "metric")
    assert tree["carbon"].emissions.dims == (*cell, "zone")
    # in each of three windows the stand-in draws its bits plus the number of the session: 5 and 6 J
    energy = tree["energy"].energy.sel(
        pruning="none", quantization="nf4", hardware="here", component="cpu"
    )
    assert energy.values.ravel().tolist() == [15, 18]


def test_every_unit_is_one_that_udunits_knows(tree):
    seen = set()
    for group in tree.subtree:
        for name, variable in group.data_vars.items():
            if "units" in variable.attrs:
                unit = cf_units.Unit(variable.attrs["units"])
                assert not unit.is_unknown(), name
                seen.add(variable.attrs["units"])
            assert variable.attrs.get("long_name"), f"{group.path}/{name} has no long_name"
    assert {"J", "W", "s", "g", "g kW-1 h-1", "byte", "1"} <= seen
    assert cf_units.Unit("g kW-1 h-1").convert(3.6e6, "kg J-1") == pytest.approx(1e-3)


def test_every_measured_variable_has_a_status_with_flags(tree):
    for group in ("energy", "quality"):
        status = tree[group].status
        assert len(status.attrs["flag_values"]) == len(status.attrs["flag_meanings"].split())
        assert (status == 0).all()
    assert tree["energy"].energy.attrs["ancillary_variables"] == "status"


def test_weights_add_up_what_making_them_cost(tree):
    made = tree["weights"].to_dataset().squeeze()
    # the stand-in: 1 s and 3 J for a pruning, the same for GPTQ; casts cost nothing
    cost = {
        (p, q): (
            float(made.making_time.sel(pruning=p, quantization=q)),
            float(made.making_energy.sel(pruning=p, quantization=q)),
        )
        for p in ("none", "half")
        for q in ("fp32", "gptq4")
    }
    assert cost == {
        ("none", "fp32"): (0, 0),
        ("half", "fp32"): (1, 3),
        ("none", "gptq4"): (1, 3),
        ("half", "gptq4"): (2, 6),
    }


def test_provenance(tree):
    assert tree.attrs["Conventions"].startswith("CF-")
    assert {"history", "study", "git_commit", "joulegrid_version"} <= set(tree.attrs)


def test_ranking_and_carbon_are_those_of_the_tables(tree, finished):
    import pandas as pd

    rows = pd.read_csv(finished[0] / "results/studies/small/ranking.csv")
    best = rows.iloc[0]
    found = tree["ranking"].score.sel(
        pruning=best["pruning"], quantization=best["quantization"], hardware=best["hardware"]
    )
    assert found.item() == pytest.approx(best["score"], rel=1e-4)
    assert np.nanmin(tree["ranking"]["rank"]) == 1
    carbon = pd.read_csv(finished[0] / "results/studies/small/carbon.csv")
    assert len(carbon) == 12 * 2
    there = carbon[(carbon.hardware == "there") & (carbon.zone == "BE")]
    here = carbon[(carbon.hardware == "here") & (carbon.zone == "BE")]
    # the same energy, PUE 1.5 against 1
    assert there.emissions_g.values == pytest.approx(1.5 * here.emissions_g.values, rel=1e-4)

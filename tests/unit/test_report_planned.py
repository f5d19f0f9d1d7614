"""The plan beside what was measured, as the report has it."""

import pytest
import xarray as xr

from joulegrid.report.planned import beside
from unit import test_comparison

LABELS = {axis: labels[0] for axis, labels in test_comparison.LABELS.items()}


def dataset(basis=0):
    """10, 5 and 2 J and 0.2 s per generated token, of one GPU; sessions a tenth about them."""
    joules = [[90, 110], [45, 55], [18, 22]]
    found = test_comparison.tree(joules, [1, 1, 1], [2, 2, 2])
    energy = found["energy"].to_dataset().assign_coords(component=["gpu"])
    energy["basis"] = energy.basis + basis
    return xr.DataTree.from_dict({"energy": energy})


def said(quantization, joules, seconds=(0.1, 0.2, 0.4), **labels):
    return {
        **LABELS,
        **labels,
        "quantization": quantization,
        "gpu_j_per_token": joules,
        "s_per_token": list(seconds),
        "rests_on": "defaults",
    }


def test_how_many_cells_lie_in_their_ranges_and_how_far_off_they_are():
    rows = [
        said("full", [6, 8, 12]),  # 10 measured
        said("half", [1, 2, 4]),  # 5
        said("low", [1, 2, 4]),  # 2
        said("gone", [1, 2, 4]),  # of a cell that the study has no more
    ]
    energy, time = beside(dataset(), rows)
    assert (energy["quantity"], energy["cells"], energy["inside"]) == ("GPU energy per token", 3, 2)
    assert energy["ratio"] == pytest.approx(10 / 8)  # the middle one of 10/8, 5/2, 2/2
    assert (time["cells"], time["inside"], time["ratio"]) == (3, 3, pytest.approx(1))
    assert energy["rests_on"] == "defaults"


def test_energy_that_no_counter_read_is_not_compared():
    (time,) = beside(dataset(basis=1), [said("full", [6, 8, 12])])
    assert time["quantity"] == "time per token"
    (time,) = beside(dataset(), [said("full", None)])  # of a CPU
    assert time["quantity"] == "time per token"


def test_without_a_plan_there_is_nothing():
    assert beside(dataset(), []) == []

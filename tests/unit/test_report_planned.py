"""The plan beside what was measured, as the report has it."""

import pytest
import xarray as xr

from joulegrid.report.planned import as_asked, beside
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


def test_the_plan_as_it_was_asked_last():
    hours = {"hours_low": 1.0, "hours_median": 2.0, "hours_high": 4.0}
    none = dict.fromkeys(f"gpu_kwh_{part}" for part in ("low", "median", "high"))
    counts = {"cells": 4, "unsupported": 1, "infeasible": 1, "sessions": 4, "there": 1}
    entry = {**counts, "accepted": 0, "to_run": 3, "rests_on": "defaults", **hours, **none}
    plan = {
        "currency": "EUR",
        "hardware": [{"hardware": "a30", **entry}, {"hardware": "a100", **entry}],
        "jobs": [{"kind": "energy", "jobs": 8, "there": 2, "accepted": 0, "to_run": 6}],
        "total": [
            {"quantity": "jobs to run", "unit": "1", "low": 6, "median": 6, "high": 6},
            {"quantity": "hours", "unit": "h", "low": 2.5, "median": 4.0, "high": 7.0},
            {"quantity": "gpu_kwh", "unit": "kWh", "low": None, "median": None, "high": None},
            {"quantity": "gco2e_BE", "unit": "g", "low": 900, "median": 1234, "high": 2000},
            {"quantity": "gco2e_BE_best_start", "unit": "g", "low": 1, "median": 1, "high": 1},
            {"quantity": "gco2e_US_CAL_begun_now", "unit": "g", "low": 1, "median": 2, "high": 3},
        ],
    }
    told = as_asked(plan)
    assert told["headings"] == [
        "hours",
        "kWh of the GPUs",
        "g CO₂e in BE",
        "g CO₂e in US_CAL begun now",
    ]
    one, _, total = told["rows"]
    assert one["takes"] == ["2 (1 to 4)", "–", "–", "–"]
    assert total["counts"] == [8, 2, 2, 8, 2, 0, 6]
    assert total["takes"] == ["4 (2.5 to 7)", "–", "1,230 (900 to 2,000)", "2 (1 to 3)"]
    assert told["jobs"] == [["energy", 8, 2, 0, 6]]
    assert as_asked({}) == {}

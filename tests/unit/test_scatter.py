"""Where the axis of the scatter ends."""

import math

import pandas as pd
import pytest

from joulegrid.report import scatter


def ends(energies, margins):
    """The ends of the axis of energy for cells with these joules per token."""
    rows = len(energies)
    frame = pd.DataFrame(
        {name: [1.0] * rows for name in scatter.POINT}
        | {
            name: [f"{name} {n}" for n in range(rows)]
            for name in ("configuration", "place", "model")
        }
        | {"energy_per_token": energies, "energy_per_token_ci95": margins}
    )
    drawn = scatter.energy_quality(frame).to_dict()
    (found,) = {
        tuple(layer["encoding"]["x"]["scale"]["domain"])
        for layer in drawn["layer"]
        if "scale" in layer["encoding"]["x"]
    }
    return found


def test_intervals_lie_within_the_axis_unless_they_are_wider_than_all_points_are_apart():
    low, high = ends([1.0, 2.0, 3.0], [0.9, 0.1, 1.5])
    assert low <= 0.1
    assert high >= 4.5
    low, high = ends([1.0, 2.0, 3.0], [0.1, 0.1, 50.0])
    assert 0 <= low <= 0.9
    assert high == pytest.approx(5.0)


@pytest.mark.parametrize(("energies", "margins"), [([2.0], [math.nan]), ([2.0, 2.0], [0.1, 0.5])])
def test_cells_that_cost_the_same_have_an_axis(energies, margins):
    low, high = ends(energies, margins)
    assert low < 2.0 < high

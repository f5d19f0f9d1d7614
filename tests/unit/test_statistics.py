"""Intervals that cover what they say, and ranks that twins share: studies of a known truth."""

import numpy as np
import pytest
from scipy import stats

from joulegrid.analysis import statistics

RNG = np.random.default_rng(7)
STUDIES = 20_000


def simulated(sessions, means, spread, drift):
    """(sessions, studies, cells): J/token of cells with known means; what a session's machine does
    to all of its cells alike (`drift`), and to each alone (`spread`), relative.
    """
    shared = 1 + drift * RNG.standard_normal((sessions, STUDIES, 1))
    alone = 1 + spread * RNG.standard_normal((sessions, STUDIES, len(means)))
    return np.asarray(means) * shared * alone


@pytest.mark.parametrize("sessions", [2, 3, 5, 10])
@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_intervals_of_a_saving_cover_the_true_one(sessions, drift):
    """95 % intervals cover in 93 to 97 % of simulated studies, also where the machine drifts."""
    found = simulated(sessions, [10.0, 7.0], 0.02, drift)
    base, cell = found[..., 0], found[..., 1]
    half, _ = statistics.saving(cell, base, np.full(cell.shape, True))
    centre = np.mean(1 - cell / base, axis=0)
    covered = np.mean(np.abs(centre - 0.3) <= half)
    assert 0.93 <= covered <= 0.97


def test_pairs_take_the_drift_of_the_machine_out():
    found = simulated(3, [10.0, 7.0], 0.02, 0.2)
    base, cell = found[..., 0], found[..., 1]
    paired, _ = statistics.saving(cell, base, np.full(cell.shape, True))
    apart, _ = statistics.saving(cell, base, np.full(cell.shape, False))
    assert np.median(paired) < 0.25 * np.median(apart)


@pytest.mark.parametrize("sessions", [3, 5])
def test_unpaired_intervals_cover_too(sessions):
    base = simulated(sessions, [10.0], 0.03, 0.0)[..., 0]
    cell = simulated(sessions, [7.0], 0.03, 0.0)[..., 0]
    half, _ = statistics.saving(cell, base, np.full(cell.shape, False))
    centre = 1 - cell.mean(axis=0) / base.mean(axis=0)
    assert 0.93 <= np.mean(np.abs(centre - 0.3) <= half) <= 0.99


def test_the_probability_of_a_saving_is_what_it_says():
    """Of twins a saving is claimed at 97.5 % in 2.5 % of the studies, whatever the number is."""
    found = simulated(3, [10.0, 10.0], 0.02, 0.05)
    _, sure = statistics.saving(found[..., 1], found[..., 0], np.full((3, STUDIES), True))
    assert np.mean(sure > 0.975) == pytest.approx(0.025, abs=0.005)
    assert stats.kstest(sure, "uniform").pvalue > 0.001


@pytest.mark.parametrize("sessions", [2, 3, 5])
def test_twins_share_a_rank(sessions):
    """An A/A study: the same cell under several labels."""
    found = -simulated(sessions, [10.0] * 2, 0.02, 0.1)[:, :2000]
    board = np.full((sessions, 2), "one")
    shared = [len(set(statistics.ranks(found[:, n], board))) == 1 for n in range(2000)]
    assert 0.93 <= np.mean(shared) <= 0.97


def test_cells_that_differ_are_ranked_apart():
    scores = np.array([[0.1, 0.5, 0.49], [0.11, 0.5, 0.51], [0.1, 0.51, 0.5]])
    board = np.full(scores.shape, "one")
    assert statistics.ranks(scores, board).tolist() == [3, 1, 1]


def test_a_cell_that_nobody_knows_well_is_ranked_behind_what_is_better():
    """Its sessions differ so much that nothing is better for sure: that is no first place."""
    scores = np.array([[0.5, 0.1, -3.0], [0.5, 0.11, 1.0]])
    assert statistics.ranks(scores, np.full(scores.shape, "one")).tolist() == [1, 2, 2]


def test_one_session_is_ranked_by_its_number_alone():
    scores, board = np.array([[0.1, 0.5, np.nan]]), np.full((1, 3), "one")
    assert statistics.ranks(scores, board).tolist()[:2] == [2, 1]
    assert np.isnan(statistics.ranks(scores, board)[2])

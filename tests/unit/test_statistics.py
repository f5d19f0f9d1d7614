"""Intervals that cover what they say, and ranks that twins share: studies of a known truth."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from joulegrid.analysis import statistics, ties
from joulegrid.study.code import SCRIPTS

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
    saved = statistics.saving(cell, base, np.full(cell.shape, True))
    covered = np.mean(np.abs(saved[0] - 0.3) <= statistics.half_width(saved))
    assert 0.93 <= covered <= 0.97


def test_pairs_take_the_drift_of_the_machine_out():
    found = simulated(3, [10.0, 7.0], 0.02, 0.2)
    base, cell = found[..., 0], found[..., 1]
    paired, apart = (
        statistics.half_width(statistics.saving(cell, base, np.full(cell.shape, same)))
        for same in (True, False)
    )
    assert np.median(paired) < 0.25 * np.median(apart)


@pytest.mark.parametrize("sessions", [3, 5])
def test_intervals_cover_where_a_session_is_missing(sessions):
    """Of pairs those count that are whole: a session more of the baseline, on a day on which the
    machine was slow, moves nothing.
    """
    found = simulated(sessions, [10.0, 7.0], 0.02, 0.3)
    base, cell = found[..., 0], found[..., 1].copy()
    cell[-1] = np.nan
    saved = statistics.saving(cell, base, np.full(cell.shape, True))
    covered = np.mean(np.abs(saved[0] - 0.3) <= statistics.half_width(saved))
    assert 0.93 <= covered <= 0.97


def covered_apart(sessions):
    """How often unpaired intervals cover."""
    base = simulated(sessions, [10.0], 0.03, 0.0)[..., 0]
    cell = simulated(sessions, [7.0], 0.03, 0.0)[..., 0]
    saved = statistics.saving(cell, base, np.full(cell.shape, False))
    return np.mean(np.abs(saved[0] - 0.3) <= statistics.half_width(saved))


@pytest.mark.parametrize("sessions", [3, 5, 10])
def test_unpaired_intervals_cover_too(sessions):
    assert 0.93 <= covered_apart(sessions) <= 0.97


def test_unpaired_intervals_of_two_sessions_are_rather_too_wide():
    """Of two and two numbers Welch's degrees of freedom lie between 1 and 2, and are said by these
    four numbers alone: t is 4.3 to 12.7, where 4.3 would do if both spread alike.
    """
    assert 0.95 <= covered_apart(2) <= 0.985


def test_the_probability_of_a_saving_is_what_it_says():
    """Of twins a saving is claimed at 97.5 % in 2.5 % of the studies, whatever the number is."""
    found = simulated(3, [10.0, 10.0], 0.02, 0.05)
    saved = statistics.saving(found[..., 1], found[..., 0], np.full((3, STUDIES), True))
    sure = statistics.probability_above_zero(saved)
    assert np.mean(sure > 0.975) == pytest.approx(0.025, abs=0.005)
    assert stats.kstest(sure, "uniform").pvalue > 0.001


@pytest.mark.parametrize("sessions", [2, 3, 5])
@pytest.mark.parametrize("twins", [2, 4, 8])
def test_twins_share_a_rank(sessions, twins):
    """An A/A study: the same cell under several labels. All of them share a rank in 93 % of the
    studies at least: that some pair of many twins differs is no news.
    """
    found = -simulated(sessions, [10.0] * twins, 0.02, 0.1)[:, :2000]
    board = np.full((sessions, twins), "one")
    shared = [len(set(ties.ranks(found[:, n], board))) == 1 for n in range(2000)]
    assert np.mean(shared) >= 0.93


@pytest.mark.parametrize(
    "lacking",
    [
        np.s_[2, :],  # the baseline has no third session, and nothing is known against it
        np.s_[2, 3:],  # an unfinished study
        np.s_[[0, 1, 2, 2], [0, 1, 2, 3]],  # no session is whole
        np.s_[1:, 2:],  # half of them ran once
    ],
    ids=["baseline", "unfinished", "scattered", "once"],
)
@pytest.mark.parametrize("together", [True, False])
def test_twins_share_a_rank_where_sessions_are_missing(lacking, together):
    """What is not there yet tells no twins apart, and neither does what was rejected."""
    found = -simulated(3, [10.0] * 6, 0.02, 0.1 if together else 0.0)[:, :2000]
    board = np.full((3, 6), "one") if together else np.tile(np.arange(6).astype(str), (3, 1))
    shared = []
    for n in range(2000):
        scores = found[:, n].copy()
        scores[lacking] = np.nan
        shared.append(len(set(ties.ranks(scores, board))) == 1)
    assert np.mean(shared) >= 0.93


def test_cells_that_differ_are_ranked_apart_where_a_session_is_missing():
    scores = np.array([[0.1, 0.5, 0.49], [0.11, 0.5, 0.51], [np.nan, np.nan, np.nan]])
    assert ties.ranks(scores, np.full(scores.shape, "one")).tolist() == [3, 1, 1]
    scores = np.array([[0.1, 0.5, 0.49], [0.11, 0.5, 0.51], [np.nan, 0.51, 0.5]])
    assert ties.ranks(scores, np.full(scores.shape, "one")).tolist() == [3, 1, 1]


def test_many_cells_differ_honestly_by_little_more():
    """Tukey's quantiles of tables: 3.77 of 3 cells and 12 degrees of freedom, 5.36 of 20 and 40;
    of many cells Bonferroni's bound is a few percent above the true one.
    """
    assert ties._tukey(3, 12) == pytest.approx(3.77, abs=0.01)
    assert ties._tukey(20, 40) == pytest.approx(5.36, abs=0.01)
    true = stats.studentized_range.ppf(0.95, 60, 120)
    assert 1 <= ties._tukey(60, 120) / true <= 1.06


def test_cells_that_differ_are_ranked_apart():
    scores = np.array([[0.1, 0.5, 0.49], [0.11, 0.5, 0.51], [0.1, 0.51, 0.5]])
    board = np.full(scores.shape, "one")
    assert ties.ranks(scores, board).tolist() == [3, 1, 1]


def test_a_cell_that_nobody_knows_well_is_ranked_behind_what_is_better():
    """Its sessions differ so much that nothing is better for sure: that is no first place."""
    scores = np.array([[0.5, 0.1, -3.0], [0.5, 0.11, 1.0]])
    assert ties.ranks(scores, np.full(scores.shape, "one")).tolist() == [1, 2, 2]


def test_one_session_is_ranked_by_its_number_alone():
    scores, board = np.array([[0.1, 0.5, np.nan]]), np.full((1, 3), "one")
    assert ties.ranks(scores, board).tolist()[:2] == [2, 1]
    assert np.isnan(ties.ranks(scores, board)[2])


def test_no_step_waits_for_all_distributions():
    """Importing scipy.stats takes longer than all that most studies compute with it; four steps
    start for every study.
    """
    code = (
        "import sys; from joulegrid.analysis import comparison, dataset; "
        "from joulegrid.planning import beforehand; from joulegrid.report import figures, page; "
        "print('scipy.stats' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"

"""Which of two cells is better, and how sure that is."""

import numpy as np
import pytest
from scipy import stats

from joulegrid.analysis import ties

# Of three cells the best and the next one, and that and the last
PAIRS = ((0, 2), (2, 1))


def test_a_cell_beats_the_next_one_as_student_says():
    """Against SciPy: in pairs where both ran on one board, by Welch where not."""
    scores = np.array(
        [[0.30, 0.10, 0.21], [0.28, 0.12, 0.20], [0.33, 0.10, 0.18], [0.29, 0.11, 0.22]]
    )
    nothing = np.zeros((9, 3)), np.full(3, np.nan)
    found = ties.beats_next(scores, np.full(scores.shape, "one"), *nothing)
    paired = [stats.ttest_rel(scores[:, a], scores[:, b], alternative="greater") for a, b in PAIRS]
    assert found[[0, 2]] == pytest.approx([1 - each.pvalue for each in paired])
    assert np.isnan(found[1]), "nothing comes behind it"
    apart = np.array([["one", "two", "three"]] * 4)
    found = ties.beats_next(scores, apart, *nothing)
    welch = [
        stats.ttest_ind(scores[:, a], scores[:, b], equal_var=False, alternative="greater")
        for a, b in PAIRS
    ]
    assert found[[0, 2]] == pytest.approx([1 - each.pvalue for each in welch], abs=2e-4)


def test_samples_of_quality_make_it_less_sure_which_of_two_cells_is_better():
    scores = np.array([[0.30, 0.20], [0.28, 0.21], [0.33, 0.19]])
    board, freedom = np.full(scores.shape, "one"), np.full(2, 30.0)
    drawn = np.random.default_rng(0).normal(0, 0.1, (2000, 2))
    alone, both = (ties.beats_next(scores, board, d, freedom)[0] for d in (0 * drawn, drawn))
    assert 0.5 < both < alone
    # a difference of 0.103 with an error of √2·0.1 by samples, beside which sessions hardly count
    assert both == pytest.approx(stats.norm.cdf(0.1033 / 0.1414), abs=0.02)
    once = ties.beats_next(scores[:1], board[:1], drawn, freedom)
    assert np.isnan(once).all(), "one session is no replicate"

"""What is compared of the energy of sessions, and when that is no comparison."""

import numpy as np
import pytest

from joulegrid.analysis import ranked
from joulegrid.analysis.answer import answer
from joulegrid.analysis.variables import BASIS
from unit.test_comparison import BASELINE, METRICS, at, compare, tree

SAME = [[100, 102], [100, 102], [100, 102]]


def data(joules=SAME):
    return tree(joules, [0.8] * 3, [20] * 3)


def with_basis(tree, quantization, session, basis):
    where = {"quantization": quantization, "session": session, "component": "cpu"}
    tree["energy"].basis.loc[where] = BASIS.index(basis)
    return tree


def notes(tree, found):
    return ranked.table(tree, found).set_index("quantization")["note"]


def test_a_session_more_of_the_baseline_moves_no_saving():
    """A day on which all took twice as long, on which one cell was not measured."""
    found = compare(
        data([[100, 102, 200], [100.5, 101.5, np.nan], [50, 51, 100]]), 1, BASELINE, METRICS
    )
    assert at(found, "efficiency") == pytest.approx([0, 0, 0.5])
    assert abs(at(found, "saves_probability")[1] - 0.5) < 0.1


def test_counted_and_estimated_energies_are_not_compared():
    measured = with_basis(data(), "half", [1, 2], "estimated")
    found = compare(measured, 1, BASELINE, METRICS, energy="measured")
    assert np.isnan(at(found, "efficiency")[1])
    assert "measured" in notes(measured, found)["half"]
    # of all components they are, and both table and answer say what they differ in
    found = compare(measured, 1, BASELINE, METRICS)
    assert at(found, "other_basis").tolist() == [0, 1, 0]
    assert notes(measured, found)["half"] == ranked.OTHER_BASIS


def test_sessions_that_were_obtained_in_two_ways_are_said():
    mixed = with_basis(data(), "full", 2, "estimated")
    found = compare(mixed, 1, BASELINE, METRICS)
    assert at(found, "other_basis").tolist() == [1, 1, 1]


def test_a_guess_is_called_one_in_table_and_answer():
    guessed = with_basis(data([[100, 102], [50, 51], [100, 102]]), "half", [1, 2], "guess")
    found = compare(guessed, 1, BASELINE, METRICS)
    assert ranked.GUESSED in notes(guessed, found)["half"]
    assert "100 % is a guess." in answer(ranked.table(guessed, found), BASELINE, 1)


def test_net_energy_needs_an_idle_machine_that_nobody_disturbed():
    tree = data()
    tree["energy"].idle_disturbed.loc[{"quantization": "half"}] = 1
    # 5 W for 2 s are 10 J of each 100; a machine that took more idle than at work was wrong
    tree["energy"].idle_power.loc[{"quantization": "low"}] = 500
    found = compare(tree, 1, BASELINE, METRICS, net=True)
    assert at(found, "energy_per_token")[0] == pytest.approx(9.1)
    assert np.isnan(at(found, "energy_per_token")[1:]).all()
    assert notes(tree, found)["half"] == ranked.NOTHING["net"]
    assert not np.isnan(at(compare(tree, 1, BASELINE, METRICS), "energy_per_token")).any()

"""Scores of judged answers, against those that Arena-Hard-Auto published and against choix."""

import csv

import numpy as np
import pytest

from conftest import ROOT
from joulegrid.analysis.arena import STYLE, bradley_terry, score, style_controlled, style_of
from joulegrid.analysis.verdicts import LABELS, Verdicts, verdict_of
from joulegrid.quality.samples import samples, standard_error

PUBLISHED = {
    "gpt-3.5-turbo-0125": (23.34, 21.67, 25.27),
    "gpt-4-0613": (37.90, 35.60, 40.36),
}


@pytest.fixture(scope="module")
def rows():
    with open(ROOT / "tests/data/arena/verdicts.csv") as stream:
        return list(csv.DictReader(stream))


def verdicts_on(rows, model):
    """Of one model; where a list leaves open which verdict was decisive, the first."""
    own = [row for row in rows if row["model"] == model]
    first, second = [], []
    for row in own:
        one, other = row["game1"].split("|"), row["game2"].split("|")
        first.append(one[0])
        second.append(other[-1])
    return own, Verdicts(first, second)


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_scores(rows, model):
    own, verdicts = verdicts_on(rows, model)
    won, fought = verdicts.points()
    assert won.tolist() == [float(r["w_model"]) + float(r["w_tie"]) / 2 for r in own]
    assert fought.sum() == sum(float(r[k]) for r in own for k in r if k.startswith("w_"))
    found, (value, low, high) = score(verdicts), PUBLISHED[model]
    assert round(found.value, 2) == value
    # a decisive verdict is no three, and both on a question go together
    assert found.high - found.low > high - low
    closed = 100 * standard_error(samples("mean", won, fought))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * closed, rel=0.08)
    assert found.low < value < found.high


def test_agreement_of_the_two_orders(rows):
    own, verdicts = verdicts_on(rows, "gpt-4-0613")
    winner = {"A": "B", "B": "A", "=": "="}

    def named(label):
        return "=" if "=" in label else label[0]

    same = [named(r["game1"]) == winner[named(r["game2"])] for r in own]
    assert verdicts.agreement() == np.mean(same)
    assert 0.6 < verdicts.agreement() < 0.8
    assert verdicts.first_preferred() > 0.5, "gpt-4-1106 likes the first a little"


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("My final verdict is tie: [[A=B]].", "A=B"),
        ("A is much better.\n\n[[A>>B]]", "A>>B"),
        ("[[A>B]] as said: [[A>B]]", "A>B"),
        ("[[ b >> a ]]", "B>>A"),
        ("[[A<B]]", "B>A"),
        ("First [[A>B]], on second thoughts [[B>A]]", None),
        ("A>B", None),
        ("[[A>>>B]]", None),
        ("[[A>A]]", None),
        ("[[C>B]]", None),
        ("[[A>", None),
        ("", None),
    ],
)
def test_reading_a_verdict(reply, label):
    assert verdict_of(reply) == label


def test_nonsense_is_counted_and_its_question_left_out():
    clear = Verdicts(["B>>A", "A=B"], ["A>>B", "A=B"])
    mixed = Verdicts(["B>>A", "A=B", None, "A>B", None], ["A>>B", "A=B", "B>>A", None, None])
    assert (clear.unreadable, mixed.unreadable) == (0, 4)
    assert mixed.readable.tolist() == [True, True, False, False, False]
    assert score(mixed) == score(clear)
    assert score(clear).value == 100 * 7 / 8
    assert mixed.agreement() == 1
    nothing = Verdicts([None], ["A>B"])
    assert np.isnan([score(nothing).value, score(nothing).low, nothing.agreement()]).all()
    assert np.isnan(style_controlled(nothing, ["a"], ["b"]).value)


def test_decisive_verdicts_count_three_times():
    assert score(Verdicts(["A>>B", "B>A"], ["A=B", "A=B"])).value == 100 * (0.5 + 1 + 0.5) / 6
    assert {label: weight for label, (_, weight) in LABELS.items()} == {
        "A>>B": 3,
        "A>B": 1,
        "A=B": 1,
        "B>A": 1,
        "B>>A": 3,
    }


def test_bradley_terry_as_choix_fits_it():
    """Found by `opt_pairwise(4, …)` of choix 0.4.1, less the first competitor's."""
    fights = [(0, 1, 7, 3), (1, 2, 6, 4), (0, 2, 8, 5), (3, 0, 2, 9), (3, 2, 5, 5)]
    design = np.zeros((len(fights), 4))
    for n, (one, other, _, _) in enumerate(fights):
        design[n, [one, other]] = 1, -1
    won = np.array([w for *_, w, _ in fights], float)
    lost = np.array([w for *_, w in fights], float)
    found = bradley_terry(design[:, 1:], won, won + lost)
    assert found == pytest.approx([-0.6397217, -0.85936264, -1.1329619], abs=1e-6)


def test_bradley_terry_is_the_share_of_wins_against_one_opponent():
    won, fought = np.array([3.0, 0.5, 4]), np.array([6.0, 6, 6])
    found = bradley_terry(np.eye(3), won, fought)
    assert 1 / (1 + np.exp(-found)) == pytest.approx(won / fought, abs=1e-12)
    assert np.isnan(bradley_terry(np.eye(1), np.ones(1), np.ones(1))).all()
    assert np.isnan(bradley_terry(np.ones((2, 2)), np.array([1.0, 0]), np.ones(2))).all()


def test_style_is_counted_outside_code():
    text = "# Title\n\n- one **bold** item\n2. two\n```\n# no title\n- no item\n```\n"
    found = style_of([text, "a b", ""], ["a b", "a b", ""])
    words = len(text.split())
    assert found[0, 0] == (words - 2) / (words + 2)
    density = np.array([1, 2, 1]) / words
    assert found[0, 1:] == pytest.approx(density / (density + 1))
    assert found[1:].tolist() == [[0, 0, 0, 0]] * 2
    assert len(STYLE) == found.shape[1]


def test_style_control_finds_the_odds_behind_length():
    """A judge who prefers longer answers by odds that are known, and the configuration by 1 to 4
    beside that: 20 % at equal length.
    """
    random = np.random.default_rng(1)
    words = random.integers(20, 200, (500, 2))
    style = (words[:, 0] - words[:, 1]) / words.sum(axis=1)
    chance = 1 / (1 + np.exp(-(np.log(0.25) + 4 * (style + 0.3))))
    wins = random.random(chance.size) < chance
    own = [" ".join("w" * n) for n in words[:, 0]]
    base = [" ".join("w" * n) for n in words[:, 1]]
    verdicts = Verdicts(
        ["B>A" if win else "A>B" for win in wins], ["A>B" if win else "B>A" for win in wins]
    )
    found = style_controlled(verdicts, own, base)
    expected = 100 / (1 + np.exp(-(np.log(0.25) + 4 * 0.3)))
    assert found.low < expected < found.high
    alike = style_controlled(verdicts, base, base)
    assert alike.value == pytest.approx(score(verdicts).value, abs=1e-9)

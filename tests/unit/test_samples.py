"""Metrics as means over samples, and the samples behind what lm-eval says."""

import math

import pytest

from joulegrid.quality.samples import behind, samples, standard_error, value_of


def test_the_standard_error_of_a_mean_is_that_of_its_samples():
    # 0, 1, 1, 1: variance 0.25 with n - 1, over 4
    assert standard_error(samples("mean", [0, 1, 1, 1])) == pytest.approx(math.sqrt(0.25 / 4))


def test_one_sample_has_no_standard_error():
    assert standard_error(samples("mean", [0.5])) is None


def test_an_exponential_beyond_all_numbers_is_infinite():
    assert value_of(samples("exp", [1e6])) == math.inf


# The aggregations of lm-eval 0.4.13 (lm_eval/api/metrics.py), by their formulae
PAIRS = [(-30.5, 10), (-12.25, 4), (-80.0, 31)]
LOSS, WORDS = sum(-ll for ll, _ in PAIRS), sum(n for _, n in PAIRS)


@pytest.mark.parametrize(
    ("value", "each", "link"),
    [
        (2 / 3, [1.0, 0.0, 1.0], "mean"),
        (math.exp(1.5), [-1.0, -2.0], "exp"),
        (math.exp(LOSS / WORDS), PAIRS, "exp"),
        (LOSS / WORDS / math.log(2), PAIRS, "mean"),
    ],
)
def test_the_samples_of_every_mean_of_lm_eval_are_recognized(value, each, link):
    found = behind(value, each)
    assert found["link"] == link
    assert value_of(found) == pytest.approx(value)


@pytest.mark.parametrize(
    "each", [["a", "b"], [(0, 1), (1, 1)], [0.1, 0.2], [math.nan, 1.0], [[], []]]
)
def test_what_is_no_mean_of_its_samples_has_none(each):
    assert behind(0.77, each) is None

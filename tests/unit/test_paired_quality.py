"""Differences of quality between configurations that answered the same samples."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from joulegrid.analysis import metric_changes, samples
from joulegrid.analysis.concluded import VERDICT
from joulegrid.analysis.evaluations import row_of
from joulegrid.analysis.recorded.quality import Evaluation, Metric, Samples
from joulegrid.analysis.ties import ranks
from joulegrid.study.grid import CONFIGURATION_AXES
from unit.test_comparison import BASELINE, LABELS, compare, tree

AXES = {axis: LABELS[axis] for axis in CONFIGURATION_AXES}
METRIC = "facts.acc"


def with_samples(data, **totals):
    """`data` with samples of facts.acc for some quantizations."""
    found = {
        ("m", "none", "none", label): Samples("mean", list(total), None)
        for label, total in totals.items()
    }
    groups = {node.path: node.to_dataset() for node in data.subtree}
    group = samples.group(AXES, {METRIC: found})
    return xr.DataTree.from_dict({**groups, "/samples/facts": group})


def data(*accuracy):
    """Half the energy for each further quantization; `accuracy` of full, half, low."""
    return tree([[100, 101], [50, 50.5], [25, 25.25]], accuracy, [20, 20, 20])


def interval(full, half):
    """Half width of the interval of ρ of `half`."""
    chosen = data(full.mean(), half.mean(), np.nan)
    found = compare(with_samples(chosen, full=full, half=half), 0.5, BASELINE, [METRIC])
    return found.quality_ci95.values.ravel()[1]


def test_the_interval_is_that_of_the_differences_of_the_samples():
    random = np.random.default_rng(0)
    full = random.normal(10, 3, 200)
    half = full - random.normal(0.5, 0.2, 200)
    # the error of a ratio of means of pairs (Cochran, Sampling Techniques, 6.4), times t
    left = half - half.mean() / full.mean() * full
    by_hand = 1.972 * left.std(ddof=1) / np.sqrt(200) / full.mean()
    assert interval(full, half) == pytest.approx(by_hand, rel=0.1)
    # not compared on the same samples it would be ten times as wide
    assert interval(full, half[::-1]) > 5 * by_hand


def test_intervals_cover_in_93_to_97_percent_of_studies():
    """Each model is a study of its own."""
    random, studies = np.random.default_rng(1), [str(n) for n in range(2000)]
    right = random.random((2000, 40)) < 0.7
    # what is expected of `kept` is 0.8 · 0.7 + 0.2 · 0.5
    kept = np.where(random.random((2000, 40)) < 0.8, right, random.random((2000, 40)) < 0.5)
    answers = {"full": right.astype(float), "half": kept.astype(float)}
    rows = {
        (study, "none", "none", label): Samples("mean", values[n].tolist(), None)
        for label, values in answers.items()
        for n, study in enumerate(studies)
    }
    group = samples.group({**AXES, "model": studies}, {METRIC: rows})
    drawn = samples.resampled(xr.DataTree.from_dict({"/samples/facts": group}), [METRIC])
    base = drawn.quality.sel(quantization="full")
    error = samples.error_of(drawn.quality / base - 1, drawn.freedom)
    half_width = samples.half_width(error, drawn.freedom).sel(quantization="half").values.ravel()
    change = answers["half"].mean(axis=1) / answers["full"].mean(axis=1) - 1
    inside = np.abs(change - (0.66 / 0.7 - 1)) <= half_width
    assert 0.93 <= inside.mean() <= 0.97


def test_an_exponential_of_a_mean_is_resampled_as_one():
    found = {("m", "none", "none", "full"): Samples("exp", [20.0, 10.0, 30.0], [10.0, 5.0, 15.0])}
    group = samples.group(AXES, {"text.perplexity": found})
    chosen = xr.DataTree.from_dict({"/samples/text": group})
    drawn = samples.resampled(chosen, ["text.perplexity"]).quality
    # every sample has a loss of 2 per token
    assert drawn.sel(quantization="full").values == pytest.approx(np.exp(2))
    assert np.isnan(drawn.sel(quantization="half").values).all()


def test_a_metric_without_samples_has_no_interval_and_that_of_the_score_is_of_energy():
    full = np.tile([0.0, 1.0], 50)
    chosen = with_samples(data(0.5, 0.5, 0.4), full=full, half=full)
    found = compare(chosen, 0.7, BASELINE, [METRIC, "text.perplexity"])
    assert np.isnan(found.quality_ci95.values).all()
    plain = compare(data(0.5, 0.5, 0.4), 0.7, BASELINE, [METRIC, "text.perplexity"])
    xr.testing.assert_allclose(found.score_ci95, plain.score_ci95)


def test_cells_whose_quality_few_samples_tell_apart_share_a_rank():
    """One of twenty answers more is luck, of two thousand it is not."""
    for copies, expected in ((1, 1), (100, 3)):
        full = np.tile([1.0] * 12 + [0.0] * 8, copies)
        half = np.tile([1.0] * 11 + [0.0] * 9, copies)
        low = np.tile([0.0] + [1.0] * 10 + [0.0] * 9, copies)
        means = [full.mean(), half.mean(), low.mean()]
        chosen = with_samples(
            tree([[50, 50.1], [50, 50.1], [50, 50.1]], means, [20] * 3),
            full=full,
            half=half,
            low=low,
        )
        found = compare(chosen, 0, BASELINE, [METRIC])
        assert found["rank"].values.ravel()[-1] == expected


def test_at_quality_alone_the_interval_of_the_score_is_that_of_quality():
    random = np.random.default_rng(0)
    full, half = random.random(50), random.random(50)
    chosen = with_samples(data(full.mean(), half.mean(), np.nan), full=full, half=half)
    found = compare(chosen, 0, BASELINE, [METRIC])
    assert found.score_ci95.values.ravel()[1] == found.quality_ci95.values.ravel()[1] > 0


@pytest.mark.parametrize("samples_of_each", [5, 10, 40])
def test_twins_share_a_rank_with_few_samples_as_with_many(samples_of_each):
    """Each place (model) has two cells that are equally good: they are told apart in 5 % of places
    or fewer.
    """
    random, places = np.random.default_rng(2), 600
    values = random.normal(10, 1, (2, places, samples_of_each))
    resamples = random.integers(0, samples_of_each, (400, samples_of_each))
    drawn = values[:, :, resamples].mean(axis=-1)  # (cell, place, draw)
    board, free = np.full((1, 2), "one"), np.full(2, samples_of_each - 1.0)
    shared = [
        len(set(ranks(values[:, n].mean(axis=-1)[None], board, drawn[:, n].T, free))) == 1
        for n in range(places)
    ]
    assert np.mean(shared) >= 0.93


def test_every_metric_has_the_interval_of_its_own_difference():
    random = np.random.default_rng(0)
    full = random.normal(10, 3, 200)
    half = full - random.normal(0.5, 0.2, 200)
    low = full + random.normal(0, 1, 200) * 0.01
    low += full.mean() - low.mean()
    chosen = with_samples(data(full.mean(), half.mean(), low.mean()), full=full, half=half, low=low)
    found = metric_changes.account(chosen, BASELINE).squeeze()
    of_half = found.sel(quantization="half", metric=METRIC)
    # Student's t of the differences of pairs
    by_hand = 1.972 * (half - full).std(ddof=1) / np.sqrt(200)
    assert of_half.difference_ci95.item() == pytest.approx(by_hand, rel=0.1)
    assert of_half.change_ci95.item() == pytest.approx(interval(full, half), rel=1e-9)
    verdicts = [VERDICT[v] for v in found.verdict.sel(metric=METRIC).values]
    assert dict(zip(found["quantization"].values, verdicts, strict=True)) == {
        "full": "same",
        "half": "worse",
        "low": "same",
    }
    # nobody knows of a metric without samples
    without = found.sel(quantization="half", metric="text.perplexity")
    assert VERDICT[int(without.verdict)] == "unknown"
    assert np.isnan(without.change_ci95)


def test_a_label_of_a_task_may_hold_dots():
    found = {("m", "none", "none", "full"): Samples("mean", [1.0, 0.0, 1.0], None)}
    group = samples.group(AXES, {"mmlu-5.0.acc": found})
    tree_of = xr.DataTree.from_dict({"/samples/mmlu-5.0": group})
    drawn = samples.resampled(tree_of, ["mmlu-5.0.acc"])
    assert drawn.freedom.sel(quantization="full").item() == 2


def test_what_came_out_as_no_number_says_so():
    """A model that computes NaN has a record that is ok, and no perplexity."""
    none, one = Metric(None, None, higher_is_better=False), Metric(2.0, 0.1, higher_is_better=True)
    record = Evaluation(schema_version=1, id="x", status="ok", metrics={"broken": none, "acc": one})
    records = SimpleNamespace(row=lambda job, shape, extract: extract(record))
    found = row_of(None, records, "text", ["text.broken", "text.acc"])["metrics"]
    assert found["text.broken"].reason.startswith("it came out as no number")
    assert found["text.acc"].reason == ""


def weighed(metric, link="mean", **samples_of):
    """A tree with the samples of a metric, of (totals, weights) of some quantizations."""
    found = {
        ("m", "none", "none", label): Samples(link, list(total), list(weight))
        for label, (total, weight) in samples_of.items()
    }
    means = {label: sum(total) / sum(weight) for label, (total, weight) in samples_of.items()}
    chosen = data(*(means.get(label, np.nan) for label in ("full", "half", "low")))
    groups = {node.path: node.to_dataset() for node in chosen.subtree}
    groups["/quality"] = groups["/quality"].assign_coords(metric=[metric, "text.perplexity"])
    group = samples.group(AXES, {metric: found})
    return xr.DataTree.from_dict({**groups, f"/samples/{metric.rpartition('.')[0]}": group})


def test_what_one_side_left_out_does_not_count_on_the_other():
    """A question that is longer than the context of one is asked of the other."""
    random = np.random.default_rng(0)
    easy, hard = random.normal(10, 1, 60), random.normal(2, 1, 20)
    full = np.concatenate([easy, hard])
    # as good as the baseline in all that it was asked, and it was asked what is easy
    half = np.concatenate([easy, 0 * hard])
    asked = np.repeat([1.0, 0.0], [60, 20])
    low = full - 1
    ones = np.ones(80)
    chosen = weighed(METRIC, full=(full, ones), half=(half, asked), low=(low, ones))
    found = metric_changes.account(chosen, BASELINE).squeeze().sel(metric=METRIC)
    of_half, of_low = found.sel(quantization="half"), found.sel(quantization="low")
    assert of_half.difference.item() == of_half.change.item() == 0
    assert of_half.difference_ci95.item() == pytest.approx(0, abs=1e-9)
    assert VERDICT[int(of_half.verdict)] == "same"
    assert of_half.samples.item() == 60
    assert of_half.notes.item() == (
        "facts: compared with the baseline on the 60 of 80 samples that both have"
    )
    assert of_low.difference.item() == pytest.approx(-1)
    assert (of_low.samples.item(), of_low.notes.item()) == (80, "")
    ranking = compare(chosen, 0.5, BASELINE, [METRIC]).squeeze()
    assert ranking.quality.sel(quantization="half").item() == 0
    assert ranking.quality_ci95.sel(quantization="half").item() == pytest.approx(0, abs=1e-9)
    assert ranking.quality.sel(quantization="low").item() == pytest.approx(-1 / full.mean())


def test_what_the_baseline_left_out_counts_for_nobody():
    full, half = np.array([4.0, 6.0, 5.0, 0.0]), np.array([4.0, 6.0, 5.0, 1.0])
    chosen = weighed(METRIC, full=(full, [1, 1, 1, 0]), half=(half, [1, 1, 1, 1]))
    found = metric_changes.account(chosen, BASELINE).squeeze().sel(metric=METRIC)
    assert found.difference.sel(quantization="half").item() == 0
    nobody = weighed(METRIC, full=([4, 6, 0, 0], [1, 1, 0, 0]), half=([0, 0, 5, 1], [0, 0, 1, 1]))
    found = metric_changes.account(nobody, BASELINE).squeeze().sel(metric=METRIC)
    of_half = found.sel(quantization="half")
    assert np.isnan(of_half.difference.item())
    assert of_half.samples.item() == 0
    assert VERDICT[int(of_half.verdict)] == "unknown"


def test_a_metric_of_a_corpus_says_that_fewer_of_its_answers_are_an_approximation():
    full, half = np.array([40.0, 60.0, 50.0, 90.0]), np.array([40.0, 60.0, 50.0, 0.0])
    chosen = weighed("facts.bleu", full=(full, [1] * 4), half=(half, [1, 1, 1, 0]))
    found = metric_changes.account(chosen, BASELINE).squeeze().sel(quantization="half")
    told = found.sel(metric="facts.bleu").notes.item()
    assert told.startswith("facts.bleu, to first order: compared with the baseline on the 3 of 4")


def test_verdicts_against_the_baseline_need_no_remark():
    """Who is judged against the baseline has no verdict on some questions; the baseline has 50."""
    chosen = weighed(
        "arena.win_rate", full=([50.0] * 4, [1] * 4), half=([90, 30, 0, 0], [3, 1, 0, 0])
    )
    found = metric_changes.account(chosen, BASELINE).squeeze().sel(metric="arena.win_rate")
    of_half = found.sel(quantization="half")
    assert of_half.difference.item() == pytest.approx(120 / 4 - 50)
    assert (of_half.samples.item(), of_half.notes.item()) == (2, "")


def test_pairs_with_nothing_in_common_are_as_wide_as_apart():
    """Windows of a text by two tokenizers, as many of each."""
    random = np.random.default_rng(3)
    full, half = random.normal(10, 3, 400), random.normal(9, 2, 400)
    chosen = with_samples(data(full.mean(), half.mean(), np.nan), full=full, half=half)
    found = metric_changes.account(chosen, BASELINE).squeeze().sel(metric=METRIC)
    error = np.sqrt((full.var(ddof=1) + half.var(ddof=1)) / 400)
    width = found.difference_ci95.sel(quantization="half").item()
    assert width == pytest.approx(1.966 * error, rel=0.1)


def test_samples_that_are_not_the_same_ones_are_compared_as_wholes():
    """Windows of a text, of which another tokenizer makes more."""
    chosen = weighed(METRIC, full=([2.0, 4.0], [1, 1]), half=([2.0, 4.0, 9.0], [1, 0.5, 1]))
    found = metric_changes.account(chosen, BASELINE).squeeze().sel(metric=METRIC)
    of_half = found.sel(quantization="half")
    assert of_half.difference.item() == pytest.approx(15 / 2.5 - 3)
    assert np.isnan(of_half.samples.item())

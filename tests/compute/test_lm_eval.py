"""Metrics out of lm-eval's results: by name and filter, with a direction that somebody said."""

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import ROOT
from joulegrid.errors import InputError
from joulegrid.quality.lm_eval import evaluate, metric_of
from joulegrid.quality.samples import standard_error, value_of

# What lm-eval 0.4.13 gives for gsm8k
GSM8K = {
    "alias": "gsm8k",
    "exact_match,strict-match": 0.02,
    "exact_match_stderr,strict-match": 0.004,
    "exact_match,flexible-extract": 0.05,
    "exact_match_stderr,flexible-extract": "N/A",
}
BETTER = {"exact_match": True}


def test_a_metric_of_several_filters_must_be_chosen():
    with pytest.raises(
        InputError, match="choose exact_match,flexible-extract or exact_match,strict-match"
    ):
        metric_of("exact_match", GSM8K, BETTER, {})
    strict = metric_of("exact_match,strict-match", GSM8K, BETTER, {})
    assert strict == {"value": 0.02, "stderr": 0.004, "higher_is_better": True, "samples": None}
    assert metric_of("exact_match,flexible-extract", GSM8K, BETTER, {})["stderr"] is None


def test_one_filter_needs_no_name():
    found = metric_of("acc", {"acc,none": 0.25, "acc_stderr,none": 0.1}, {"acc": True}, {})
    assert found == {"value": 0.25, "stderr": 0.1, "higher_is_better": True, "samples": None}


@pytest.mark.parametrize("name", ["f1", "exact_match,strict", "exact_match_stderr"])
def test_an_unknown_metric_is_named_with_those_there_are(name):
    with pytest.raises(
        InputError, match=r"no metric '.*'; it has exact_match,flexible-extract, exact_match,strict"
    ):
        metric_of(name, GSM8K, BETTER, {})


def test_an_unknown_direction_is_asked_for():
    results = {"loss,none": 2.0}
    with pytest.raises(InputError, match="does not say which way 'loss' is better"):
        metric_of("loss", results, {}, {})
    assert metric_of("loss", results, {}, {"loss": "lower"})["higher_is_better"] is False


def test_the_samples_are_those_of_the_chosen_filter_in_the_order_of_the_documents():
    logged = [
        {"doc_id": 1, "filter": "strict-match", "exact_match": 1.0},
        {"doc_id": 0, "filter": "strict-match", "exact_match": 0.0},
        {"doc_id": 0, "filter": "flexible-extract", "exact_match": 1.0},
        {"doc_id": 1, "filter": "flexible-extract", "exact_match": 1.0},
    ]
    results = {"exact_match,strict-match": 0.5, "exact_match,flexible-extract": 1.0}
    found = metric_of("exact_match,strict-match", results, BETTER, {}, logged)
    assert found["samples"] == {"link": "mean", "total": [0, 1], "weight": None}


def test_a_real_task_keeps_the_answer_to_each_of_its_documents(tiny, monkeypatch):
    monkeypatch.chdir(ROOT)  # the task names its data relative to the repository
    model = AutoModelForCausalLM.from_pretrained(tiny)
    entry = {
        "task": "facts",
        "folder": {"path": "config/tasks/facts"},
        "metrics": ["acc", "acc_norm"],
        "batch_size": 8,
        "fewshot": 0,
        "directions": {},
    }
    found = evaluate(model, AutoTokenizer.from_pretrained(tiny), entry, 0)
    for metric in found.values():
        assert len(metric["samples"]["total"]) == 40
        assert value_of(metric["samples"]) == metric["value"]
        # lm-eval's own is of the same samples
        assert standard_error(metric["samples"]) == pytest.approx(metric["stderr"])

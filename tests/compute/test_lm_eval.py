"""Metrics out of lm-eval's results: by name and filter, with a direction that somebody said."""

import gzip
import json
import sys

import pytest
from lm_eval.__main__ import cli_evaluate
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import ROOT
from joulegrid.errors import InputError, Unsupported
from joulegrid.quality.lm_eval import evaluate, metric_of
from joulegrid.quality.samples import behind, standard_error, value_of

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


def test_a_real_task_keeps_the_answer_to_each_of_its_documents(tiny, monkeypatch, tmp_path):
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
    beside = tmp_path / "facts.samples.jsonl.gz"
    found = evaluate(model, AutoTokenizer.from_pretrained(tiny), entry, 0, beside)
    with gzip.open(beside, "rt") as stream:
        kept = [json.loads(line) for line in stream]
    assert [row["acc"] for row in kept] == found["acc"]["samples"]["total"]
    assert all(row["filtered_resps"] and row["doc_hash"] and "doc" not in row for row in kept)
    for metric in found.values():
        assert len(metric["samples"]["total"]) == 40
        assert value_of(metric["samples"]) == metric["value"]
        # lm-eval's own is of the same samples
        assert standard_error(metric["samples"]) == pytest.approx(metric["stderr"])


def test_lists_of_answers_in_a_sample_are_samples_of_a_mean():
    """IFEval's share of instructions that were followed, some of which stand in one prompt."""
    found = behind(0.6, [[True, False, True], [False], [True]])
    assert found == {"link": "mean", "total": [2, 0, 1], "weight": [3, 1, 1]}
    assert behind(0.75, [[True, False], [True, True]])["weight"] == [2, 2]


# A task with numbers that are no shares, a task by its name, and a group of tasks of unlike sizes
PAGES = """
task: pages
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/pages.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{page}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
"""
HALF = """
include: FOLDER/facts.yaml
task: half
process_docs: !function half.half
"""
BOTH = """
group: both
task: [facts, half]
aggregate_metric_list: [{metric: acc, weight_by_size: true}]
"""


def test_numbers_are_those_of_the_command_lm_eval_on_the_same_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "config/texts/evaluation.txt").read_text(encoding="utf-8").split("\n\n")
    pages = "\n".join(json.dumps({"page": page}) for page in text[:6])
    (tmp_path / "pages.jsonl").write_text(pages, encoding="utf-8")
    facts = (ROOT / "config/tasks/facts/facts.yaml").read_text(encoding="utf-8")
    (tmp_path / "half.py").write_text("def half(docs):\n    return docs.select(range(15))\n")
    for name, content in {"pages": PAGES, "facts": facts, "half": HALF, "both": BOTH}.items():
        (tmp_path / f"{name}.yaml").write_text(content.replace("FOLDER", str(tmp_path)))
    command = (
        f"lm-eval run --model hf --model_args pretrained={tiny},dtype=float32 --device cpu "
        f"--tasks pages,both --include_path {tmp_path} --batch_size 4 --num_fewshot 1 "
        f"--output_path {tmp_path}/out --log_samples --seed 0"
    )
    monkeypatch.setattr(sys, "argv", command.split())
    cli_evaluate()
    (written,) = (tmp_path / "out").rglob("results_*.json")
    theirs = json.loads(written.read_text(encoding="utf-8"))["results"]
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny),
        AutoTokenizer.from_pretrained(tiny),
    )
    asked = {
        "pages": ["word_perplexity", "bits_per_byte"],
        "facts": ["acc", "acc_norm"],
        "both": ["acc"],
    }
    for task, metrics in asked.items():
        entry = {
            "task": task,
            "folder": {"path": str(tmp_path)},
            "metrics": metrics,
            "batch_size": 4,
            "fewshot": 1,
            "directions": {},
        }
        ours = evaluate(model, tokenizer, entry, 0)
        for name, found in ours.items():
            assert found["value"] == pytest.approx(theirs[task][f"{name},none"], rel=1e-6)
            assert value_of(found["samples"]) == pytest.approx(found["value"], rel=1e-6)
    assert len(ours["acc"]["samples"]["total"]) == 40 + 15


CHOICE = """
task: TASK
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/long.jsonl}}
test_split: test
doc_to_text: "{{query}}"
"""
CHOOSE = """
output_type: multiple_choice
doc_to_target: 0
doc_to_choice: [" yes", " no"]
metric_list: [{metric: acc}]
"""
WRITE = """
output_type: generate_until
doc_to_target: "yes"
generation_kwargs: {until: ["stop"], do_sample: false, max_gen_toks: MOST}
metric_list: [{metric: exact_match}]
"""


def test_prompts_longer_than_the_context_are_counted(tiny, tmp_path):
    """One of three; the tiny model reads 512 tokens. lm-eval cuts it and says so in its log."""
    rows = [{"query": text} for text in ("Is it?", "word " * 600, "Or not?")]
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tasks = {"choose": CHOOSE, "write": WRITE.replace("MOST", "4"), "essay": WRITE}
    for name, rest in tasks.items():
        whole = CHOICE.replace("TASK", name).replace("FOLDER", str(tmp_path)) + rest
        (tmp_path / f"{name}.yaml").write_text(whole.replace("MOST", "1280"))
    loaded = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    entry = {"folder": {"path": str(tmp_path)}, "batch_size": 2, "fewshot": 0, "directions": {}}

    def of(task, metric):
        return evaluate(*loaded, {**entry, "task": task, "metrics": [metric]}, 0)[metric]

    assert of("choose", "acc")["too_long"] == 2, "a prompt for each of the two choices"
    assert of("write", "exact_match")["too_long"] == 1
    with pytest.raises(
        Unsupported, match=r"answers of 1280 tokens leave no room .* context of 512"
    ):
        of("essay", "exact_match")


def test_a_task_has_its_own_number_of_examples_unless_the_study_says_another(tiny, tmp_path):
    """As with the command; a prompt of one question fits into the context, one of two does not."""
    (tmp_path / "long.jsonl").write_text(
        "\n".join(json.dumps({"query": f"{n} " + "word " * 100}) for n in range(3))
    )
    whole = CHOICE.replace("TASK", "choose").replace("FOLDER", str(tmp_path)) + CHOOSE
    (tmp_path / "choose.yaml").write_text(f"{whole}num_fewshot: 1\n")
    loaded = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    folder = {"path": str(tmp_path)}
    entry = {"task": "choose", "folder": folder, "batch_size": 2, "directions": {}}
    for more, too_long in (({}, 6), ({"fewshot": 1}, 6), ({"fewshot": 0}, 0)):
        found = evaluate(*loaded, {**entry, "metrics": ["acc"], **more}, 0)["acc"]
        assert found["too_long"] == too_long


def test_the_documents_of_a_task_are_pinned_by_their_digest(tiny, tmp_path):
    """Whatever the limit; data that changed are refused before anything is computed."""
    loaded = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    whole = CHOICE.replace("TASK", "choose").replace("FOLDER", str(tmp_path)) + CHOOSE
    (tmp_path / "choose.yaml").write_text(whole)
    folder = {"path": str(tmp_path)}
    entry = {"task": "choose", "folder": folder, "batch_size": 2, "fewshot": 0, "directions": {}}

    def documents(texts, **more):
        lines = [json.dumps({"query": text}) for text in texts]
        (tmp_path / "long.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return evaluate(*loaded, {**entry, "metrics": ["acc"], **more}, 0)["acc"]["documents"]

    first = documents(["Is it?", "Or not?"])
    assert len(first) == 64
    assert documents(["Is it?", "Or not?"], limit=1) == first
    assert documents(["Is it?", "Or not?"], sha256=first) == first
    assert documents(["Is it?", "Or not so?"]) != first
    with pytest.raises(InputError, match=rf"quality\.sha256: .* not {first}: .* another revision"):
        documents(["Is it?", "Or not so?"], sha256=first)

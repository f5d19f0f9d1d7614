"""Benchmarks from local files: the tasks of the ready-made groups over a few invented samples,
against what is computed by hand.
"""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import lm_eval
import pytest
import torch
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import ROOT
from joulegrid.quality.lm_eval import evaluate, splitter
from joulegrid.quality.samples import value_of

CHOICES = {"query": "Baking: A man holds a bowl. he", "choices": ["stirs it.", "flies."], "gold": 0}
DATA = {
    "hellaswag": [CHOICES, {**CHOICES, "gold": 1}],
    "arc_easy": [{**CHOICES, "query": "Question: What is wet?", "choices": ["sand", "water"]}],
    "openbookqa": [CHOICES],
    "winogrande": [
        {
            "context_options": ["Ann met Eve and Ann", "Ann met Eve and Eve"],
            "continuation": "left first.",
            "gold": 1,
        }
    ],
    "mmlu": [{"subject": "high_school_physics", "question": " Is it? ", "gold": 2}],
    "ifeval": [
        {
            "key": 1,
            "prompt": "Write. Do not use any commas.",
            "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{}],
        },
        {
            "key": 2,
            "prompt": "Write at least two sentences.",
            "instruction_id_list": ["length_constraints:number_sentences"],
            "kwargs": [{"num_sentences": 2, "relation": "at least"}],
        },
    ],
}
DATA["mmlu"][0]["choices"] = ["yes", "no", "both", "none"]
ARTICLES = (
    " \n = One = \n \n It was @-@ so . \n \n = = Part = = \n \n A b . \n = Two = \n \n C d e . \n"
)


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    files = {f"{name}.jsonl": "\n".join(map(json.dumps, rows)) for name, rows in DATA.items()}
    folder = tmp_path_factory.mktemp("placed")
    place({**files, "wikitext.txt": ARTICLES}, folder)
    assert not (folder / "arc_challenge.yaml").exists(), "its data are not there"
    return folder


def place(files, folder):
    """Put data, by the names of their files, into a folder as users do."""
    data = folder / "data"
    data.mkdir(parents=True)
    for name, content in files.items():
        (data / name).write_text(content, encoding="utf-8")
        (data / name).chmod(0o400)
    command = [sys.executable, "scripts/place_benchmarks.py", str(data), str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, env={"PYTHONPATH": "scripts"})
    assert all(os.stat(folder / name).st_mode & 0o200 for name in files), "to be placed again"


@pytest.fixture(scope="module")
def model(tiny):
    return AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)


@pytest.fixture
def asked(placed, model):
    """A function that evaluates a placed task."""

    def of(task, *metrics):
        entry = {"folder": {"path": str(placed)}, "batch_size": 1, "fewshot": 0, "directions": {}}
        return evaluate(*model, {**entry, "task": task, "metrics": list(metrics)}, 0)

    return of


@pytest.fixture
def loss(model):
    """A function that gives the log-likelihood of a text behind another one."""
    network, tokenizer = model

    def of(context, text):
        whole = tokenizer(context + text)["input_ids"]
        start = len(tokenizer(context)["input_ids"])
        with torch.inference_mode():
            scores = network(torch.tensor([whole])).logits[0].log_softmax(-1)
        return sum(float(scores[n - 1, whole[n]]) for n in range(start, len(whole)))

    return of


@pytest.mark.parametrize(
    ("task", "contexts", "texts"),
    [
        ("hellaswag", [CHOICES["query"]], [" stirs it.", " flies."]),
        ("arc_easy", ["Question: What is wet?\nAnswer:"], [" sand", " water"]),
        ("openbookqa", [CHOICES["query"]], [" stirs it.", " flies."]),
        ("winogrande", DATA["winogrande"][0]["context_options"], [" left first."]),
        (
            "mmlu",
            [
                "The following are multiple choice questions (with answers) about high school "
                "physics.\n\nIs it?\nA. yes\nB. no\nC. both\nD. none\nAnswer:"
            ],
            [" A", " B", " C", " D"],
        ),
    ],
)
def test_what_is_chosen_is_what_the_model_finds_likeliest(asked, loss, task, contexts, texts):
    likely = [loss(context, text) for context in contexts for text in texts]
    chosen = likely.index(max(likely))
    found = asked(task, "acc")["acc"]
    assert found["samples"]["total"] == [int(row["gold"] == chosen) for row in DATA[task]]


def test_the_articles_of_a_text_are_told_apart_and_their_words_counted(asked):
    found = asked("wikitext", "word_perplexity")["word_perplexity"]
    words = [len(re.split(r"\s+", page)) for page in re.split(r"\n(?= = \w)", ARTICLES)[1:]]
    assert found["samples"]["weight"] == words
    assert math.isfinite(found["value"])
    assert value_of(found["samples"]) == pytest.approx(found["value"])


def test_instructions_are_checked_as_lm_eval_does(placed):
    """Answers of 1,280 tokens are more than the tiny model can write: they are given here."""
    manager = TaskManager(include_path=str(placed), include_defaults=False)
    with splitter():
        task = manager.load(["ifeval"])["tasks"]["ifeval"]
        no_comma, two_sentences = task.test_docs()
        assert task.doc_to_text(no_comma) == DATA["ifeval"][0]["prompt"]
        for doc, answer, follows in (
            (no_comma, "None at all.", True),
            (no_comma, "One, here.", False),
            (two_sentences, "Mr. Smith is one.", False),
            (two_sentences, "Mr. Smith is one. He is two.", True),
        ):
            assert task.process_results(doc, [answer])["prompt_level_strict_acc"] is follows


# Where lm-eval's own task lies, a sample as its data set on the hub has it, and as our file has it
OWN = {
    "hellaswag": (
        "hellaswag/hellaswag",
        {
            "activity_label": "Baking",
            "ctx_a": "A man holds [step] a bowl.",
            "ctx_b": "he",
            "endings": ["stirs it.", "It [title] flies."],
            "label": "1",
        },
        {
            "query": "Baking: A man holds a bowl. He",
            "choices": ["stirs it.", "It. flies."],
            "gold": 1,
        },
    ),
    "arc_easy": (
        "arc/arc_easy",
        {
            "question": "What is wet?",
            "choices": {"text": ["sand", "water"], "label": ["A", "B"]},
            "answerKey": "B",
        },
        {"query": "What is wet?", "choices": ["sand", "water"], "gold": 1},
    ),
    "openbookqa": (
        "openbookqa/openbookqa",
        {
            "question_stem": "Predators eat",
            "choices": {"text": ["bunnies", "grass"], "label": ["A", "B"]},
            "answerKey": "A",
        },
        {"query": "Predators eat", "choices": ["bunnies", "grass"], "gold": 0},
    ),
    "winogrande": (
        "winogrande/default",
        {
            "sentence": "Ann met Eve and _ left first.",
            "option1": "Ann",
            "option2": "Eve",
            "answer": "2",
        },
        DATA["winogrande"][0],
    ),
    "mmlu": (
        "mmlu/default/mmlu_high_school_physics",
        {"question": " Is it? ", "choices": ["yes", "no", "both", "none"], "answer": 2},
        DATA["mmlu"][0],
    ),
    "ifeval": ("ifeval/ifeval", DATA["ifeval"][1], DATA["ifeval"][1]),
}


@pytest.mark.parametrize("task", OWN)
def test_what_is_asked_is_what_lm_eval_s_own_task_asks(tmp_path, task):
    """Prompts and choices, the right one, and of answers how they are written."""
    name, on_the_hub, here = OWN[task]
    file = tmp_path / "on_the_hub.jsonl"
    file.write_text(json.dumps(on_the_hub), encoding="utf-8")
    place({f"{task}.jsonl": json.dumps(here)}, tmp_path / "placed")
    elsewhere = ("dataset_name", "training_split", "validation_split", "fewshot_split")
    own = {
        "include": str(Path(lm_eval.__file__).parent / f"tasks/{name}.yaml"),
        "task": "own",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}},
        "test_split": "test",
        **dict.fromkeys(elsewhere),
    }
    (tmp_path / "placed/own.yaml").write_text(json.dumps(own), encoding="utf-8")
    manager = TaskManager(include_path=str(tmp_path / "placed"), include_defaults=False)
    with splitter():
        found = manager.load([task, "own"])["tasks"]
        assert requests_of(found[task]) == requests_of(found["own"])


def requests_of(task):
    """What a model is asked for each sample, and which answer is right."""
    task.build_all_requests()
    return [(each.request_type, each.args, task.doc_to_target(each.doc)) for each in task.instances]

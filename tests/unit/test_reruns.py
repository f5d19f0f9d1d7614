"""The table of docs/reruns.md: what a change of training, selection or quality makes anew."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest

from conftest import ROOT
from joulegrid.study import conclusions, study
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs

pytestmark = pytest.mark.usefixtures("library")

SAF = {
    "method": "generation",
    "template": "{question}",
    "new_tokens": 8,
    "metrics": ["rouge", "cosine"],
}
LORA = {
    "method": "lora",
    "precision": "float32",
    "epochs": 2,
    "data": {
        "file": "config/data/saf/saf.jsonl",
        "template": "{question}\n{answer}\n",
        "answer": "feedback",
    },
}


@pytest.fixture
def data(study_data, tmp_path):
    """A study with two loops, answers, a guide and a judge; its texts are files of its own."""
    questions, prompt = tmp_path / "questions.jsonl", tmp_path / "judge.txt"
    shutil.copy(ROOT / "config/data/saf/questions.jsonl", questions)
    shutil.copy(ROOT / "config/prompts/judge.txt", prompt)
    saf = {**SAF, "data": str(questions)}
    guide = {"answers": "saf", "quantization": "fp32"}
    judge = {"model": "umpire", "endpoint": "http://127.0.0.1:1/v1", "prompt": str(prompt)}
    arena = {"method": "arena", "answers": "saf", "baseline": {"quantization": "fp32"}}
    facts = study_data["quality"]["facts"]
    study_data["quantization"]["q8"] = {"method": "gguf", "type": "Q8_0"}
    study_data["engine"] = {
        "transformers": {"method": "transformers"},
        "llamacpp": {"method": "llamacpp", "slots": 2},
    }
    alone = {"quantization": "q8", "engine": "transformers"}
    others = {"quantization": ["fp32", "nf4", "gptq4"], "engine": "llamacpp"}
    study_data["grid"] = {"exclude": [alone, others]}
    guided = {**saf, "template": "{guide} {question}", "guide": guide, "metrics": ["form"]}
    duel = {**arena, "answers": "guided", "against": "saf", "judge": {**judge}}
    plain = {**saf, "template": "Q: {question}", "metrics": ["form"]}
    tasks = {"saf": saf, "guided": guided, "plain": plain, "facts": facts}
    tasks |= {"arena": {**arena, "judge": judge}, "duel": duel}
    loras = {"lora": copy.deepcopy(LORA), "lora8": {**copy.deepcopy(LORA), "rank": 8}}
    candidates = [{"training": [*loras], "pruning": "none", "quantization": "fp32"}]
    return {
        **study_data,
        "training": {"none": {"method": "none"}, **loras},
        "hardware": {"here": {"device": "cpu"}},
        "selection": {"candidates": candidates, "count": 1, "weight": 0.5},
        "quality": tasks,
    }


def change(*keys, to):
    """Set a key of the study, or what `to` makes of it."""

    def apply(data):
        inner = data
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to(inner[keys[-1]]) if callable(to) else to

    return apply


def rewrite(*keys, old, new):
    """Edit the file that a key names, wherever the study names it."""

    def apply(data):
        path = data
        for key in keys:
            path = path[key]
        text = Path(path).read_text(encoding="utf-8")
        assert old in text
        # hashes of files are worked out once in a process; what a file is called counts nothing
        other = Path(path).with_stem("edited")
        other.write_text(text.replace(old, new, 1), encoding="utf-8")
        data.update(json.loads(json.dumps(data).replace(path, str(other))))

    return apply


def more_epochs(data):
    data["training"]["longer"] = {**copy.deepcopy(LORA), "epochs": 4}


def seeded(protocol):
    return {**protocol, "seed": 1}


JUDGE = ("quality", "arena", "judge")
PAID = {"usd_per_million": {"read": 1, "written": 2}, "budget_usd": 5}
OF_TEXTS = ("saf", "guided", "arena", "duel")
WITH_QUESTIONS = (*OF_TEXTS, "plain")
# Name of the row -> the changes, each of which makes that anew; labels of which one is in all of it
ROWS = {
    "`ranking.weight` (w)": ([change("ranking", "weight", to=0.2)], ()),
    "`selection.weight`": ([change("selection", "weight", to=0.2)], ()),
    "`selection.count`": ([change("selection", "count", to=2)], ()),
    "`ranking.metrics`": (
        [
            change("ranking", "metrics", to=["facts"]),
            change("ranking", "normalisation", to="min-max"),
            change("ranking", "require", to={"min_quality": 0.9}),
            change("ranking", "net", to=True),
        ],
        (),
    ),
    "`ranking.objectives`": ([change("ranking", "objectives", to=["energy", "memory"])], ()),
    "a metric more": (
        [change("quality", "saf", "metrics", to=["rouge", "cosine", "chrf"])],
        ("chrf",),
    ),
    "a metric less": ([change("quality", "saf", "metrics", to=["rouge"])], ()),
    "`encoder`": (
        [change("quality", "saf", "encoder", to={"path": "tests/data/model", "layer": 1})],
        ("cosine",),
    ),
    "`template`, `new_tokens`": (
        [
            change("quality", "saf", "template", to="Say: {question}"),
            change("quality", "saf", "new_tokens", to=9),
            change("quality", "saf", "chat", to=False),
            change("quality", "saf", "sampling", to={"temperature": 0.5}),
        ],
        OF_TEXTS,
    ),
    "a line of its questions": (
        [
            rewrite("quality", "saf", "data", old='"question": "', new='"question": "Now: '),
            rewrite("quality", "saf", "data", old='"reference": "', new='"reference": "So: '),
        ],
        WITH_QUESTIONS,
    ),
    "`guide`": (
        [change("quality", "guided", "guide", "quantization", to="nf4")],
        ("guided", "duel"),
    ),
    "`model`, `revision`": (
        [
            change(*JUDGE, "model", to="referee"),
            change(*JUDGE, "revision", to="2"),
            change(*JUDGE, "max_tokens", to=7),
        ],
        ("arena",),
    ),
    "the text of a judge's `prompt`": (
        [rewrite(*JUDGE, "prompt", old="{question}", new="Q: {question}")],
        ("arena", "duel"),
    ),
    "`baseline` of an arena": (
        [
            change("quality", "arena", "baseline", to={"quantization": "nf4"}),
            change("quality", "duel", "against", to="plain"),
        ],
        ("arena", "duel"),
    ),
    "`endpoint`": (
        [
            change(*JUDGE, "endpoint", to="http://elsewhere.example/v1"),
            change(*JUDGE, "concurrency", to=9),
            change(*JUDGE, "local", to=False),
            change(*JUDGE, "key_variable", to="KEY"),
            change(*JUDGE, "usd_per_million", to={"read": 1, "written": 2}),
            change(*JUDGE, to=lambda judge: {**judge, **PAID}),
        ],
        (),
    ),
    "`protocol.seed`": ([change("protocol", to=seeded)], ("tiny",)),
    "an engine that answers": ([change("engine", "llamacpp", "slots", to=4)], ("q8",)),
    "`metrics`, `limit`": (
        [
            change("quality", "facts", "metrics", to=["acc", "acc_norm"]),
            change("quality", "facts", "limit", to=3),
            change("quality", "facts", "fewshot", to=2),
            change("quality", "facts", "batch_size", to=2),
            change("quality", "facts", "sha256", to="0" * 64),
        ],
        ("facts",),
    ),
    "`template` of the data of a training": (
        [change("training", "lora", "data", "template", to="Q {question}\nA {answer}\n")],
        ("lora",),
    ),
    "the number of `epochs`": ([more_epochs], ("longer",)),
}


def documented():
    """Name of a row -> kinds of jobs, and the first step, as the page says."""
    text = (ROOT / "docs/reruns.md").read_text(encoding="utf-8")
    found = {}
    for line in re.findall(r"^\| (.+) \|$", text, re.MULTILINE)[2:]:
        name, jobs, _, steps = line.split(" | ")
        (step,) = re.findall("`(.+?)`", steps)
        found[name] = (set(re.findall("`(.+?)`", jobs)), step)
    return found


def planned(data):
    """Every job and every step of a study, by its name, with its id."""
    made = study.from_data(copy.deepcopy(data), "study.yaml")
    jobs = list(jobs_of(Specs(made)))
    steps = conclusions.conclusions(made, jobs)
    return {
        "jobs": {(job.kind, *job.labels): job.id for job in jobs},
        "steps": {step: found.stamp for step, found in steps.items()},
    }


def test_every_row_of_the_page_is_tried():
    names = list(documented())
    assert len(names) == len(ROWS)
    assert all(name.startswith(row) for name, row in zip(names, ROWS, strict=True))


@pytest.mark.parametrize("row", ROWS)
def test_a_change_makes_anew_what_the_page_says(data, row):
    changes, labels = ROWS[row]
    kinds, first = next(said for name, said in documented().items() if name.startswith(row))
    for each in changes:
        before = planned(data)
        edited = copy.deepcopy(data)
        each(edited)
        after = planned(edited)
        anew = {key for key, id_ in after["jobs"].items() if before["jobs"].get(key) != id_}
        assert {key[0] for key in anew} == kinds
        assert all(any(label in key[1:] for label in labels) for key in anew)
        steps = list(after["steps"])
        late = [step for step in steps if after["steps"][step] != before["steps"][step]]
        assert late == steps[steps.index(first) :]

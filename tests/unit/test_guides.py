"""Guided prompts: what a model wrote about a question before stands in the prompt; what is refused,
and what a change makes anew.
"""

import json
from pathlib import Path

import pytest

from conftest import ROOT
from joulegrid.errors import InputError, Unsupported
from joulegrid.quality.guiding import answer_guided
from joulegrid.study import study
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs
from joulegrid.texts.guided import guided
from joulegrid.texts.questions import parse_questions, questions_in

pytestmark = pytest.mark.usefixtures("library")

DATA = "config/data/saf/questions.jsonl"
PLAIN = {"method": "generation", "data": DATA, "new_tokens": 8, "metrics": ["form"]}
PLAIN["template"] = "{question}"
NOTES = {**PLAIN, "template": "Write what one should know: {question}"}
GUIDE = {"answers": "notes", "quantization": "fp32"}
GUIDED = {**PLAIN, "template": "{guide}\n\n{question}", "guide": GUIDE}
ARENA = {
    "method": "arena",
    "answers": "guided",
    "against": "plain",
    "baseline": {"quantization": "fp32"},
    "judge": {"model": "umpire", "endpoint": "http://127.0.0.1:1/v1"},
}


def made(data, **tasks):
    data["quality"] = {"plain": PLAIN, "notes": NOTES, "guided": GUIDED, "arena": ARENA, **tasks}
    data["quality"] = {label: task for label, task in data["quality"].items() if task}
    data["ranking"] = {"baseline": {"quantization": "fp32"}}
    return Specs(study.from_data(data, "study.yaml"))


def jobs(data, **tasks):
    found = [job for job in jobs_of(made(data, **tasks)) if job.kind in ("texts", "judgments")]
    return {(job.labels[4], *job.labels[2:4]): job.id for job in found}


CONFIGURATIONS = {(p, q) for p in ("none", "half") for q in ("fp32", "nf4", "gptq4")}


def test_a_line_has_its_guide_at_its_place():
    text = '{"question": "a {x}?"}\n\n{"question": "b"}\n'
    whole = guided(text, "q.jsonl", {1: " Know {y}.\u2028\n", 3: " \n"})
    entry = {"template": "{guide}|{question}", "reference": "reference"}
    found = parse_questions(whole, "q.jsonl", entry)
    assert [(q.line, q.prompt) for q in found] == [(1, "Know {y}.|a {x}?"), (3, "-|b")]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"guided": {**GUIDED, "template": "{question}"}}, r"guided\.template: it has no {guide}"),
        ({"plain": {**PLAIN, "template": "{guide}"}}, r"plain\.template: no column 'guide'"),
        (
            {"guided": {**GUIDED, "guide": {**GUIDE, "answers": "note"}}},
            r"guided\.guide\.answers: no task 'note' of the method generation; .*mean 'notes'",
        ),
        (
            {"guided": {**GUIDED, "guide": {**GUIDE, "quantization": "fp23"}}},
            r"guided\.guide\.quantization: no quantization 'fp23'; .*mean 'fp32'",
        ),
        (
            {"guided": {**GUIDED, "guide": {**GUIDE, "answers": "guided"}}},
            r"guided\.guide\.answers: guided has a guide itself",
        ),
        (
            {"notes": {**NOTES, "limit": 3}},
            r"guided\.guide\.answers: notes has only the first 3 questions",
        ),
        (
            {"notes": {**NOTES, "data": "config/prompts/questions.jsonl", "template": "{prompt}"}},
            r"guided\.guide\.answers: notes is about config/prompts/questions\.jsonl",
        ),
        (
            {"arena": {**ARENA, "against": "guided"}},
            r"arena\.against: prompts of guided hold a gui",
        ),
        ({"arena": {**ARENA, "against": "palin"}}, r"arena\.against: no task 'palin' .*'plain'"),
        (
            {"arena": {k: v for k, v in ARENA.items() if k != "against"}},
            r"arena\.against: prompts of guided hold a guide's text",
        ),
    ],
)
def test_a_guide_that_cannot_be_is_refused(study_data, tasks, message):
    with pytest.raises(InputError, match=message):
        made(study_data, **tasks)


def test_a_guide_must_be_in_the_grid(study_data):
    study_data["grid"] = {"exclude": [{"quantization": "nf4", "pruning": "none"}]}
    with pytest.raises(InputError, match=r"quality\.guided\.guide: .*nf4 is excluded from the gri"):
        made(study_data, guided={**GUIDED, "guide": {**GUIDE, "quantization": "nf4"}})


def test_a_column_of_that_name_is_not_hidden(study_data, tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text('{"question": "a", "guide": "b"}')
    own = {"data": str(file)}
    with pytest.raises(InputError, match=r"guided\.guide: the data have a column 'guide'"):
        made(study_data, notes={**NOTES, **own}, guided={**GUIDED, **own}, arena=None)
    # without the key it is context that the file gives
    assert made(study_data, guided={**PLAIN, **own, "template": "{guide} {question}"}, arena=None)


@pytest.mark.parametrize(
    ("tasks", "anew"),
    [
        ({"notes": {**NOTES, "template": "Tips: {question}"}}, {"notes", "guided", "arena"}),
        ({"notes": {**NOTES, "metrics": ["form", "chrf"]}}, set()),
        ({"guided": {**GUIDED, "template": "{question} {guide}"}}, {"guided", "arena"}),
        (
            {"guided": {**GUIDED, "guide": {**GUIDE, "quantization": "nf4"}}},
            {"guided", "arena"},
        ),
        ({"plain": {**PLAIN, "new_tokens": 9}}, {"plain", "arena"}),
        ({"arena": {**ARENA, "judge": {**ARENA["judge"], "local": False}}}, set()),
    ],
)
def test_a_change_makes_anew_what_rests_on_it(study_data, tasks, anew):
    before = jobs(study_data)
    after = jobs(study_data, **tasks)
    assert {key for key, id_ in after.items() if before[key] != id_} == {
        (task, *configuration) for task in anew for configuration in CONFIGURATIONS
    }


def test_guided_answers_are_judged_against_plain_ones_of_the_baseline_itself_too(study_data):
    found = jobs(study_data)
    assert {key[1:] for key in found if key[0] == "arena"} == CONFIGURATIONS
    plain = {"arena": {**ARENA, "answers": "plain"}}
    found = jobs(study_data, **plain)
    assert {key[1:] for key in found if key[0] == "arena"} == CONFIGURATIONS - {("none", "fp32")}


def test_a_part_needs_the_plain_answers_of_the_baseline_and_the_texts_of_its_guide(study_data):
    guided = {**GUIDED, "guide": {**GUIDE, "quantization": "nf4", "pruning": "none"}}
    planned = made(study_data, guided=guided)
    part = [cell for cell in planned.study.cells if cell[2:4] == ("half", "gptq4")]
    found = {job.labels[2:]: job.path for job in jobs_of(planned, part) if job.kind == "texts"}
    assert found.keys() == {
        *(("half", "gptq4", task) for task in ("notes", "guided", "plain")),
        ("none", "nf4", "notes"),
        ("none", "fp32", "plain"),
    }
    whole = {job.path for job in jobs_of(planned)}
    assert whole.issuperset(found.values())
    (asked,) = (job for job in jobs_of(planned, part) if job.kind == "judgments")
    assert planned.opposed(part[0].configuration, "arena").path in found.values()
    assert asked.source.path in found.values()


def test_a_renamed_guide_changes_nothing(study_data):
    guide = {**GUIDE, "answers": "tips"}
    before = jobs(study_data)
    after = jobs(study_data, notes=None, tips=NOTES, guided={**GUIDED, "guide": guide})
    assert {k: v for k, v in after.items() if k[0] == "guided"} == {
        k: v for k, v in before.items() if k[0] == "guided"
    }


RECORD = {"status": "ok", "answers": [{"line": 1, "text": "Know this."}, {"line": 2, "text": " "}]}
SPEC = {"quality": {**GUIDED, "data": {"path": DATA}, "reference": "reference", "limit": 3}}


def answer(spec, weights, hardware):
    found = questions_in(spec["quality"]["data"], spec["quality"])
    return {
        "prompts": [question.prompt for question in found],
        "lines": [question.line for question in found],
        "counts": {"questions": len(found)},
    }


def test_prompts_hold_the_guide_s_text_and_those_without_are_counted():
    found = answer_guided(RECORD, answer)(SPEC, Path("weights"), {})
    asked = [json.loads(line)["question"] for line in (ROOT / DATA).read_text().splitlines()[:3]]
    guides = ["Know this.", "-", "-"]
    assert found["prompts"] == [f"{g}\n\n{q}" for g, q in zip(guides, asked, strict=True)]
    assert found["lines"] == [1, 2, 3]
    assert found["counts"] == {"questions": 3, "unguided": 2}


def test_a_guide_without_answers_is_a_finding():
    oom = {"status": "oom", "reason": "out of memory"}
    with pytest.raises(Unsupported, match="the guide has no answers: out of memory"):
        answer_guided(oom, answer)(SPEC, Path("weights"), {})

"""Questions with their answers: what is wrong is said before anything is sent, and a change of a
task makes anew what it changes.
"""

import json

import pytest

from joulegrid.analysis.recorded.quality import Counts
from joulegrid.errors import InputError
from joulegrid.study import study
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs
from joulegrid.texts.questions import Question, asked_of, parse_questions
from joulegrid.texts.templates import fields_of

ENTRY = {"template": "{prompt}", "reference": "reference"}
SAF = {
    "method": "generation",
    "data": "config/data/saf/questions.jsonl",
    "template": "Answer briefly. {question}",
    "new_tokens": 8,
    "metrics": ["bleu", "rouge", "cosine"],
}


def jsonl(*rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def test_a_line_is_one_question_whatever_stands_in_it():
    text = jsonl({"prompt": "a\u2028b {x}", "reference": ["c", "d"]}) + "\n\n  \n"
    assert parse_questions(text, "q.jsonl", ENTRY) == [Question(1, "a\u2028b {x}", ("c", "d"))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"prompt": "a"}\n["b"]', r"q\.jsonl:2: expected one JSON object per line"),
        ('{"prompt": "a"}\nnone', r"q\.jsonl:2: expected one JSON object per line"),
        (jsonl({"prompt": "a"}, {"question": "b"}), r"q\.jsonl:2: no column 'prompt'; it has que"),
        (
            jsonl({"prompt": "a", "reference": "b"}, {"prompt": "c"}),
            r"q\.jsonl:2: no column 'reference'",
        ),
        (jsonl({"prompt": "a", "reference": " "}), r"q\.jsonl:1: the column 'reference' is empty"),
        (jsonl({"prompt": "a", "reference": []}), r"q\.jsonl:1: the column 'reference' is empty"),
        (jsonl({"prompt": ["a"], "reference": "b"}), r"q\.jsonl:1: the column 'prompt' is not a t"),
        ("\n \n", r"q\.jsonl: the file is empty"),
    ],
)
def test_a_line_that_is_no_question_is_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_questions(text, "q.jsonl", ENTRY)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("Answer.", "it names no field"),
        ("{prompt", "a brace that is meant as such is written twice"),
        ("{}", "expected names of fields"),
        ("{prompt.x}", "expected names of fields"),
        ("{prompt:>9}", "expected names of fields"),
    ],
)
def test_a_template_names_columns(template, message):
    with pytest.raises(InputError, match=message):
        fields_of(template)
    assert fields_of("{b} and {a}, {{not}} {b}") == ["b", "a"]


@pytest.mark.parametrize(
    ("prompt", "references", "leaks"),
    [
        ("It is so: packets are  LOST, often.", ("x", "Packets are lost"), True),
        ("Packets are lostness", ("packets are lost",), False),
        ("yes or no?", ("no",), False),
    ],
)
def test_a_reference_in_the_prompt_is_seen(prompt, references, leaks):
    assert Question(1, prompt, references).leaks is leaks


def planned(data, /, **changes):
    """The paths of the jobs of a study whose task is changed."""
    data["quality"] = {"saf": {**SAF, **changes}}
    data["ranking"] = {"baseline": {"quantization": "fp32"}}
    jobs = jobs_of(Specs(study.from_data(data, "study.yaml")))
    return {job.path for job in jobs if job.kind in ("texts", "scores")}


def test_data_whose_references_stand_in_the_prompts_end_the_plan(study_data):
    """In a template that holds the reference they do in every line."""
    shown = {"template": "{question} {reference}"}
    with pytest.raises(InputError, match=r"data: 31 of 31 prompts hold their own .* line 1; mend"):
        planned(study_data, **shown)
    assert planned(study_data, **shown, leaked="keep")
    with pytest.raises(InputError, match="leaked: got 'refused'"):
        planned(study_data, leaked="refused")


@pytest.mark.parametrize("place", ["question", "reference"])
def test_a_number_that_is_none_ends_the_plan(study_data, tmp_path, place):
    """As exports of tables have it; it would be asked, and compared, as the text `nan`."""
    row = {"question": "Why?", "reference": ["so"], "mark": float("nan")}
    file = tmp_path / "questions.jsonl"
    file.write_text(jsonl(row, row))
    assert planned(study_data, data=str(file))
    file.write_text(
        jsonl(row, {**row, place: [1.0, float("inf")] if place == "reference" else 1e999})
    )
    with pytest.raises(InputError, match=f"jsonl:2: the column '{place}' holds NaN or Infinity"):
        planned(study_data, data=str(file))
    assert planned(study_data, data=str(file), limit=1)


@pytest.mark.parametrize("place", ["question", "reference"])
def test_half_a_character_ends_the_plan(study_data, tmp_path, place):
    """No tokenizer reads it, and no record holds it."""
    row = {"question": "Why \U0001f600?", "reference": ["so", "thus"]}
    half = {"question": "Why \ud83d?", "reference": ["so", "\ude00"]}
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, (row, {**row, place: half[place]}))))
    with pytest.raises(InputError, match=f"jsonl:2: the column '{place}' holds half a character"):
        planned(study_data, data=str(file))
    assert planned(study_data, data=str(file), limit=1)


@pytest.mark.parametrize(
    ("policy", "lines"), [(None, [1, 3]), ("keep", [1, 2, 3]), ("refuse", None)]
)
def test_a_question_that_holds_its_reference_is_not_asked(policy, lines):
    prompts = ["What is it?", "It is a box. What is it?", "Why?"]
    found = [Question(n, text, ("It is a box",)) for n, text in enumerate(prompts, start=1)]
    if lines is None:
        with pytest.raises(InputError, match=r"1 of 3 prompts hold their own .* line 2; .*: keep"):
            asked_of(found, policy)
    else:
        assert [question.line for question in asked_of(found, policy)] == lines


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({"metrics": ["bleu", "rouge", "cosine", "chrf"]}, {"scores/chrf"}),
        ({"metrics": ["rouge"]}, set()),
        ({"encoder": {"path": "tests/data/model", "layer": 1}}, {"scores/cosine"}),
        (
            {"template": "{question}"},
            {"texts/saf", "scores/bleu", "scores/rouge", "scores/cosine"},
        ),
    ],
)
def test_a_change_of_a_task_makes_anew_what_it_changes(study_data, changes, anew):
    new = planned(study_data, **changes) - planned(study_data)
    assert {f"{path.split('/')[0]}/{path.split('/')[-2]}" for path in new} == anew
    assert len(new) == 6 * len(anew)  # configurations


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "{qestion}"}, r"template: no column 'qestion'; .*did you mean 'question'"),
        ({"template": "Why?"}, r"template: it names no field"),
        ({"reference": "answer"}, r"reference: no column 'answer', and bleu needs one"),
        ({"metrics": ["blue"]}, r"metrics.0: got 'blue'; .*did you mean 'bleu'"),
        ({"wordnet": "config/tasks"}, r"wordnet: no metric of the task reads it"),
        ({"data": "config/data/saf/README.md"}, r"README\.md:1: expected one JSON object per line"),
    ],
)
def test_a_task_that_cannot_be_is_refused(study_data, changes, message):
    with pytest.raises(InputError, match=message):
        planned(study_data, **changes)


def test_metrics_that_are_no_quality_count_where_they_are_named(study_data):
    study_data["quality"] = {"saf": {**SAF, "metrics": ["squad", "form"]}}

    def ranked(*metrics):
        study_data["ranking"] = {"baseline": {"quantization": "fp32"}, "metrics": list(metrics)}
        return study.from_data(study_data, "study.yaml").data["ranking"]["metrics"]

    assert ranked() == ranked("saf") == ["saf.exact_match", "saf.f1"]
    assert ranked("saf.refusals") == ["saf.refusals"]


def test_what_was_counted_is_said_in_words():
    assert Counts(10, 0, 0, 0, 0).notes == ""
    notes = Counts(10, 2, 1, 0, 10).notes
    assert notes.startswith("of 10 questions 2 longer than the context and left out, 1 with their")
    notes = Counts(10, 0, 3, 0, 0, not_asked=3).notes
    assert notes == "of 10 questions 3 with their reference in the prompt and left out"

"""Prompts that a study names: a file of one's own, or a choice out of a data set that is frozen."""

import json

import pytest
import yaml

from joulegrid.errors import InputError
from joulegrid.records import sha256_file
from joulegrid.study import frozen, study
from joulegrid.study.specs import Specs
from joulegrid.texts.files import parse_prompts

CHOICE = {"path": "data", "files": "*.parquet", "column": "dialog", "take": "first"}


def named(study_data, path):
    study_data["workload"]["questions"]["prompts"] = str(path)
    return Specs(study.from_data(study_data, "s"))


def refusal(study_data, path):
    with pytest.raises(InputError) as caught:
        named(study_data, path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("prose", "p:2: not JSON (Expecting value"),
        ('["a"]', "p:2: got a list; expected one JSON object per line"),
        ('{"text": "a", "id": 1}', "p:2: no key 'prompt', keys: text, id; expected"),
        ('{"prompt": ["a"]}', "p:2: the prompt is a list, not a text"),
        ('{"prompt": " \\n"}', "p:2: the prompt is empty; give it a text, or take the line out"),
        ('{"prompt": "a"', "p:2: not JSON"),
    ],
)
def test_a_line_that_is_no_prompt_is_named_with_what_it_is(line, part):
    with pytest.raises(InputError) as caught:
        parse_prompts('{"prompt": "first"}\n' + line + "\n", "p")
    assert str(caught.value).startswith(part)
    assert "\n" not in str(caught.value)


def test_separators_of_unicode_inside_a_prompt_end_no_line():
    prompts = ["one\u2028still one", "two\x85", "three\x0b"]
    lines = [json.dumps({"prompt": text}, ensure_ascii=False) for text in prompts]
    assert parse_prompts("\r\n".join(lines), "p") == prompts


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """A function that writes a choice, and one that freezes prompts for it."""
    monkeypatch.setitem(frozen.FOLDERS, frozen.PROMPTS, str(tmp_path / "frozen"))

    def write(**changes):
        path = tmp_path / "talk.yaml"
        data = {k: v for k, v in (CHOICE | changes).items() if v is not None}
        path.write_text(yaml.safe_dump(data))
        return path

    def freeze(path, *prompts):
        target = tmp_path / frozen.place(str(path), frozen.PROMPTS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts))
        return target

    return write, freeze


def test_a_choice_must_be_frozen_and_the_message_says_how(study_data, chosen):
    path = chosen[0]()
    assert refusal(study_data, path) == (
        f"s: workload.questions.prompts: {path}: what it chooses is not frozen yet; run: "
        f"python scripts/freeze_prompts.py {path}"
    )


def test_cells_know_frozen_prompts_by_their_content(study_data, chosen, tmp_path):
    write, freeze = chosen
    ids = {}
    for name, changes, prompts in (
        ("first", {}, ("a", "b")),
        ("another seed, the same prompts", {"seed": 7}, ("a", "b")),
        ("other prompts", {"seed": 8}, ("a", "c")),
    ):
        path = write(**changes)
        target = freeze(path, *prompts)
        specs = named(study_data, path)
        reference = specs.study.entry("workload", "questions")["prompts"]
        assert reference["sha256"] == sha256_file(target)
        ids[name] = specs.energy(specs.study.cells[0], 1).id
    first, again, other = ids.values()
    assert first == again != other
    # a copy under a name of one's own is the same
    copy = tmp_path / "mine.jsonl"
    copy.write_bytes(freeze(write(), "a", "b").read_bytes())
    specs = named(study_data, copy)
    assert specs.energy(specs.study.cells[0], 1).id == first


def test_more_prompts_than_were_frozen_are_refused(study_data, chosen):
    write, freeze = chosen
    path = write()
    freeze(path, "a", "b")
    study_data["workload"]["questions"]["count"] = 3
    assert f"count: got 3; {path} has 2 prompts" in refusal(study_data, path)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"colum": "x"}, "talk.yaml: colum: unknown key; valid: hub, revision, path, files"),
        ({"hub": "a/b"}, "expected exactly one of hub, path"),
        ({"hub": "a/b", "path": None}, "talk.yaml: 'revision' is missing beside the other keys"),
        (
            {"hub": "a/b", "path": None, "revision": "main"},
            "revision: got 'main'; expected a commit, 40 hex",
        ),
        ({"take": "last"}, "take: got 'last'; valid: whole, first, human"),
        ({"count": 0}, "count: got 0; expected a number of prompts"),
    ],
)
def test_a_wrong_choice_is_named_with_its_file_and_key(study_data, chosen, changes, part):
    said = refusal(study_data, chosen[0](**changes))
    assert part in said
    assert said.startswith("s: workload.questions.prompts: ")

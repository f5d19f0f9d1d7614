"""Models of random weights: what a study may name, and what is said of their quality."""

import json

import numpy as np
import pytest

from conftest import ROOT
from joulegrid.analysis import ranked
from joulegrid.analysis.answer import answer
from joulegrid.analysis.variables import NOT_MEANINGFUL
from joulegrid.errors import InputError
from joulegrid.records import canonical_json
from joulegrid.study import architectures, study
from joulegrid.study.specs import Specs
from unit.test_comparison import BASELINE, METRICS, compare, tree

MINI = "config/models/mini-llama.json"


def specs(study_data, **entry):
    study_data["model"] = {"tiny": entry}
    return Specs(study.from_data(study_data, "s"))


def refusal(study_data, **entry):
    with pytest.raises(InputError) as caught:
        specs(study_data, **entry)
    return str(caught.value)


def test_a_spec_holds_the_content_of_a_configuration_and_no_path(study_data, tmp_path):
    name = specs(study_data, random="mini-llama").model("tiny")
    (tmp_path / "config.json").write_text((ROOT / MINI).read_text())
    for path in (MINI, str(tmp_path), str(tmp_path / "config.json")):
        assert specs(study_data, random=path, seed=0).model("tiny").id == name.id
    assert "mini-llama" not in canonical_json(name.spec)
    assert str(tmp_path) not in canonical_json(name.spec)
    assert specs(study_data, random="mini-llama", seed=1).model("tiny").id != name.id
    (tmp_path / "config.json").write_text((ROOT / MINI).read_text().replace("768", "1024"))
    architectures.config_of.cache_clear()
    assert specs(study_data, random=str(tmp_path)).model("tiny").id != name.id


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"auto_map": {"AutoModel": "modeling.Mine"}}, "auto_map names Python code"),
        ({"quantization_config": {}}, "weights are made plain"),
        ({"vocab_size": 400}, "vocab_size is 400; expected 2048 or more"),
        ({"model_type": None}, "no model_type in it"),
    ],
)
def test_configurations_that_no_weights_are_made_of_are_refused(study_data, tmp_path, change, part):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads((ROOT / MINI).read_text()), **change}))
    said = refusal(study_data, random=str(path))
    assert said.startswith(f"s: model.tiny.random: {path}: ")
    assert part in said
    assert "\n" not in said


def test_names_that_are_no_configuration_get_one_line(study_data, tmp_path):
    said = refusal(study_data, random="lama-7b")
    assert "did you mean 'llama-7b'?" in said
    assert f"{tmp_path}/config.json: cannot be read" in refusal(study_data, random=str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    assert "not JSON" in refusal(study_data, random=str(tmp_path / "config.json"))
    assert "\n" not in said


def test_what_is_longer_than_the_context_is_known_before_anything_is_made(study_data):
    study_data["workload"]["questions"]["new_tokens"] = 4000
    said = refusal(study_data, random="mini-llama")
    assert "workload.questions.new_tokens: got 4000; the context of the model tiny is 2048" in said


def test_models_without_room_are_unsupported_where_others_have_it(study_data):
    study_data["model"] = {name: {"random": name} for name in ("mini-llama", "mixtral-8x7b")}
    answers = {"narrow": 2040, "wide": 2048}
    study_data["workload"] = {
        label: {**study_data["workload"]["questions"], "new_tokens": new}
        for label, new in answers.items()
    }
    found = study.from_data(study_data, "study.yaml")
    reasons = {(cell.model, cell.workload): found.unsupported(cell) for cell in found.cells}
    said = "the model's context is 2048 tokens: no room for a prompt and 2048 new ones"
    assert reasons.pop(("mini-llama", "wide")) == said
    assert set(reasons.values()) == {None}


def random_tree():
    found = tree([[100, 102], [50, 51], [80, 81]], [np.nan] * 3, [np.nan] * 3)
    for group in ("energy", "weights"):
        found[group] = found[group].to_dataset().assign_coords(model_random=("model", [1.0]))
    return found


@pytest.mark.parametrize("weight", [1, 0.7])
def test_table_and_answer_say_that_quality_is_not_meaningful(weight):
    data = random_tree()
    rows = ranked.table(data, compare(data, weight, BASELINE, METRICS))
    assert set(rows["note"]) == {NOT_MEANINGFUL}
    said = answer(rows, BASELINE, weight)
    assert "uality is not meaningful: the weights of the model are random." in said
    if weight == 1:
        assert said.startswith("Take half: it saves 50 %")
        assert "quality" not in said.split(".")[0]
    else:
        assert rows["rank"].isna().all()

"""A study at another scale: what its overlay replaces, and what is said where one is wrong."""

import pytest
import yaml

from conftest import ROOT
from joulegrid.errors import InputError
from joulegrid.study import scale, study, unused

MINI = {"scale": "mini"}


@pytest.fixture
def study_and_overlay(study_data, study_file):
    """A function that writes an overlay beside the study, and gives the study's path."""

    def write(overlay: object):
        path = study_file(study_data)
        folder = path.parent / "mini"
        folder.mkdir(exist_ok=True)
        (folder / path.name).write_text(yaml.safe_dump(overlay, sort_keys=False))
        return path

    return write


def refusal(path, settings=MINI):
    with pytest.raises(InputError) as caught:
        study.load([path], settings)
    return str(caught.value)


def test_whole_sections_are_replaced_or_left_out(study_and_overlay):
    path = study_and_overlay(
        {
            "quantization": {"fp32": {"method": "cast", "dtype": "float32"}},
            "workload": {
                "few": {
                    "method": "batch",
                    "prompts": "config/prompts/questions.jsonl",
                    "new_tokens": 4,
                }
            },
            "pruning": None,
        }
    )
    small, whole = study.load([path], MINI), study.load([path])
    assert (whole.name, small.name) == ("small", "small-mini")
    assert list(small.data["workload"]) == ["few"]
    assert list(small.data["quantization"]) == ["fp32"]
    assert list(small.data["pruning"]) == ["none"], "what a study has without that section"
    assert small.data["hardware"] == whole.data["hardware"]
    assert len(small.cells) == 2
    assert small.source == f"{path}, {path.parent}/mini/{path.name}"


def test_settings_of_the_command_line_have_the_last_word(study_and_overlay):
    path = study_and_overlay({"protocol": {"sessions": 1}})
    assert study.load([path], MINI).data["protocol"]["sessions"] == 1
    over = {**MINI, "protocol": {"sessions": "4"}}
    assert study.load([path], over).data["protocol"]["sessions"] == 4


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        ({"protocl": {}}, "protocl: unknown key; valid: description"),
        ({"protocl": None}, "did you mean 'protocol'?"),
        ({"protocol": {"session": 1}}, "protocol.session: unknown key; valid: sessions"),
        ({"protocol": {"sessions": 0}}, "protocol.sessions: got 0; expected how many"),
        ({"benchmarks": {"x": {"group": "y"}}}, "benchmarks.x.group: no group 'y'"),
        ({"study": "other"}, "study: the name is that of "),
        ([1], "expected sections of a study, such as model"),
        (None, "expected sections of a study, such as model"),
    ],
)
def test_a_mistake_in_an_overlay_names_it_and_the_key(study_and_overlay, overlay, line):
    path = study_and_overlay(overlay)
    said = refusal(path)
    assert said.startswith(f"{path.parent}/mini/{path.name}: ")
    assert line in said
    assert "\n" not in said


def test_what_does_not_go_together_names_both_files(study_and_overlay):
    path = study_and_overlay({"quantization": {"nf4": {"method": "bitsandbytes-4bit"}}})
    said = refusal(path)
    assert said.startswith(f"{path}, {path.parent}/mini/{path.name}: ")
    assert "ranking.baseline.quantization: no quantization 'fp32'" in said
    path = study_and_overlay({"quality": None})
    assert "the key 'quality' is missing" in refusal(path)


def test_no_overlay_says_where_it_would_be_and_which_there_are(study_data, study_file):
    path = study_file(study_data)
    said = refusal(path)
    assert f"{path} has no {path.parent}/mini/study.yaml" in said
    for known in sorted((ROOT / scale.READY_MADE / "mini").glob("*.yaml")):
        assert f"config/studies/mini/{known.name}" in said
    (path.parent / "mini").mkdir()
    (path.parent / "mini/other.yaml").write_text("{}")
    assert refusal(path).endswith(f"there are: {path.parent}/mini/other.yaml")


@pytest.mark.parametrize("value", ["Mini", "tiny", None, "", 1, True])
def test_an_unknown_scale_is_named(study_and_overlay, value):
    path = study_and_overlay({})
    said = refusal(path, {"scale": value})
    assert said.startswith(f"--config: scale: got {value!r}; valid: mini")


def test_a_scale_is_of_one_study_file(study_and_overlay):
    path = study_and_overlay({})
    with pytest.raises(InputError, match="expected one study file, got 2"):
        study.load([path, path], MINI)


def test_a_setting_that_nobody_asks_for_is_an_error(study_data, study_file):
    path = study_file(study_data)
    said = refusal(path, {"scal": "mini"})
    assert said.startswith("--config: scal: unknown key; valid: study")
    assert "did you mean 'scale'?" in said
    with pytest.raises(InputError, match=r"--config: acept: .* did you mean 'accept'\?"):
        study.load([path], {"acept": "x"}, beside={"accept"})


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / scale.READY_MADE / "mini").glob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_every_mini_study_is_one_of_a_study_that_is_there(path):
    whole = ROOT / scale.READY_MADE / path.name
    found = study.load([whole], MINI)
    assert found.name == f"{study.load([whole]).name}-mini"
    assert found.cells


def test_what_mini_studies_name_is_not_unused():
    found, wrong = unused.studies([])
    assert not wrong
    assert {"dosquet2025", "dosquet2025-mini"} <= {each.name for each in found}

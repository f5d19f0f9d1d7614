"""A part of a study's grid: which cells `--config only` means, what it refuses, and what the plan
says of it.
"""

import json

import pytest
from snakemake.cli import parse_config

from joulegrid.errors import InputError
from joulegrid.planning import infeasible, known, plan, tables, taken
from joulegrid.planning.calibration import Run
from joulegrid.planning.first import first_sessions
from joulegrid.planning.posterior import expected
from joulegrid.study import only, study
from joulegrid.study.job import part
from joulegrid.study.only import part_of
from joulegrid.study.parts import Parts
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Specs


@pytest.fixture
def small(study_data):
    study_data["grid"] = {"exclude": [{"quantization": "gptq4", "hardware": "there"}]}
    return study.from_data(study_data, "test")


def labels(found):
    return {(cell.pruning, cell.quantization, cell.hardware) for cell in found.cells}


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("only=hardware=there quantization=nf4 pruning=none", {("none", "nf4", "there")}),
        (
            "only=  pruning=none   quantization=nf4,gptq4 ",
            {("none", "nf4", "here"), ("none", "nf4", "there"), ("none", "gptq4", "here")},
        ),
        (
            "only={pruning: half, quantization: [gptq4, fp32], hardware: here}",
            {("half", "gptq4", "here"), ("half", "fp32", "here")},
        ),
    ],
)
def test_all_axes_match_one_of_their_labels(small, typed, kept):
    """As Snakemake hands on what is typed behind --config."""
    assert labels(part_of(small, parse_config([typed])["only"])) == kept


def test_what_it_says_of_itself_means_the_same(small):
    """The script of the plan is told these words."""
    found = part_of(small, {"quantization": ["nf4", "gptq4"], "hardware": "here"})
    assert found.words == "quantization=nf4,gptq4 hardware=here"
    assert part_of(small, found.words) == found
    assert set(only.within(found, small.cells)) == found.cells
    assert only.within(None, small.cells) == small.cells


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("quantisation=nf4", "only: no axis 'quantisation'; valid: model, training, pruning, "),
        ("quantisation=nf4", "; did you mean 'quantization'?"),
        ("quantization=nf", "only.quantization: no quantization 'nf'; valid: fp32, nf4, gptq4; "),
        ("quantization=nf4,", "only.quantization: no quantization ''; valid: fp32, nf4, gptq4"),
        ("quantization=nf", "did you mean 'nf4'?"),
        ("nf4", "only: got 'nf4'; expected labels of axes, as in only=\"model=llama-7b "),
        ("", "only: got ''; expected labels of axes"),
        (None, "only: got None; expected labels of axes"),
        ({}, "only: got {}; expected labels of axes"),
        (["nf4"], "only: got ['nf4']; expected labels of axes"),
        (
            {"model": {"tiny": 1}},
            "only.model: got {'tiny': 1}; expected a label or a list of labels",
        ),
        ({"model": []}, "only.model: got []; expected a label or a list of labels"),
        (
            "quantization=nf4 quantization=fp32",
            "only.quantization: named twice; expected its labels in one list, "
            "quantization=nf4,fp32",
        ),
        (
            "quantization=gptq4 hardware=there",
            "only: no cell of the grid matches quantization=gptq4 hardware=there; grid keeps there "
            "of quantization: fp32, nf4",
        ),
    ],
)
def test_a_mistake_gives_one_line(small, asked, line):
    with pytest.raises(InputError) as caught:
        part_of(small, asked)
    said = str(caught.value)
    assert said.startswith("--config: only")
    assert line in said
    assert "\n" not in said


def test_the_label_of_a_training_means_all_its_numbers_of_epochs(study_data):
    data = {"file": "config/data/saf/saf.jsonl", "template": "{question}", "answer": "feedback"}
    lora = {"method": "lora", "precision": "float32", "epochs": [5, 10], "data": data}
    study_data["training"] = {"none": {"method": "none"}, "lora": lora}
    found = study.from_data(study_data, "test")
    assert {c.training for c in part_of(found, "training=lora").cells} == {"lora-e5", "lora-e10"}
    assert {c.training for c in part_of(found, "training=lora-e5").cells} == {"lora-e5"}


# ---------------------------------------------------------------- the plan
@pytest.fixture
def on_boards(study_data, monkeypatch):
    """Two models on two boards, without reading joulegrid's code."""
    monkeypatch.setattr(Parts, "_code", lambda self, *_: {"code": part("0")})
    monkeypatch.setattr(known, "conclusions", lambda *_: {})
    revision = {"revision": "0" * 40}
    study_data["model"] = {
        "seven": {"hub": "mistralai/Mistral-7B-v0.3", **revision},
        "eight": {"hub": "meta-llama/Llama-3.1-8B", **revision},
    }
    study_data["pruning"] = {"none": {"method": "none"}}
    study_data["hardware"] = {
        "large": {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 80},
        "small": {"device": "cuda", "gpu": "A30"},
    }
    study_data["quality"] = {"text": study_data["quality"]["text"]}
    return Specs(study.from_data(study_data, "test"))


PLACE = "model=seven quantization=nf4,gptq4 hardware=small"


def test_a_plan_of_a_part_has_the_jobs_of_its_cells(on_boards, tmp_path):
    asked = part_of(on_boards.study, PLACE)
    whole = plan.of_study(on_boards, str(tmp_path))
    said = plan.of_study(on_boards, str(tmp_path), part=asked)
    assert set(said.to_run) == {job.path for job in jobs_of(on_boards, asked.cells)}
    assert set(said.to_run) < set(whole.to_run)
    assert {each.cell for each in said.cells} == asked.cells
    (share,) = said.shares
    assert (share.hardware, share.cells, share.to_run) == ("small", 2, 4)
    kinds = {each.kind: each.to_run for each in said.jobs}
    assert kinds == {"models": 1, "weights": 1, "energy": 4, "quality": 2}
    assert 0 < said.total.hours.median < whole.total.hours.median
    assert 0 < said.fetched.size.median < whole.fetched.size.median


def test_the_rest_of_the_study_calibrates_a_part(on_boards, tmp_path, monkeypatch):
    """What was measured of one model narrows what is said of another one on the same board."""
    asked = part_of(on_boards.study, "model=seven quantization=nf4 hardware=small")
    (found,) = plan.of_study(on_boards, str(tmp_path), part=asked).cells
    other = found.cell._replace(model="eight")
    run, work = expected(found.case, found.session.belief), found.case.work
    tokens = work.requests * work.tokens_in, work.requests * work.tokens_out
    found_there = taken.Taken({other: [Run(run.seconds, run.joules, *tokens)]}, {}, {}, set())
    monkeypatch.setattr(taken, "read", lambda *_: found_there)
    (after,) = plan.of_study(on_boards, str(tmp_path), part=asked).cells
    assert found.session.rests_on == "defaults"
    assert after.session.rests_on == "calibrated by 1 row"


def test_what_jobs_of_other_cells_took_is_what_those_of_a_part_take(
    on_boards, tmp_path, monkeypatch
):
    """Weights and evaluations of the same kinds, of the model that is not asked for."""
    asked = part_of(on_boards.study, PLACE)
    before = plan.of_study(on_boards, str(tmp_path), part=asked)
    made = [job for job in jobs_of(on_boards) if job.kind in ("weights", "quality")]
    others = [job for job in made if job.labels[0] == "eight"]
    took = {job.path: taken.Spent(1000.0, 1e6, 1e5) for job in others}
    monkeypatch.setattr(taken, "read", lambda *_: taken.Taken({}, {}, took, set()))
    there = {job.path for job in others}
    monkeypatch.setattr(Shelf, "missing", lambda _, jobs: [j for j in jobs if j.path not in there])
    after = plan.of_study(on_boards, str(tmp_path), part=asked)
    assert after.to_run == before.to_run
    assert after.efforts["weights"].rests_on == "measured by 1 job"
    assert after.efforts["quality"].rests_on == "measured by 3 jobs"
    assert "defaults" in before.efforts["weights"].rests_on


def test_a_pilot_of_a_part_is_of_its_cells(on_boards, tmp_path):
    asked = part_of(on_boards.study, PLACE)
    unfit = infeasible.of_study(on_boards)
    chosen = first_sessions(on_boards, str(tmp_path), unfit, asked)
    assert {job.labels[:-1] for job in chosen} == {tuple(cell) for cell in asked.cells}


def test_the_plan_of_a_part_keeps_what_was_said_of_the_others(on_boards, tmp_path):
    tables.write(plan.of_study(on_boards, str(tmp_path / "weights")), tmp_path)
    before = json.loads((tmp_path / "plan.json").read_text())
    asked = part_of(on_boards.study, PLACE)
    tables.write(plan.of_study(on_boards, str(tmp_path / "weights"), part=asked), tmp_path)
    after = json.loads((tmp_path / "plan.json").read_text())
    assert after["only"] == PLACE
    assert "only" not in before
    assert len(after["cells"]) == 2 < len(before["cells"])

    def ordered(rows):
        return sorted(rows, key=json.dumps)

    assert ordered(after["said_before"]) == ordered(before["said_before"])
    assert [each["kind"] for each in after["jobs"]] == ["models", "weights", "energy", "quality"]

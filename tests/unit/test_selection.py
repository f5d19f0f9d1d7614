"""What a study's selection asks for: its loops, its mistakes, and who goes on."""

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from joulegrid.analysis import selecting
from joulegrid.errors import InputError
from joulegrid.study import conclusions, parts, study
from joulegrid.study.code import Source
from joulegrid.study.grid import Cell
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs
from joulegrid.study.yaml import read_yaml

DATA = {
    "file": "config/data/saf/saf.jsonl",
    "template": "Question: {question}\nFeedback: ",
    "answer": "feedback",
}
LORA = {"method": "lora", "precision": "float32", "epochs": [5, 10], "data": DATA}
CANDIDATES = [{"training": "lora", "pruning": "none", "quantization": "fp32", "hardware": "here"}]


@pytest.fixture
def made(study_data):
    """A function that gives the small study with two models, trainings and a selection of these
    keys.
    """
    study_data["model"]["other"] = {"random": "mini-llama"}
    study_data["training"] = {"none": {"method": "none"}, "lora": dict(LORA)}

    def of(ranking=None, grid=None, **keys):
        study_data["selection"] = {"candidates": CANDIDATES, "count": 1, **keys}
        study_data["ranking"] |= ranking or {}
        study_data["grid"] = grid or {}
        return study.from_data(study_data, "study.yaml")

    return of


def test_cells_of_candidates_wait_and_all_others_do_not(made):
    found = made(per="model")
    loops = found.loops
    assert set(loops.candidates) == {
        (model, f"lora-e{epochs}") for model in ("tiny", "other") for epochs in (5, 10)
    }
    place = ("none", "fp32", "here", "transformers", "questions")
    assert loops.candidates["tiny", "lora-e5"] == Cell("tiny", "lora-e5", *place)
    everything = [*loops.first, *(cell for cells in loops.second.values() for cell in cells)]
    assert sorted(everything) == sorted(found.cells)
    assert {cell for cell in loops.first if cell.training != "none"} == {*loops.candidates.values()}
    assert loops.groups == [[(m, "lora-e5"), (m, "lora-e10")] for m in ("tiny", "other")]
    # the most that may come: one of each model, 2 prunings × 3 quantizations × 2 machines each
    assert len(loops.most()) == 2
    assert len(loops.cells(loops.most())) == len(loops.first) + 2 * 11
    assert set(loops.compared(found.data["ranking"]["baseline"])) == {
        *loops.candidates.values(),
        *(Cell(model, "none", *place) for model in ("tiny", "other")),
    }


@pytest.fixture
def read_once(monkeypatch):
    """The source of joulegrid, read once for all specs of a test."""
    source = Source()
    monkeypatch.setattr(parts, "Source", lambda: source)
    monkeypatch.setattr(conclusions, "Source", lambda: source)


def test_a_selection_is_part_of_no_record(made, study_data, read_once):
    for axis in ("model", "quantization", "pruning"):  # few cells say it too
        for label in list(study_data[axis])[1:]:
            if label != "nf4":
                del study_data[axis][label]
    jobs = {job.path for job in jobs_of(Specs(made()))}
    del study_data["selection"]
    assert {job.path for job in jobs_of(Specs(study.from_data(study_data, "x")))} == jobs


def test_weight_and_count_decide_anew_and_what_is_shown_does_not(made, study_data, read_once):
    def stamps(**keys):
        found = made(**keys)
        steps = conclusions.conclusions(found, [])
        return {name: step.stamp for name, step in steps.items()}

    before = stamps()
    assert list(before) == ["select", "merge", "analyse", "draw", "report"]
    for other in ({"count": 2}, {"weight": 0.2}, {"ranking": {"weight": 0.3}}):
        assert not set(stamps(**other).values()) & set(before.values())
        study_data["ranking"]["weight"] = 0.7
    study_data["carbon"]["zones"] = {"FRA": {}}
    assert stamps()["select"] == before["select"]
    assert stamps()["analyse"] != before["analyse"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"count": 3, "per": "model"}, r"selection\.count: got 3; tiny has 2 candidates"),
        ({"count": 5}, r"selection\.count: got 5; the study has 4 candidates"),
        ({"count": 0}, r"selection\.count: got 0; expected how many trained models go on"),
        ({"per": "modell"}, r"selection\.per: got 'modell'; valid: model, study; did you mean"),
        ({"candidates": []}, r"selection\.candidates: got \[\]; expected a list of rules"),
        (
            {"candidates": [{"training": "lara"}]},
            r"candidates\.0\.training: no training 'lara'; .* did you mean 'lora-e5'\?",
        ),
        (
            {"candidates": [{"training": "none"}]},
            r"candidates\.0\.training: none trains nothing; expected a training that makes",
        ),
        (
            {"candidates": [{"training": "lora", "quantization": "fp32", "pruning": "none"}]},
            r"lora-e5 of tiny is matched by 2 cells, tiny/lora-e5/none/fp32/here/.* and "
            r"tiny/lora-e5/none/fp32/there/.*; name more axes",
        ),
        (
            {"grid": {"exclude": [{"training": "lora", "quantization": "fp32"}]}},
            r"selection\.candidates: no cell of the grid with a training matches",
        ),
        (
            {
                "grid": {
                    "include": [
                        {"training": "none"},
                        {"pruning": "none", "quantization": "fp32", "hardware": "here"},
                    ]
                }
            },
            r"selection: no cell of the grid waits for it",
        ),
        (
            {
                "grid": {
                    "exclude": [{"training": "none", "quantization": "fp32", "hardware": "here"}]
                }
            },
            r"is compared with tiny/none/none/fp32/here/transformers/questions, which is not in "
            r"the grid",
        ),
        (
            {"ranking": {"baseline": {"training": "lora-e5", "quantization": "nf4"}}},
            r"is compared with tiny/lora-e5/none/nf4/.*, which waits for the selection",
        ),
    ],
)
def test_mistakes_are_named(made, keys, message):
    with pytest.raises(InputError, match=message) as found:
        made(**keys)
    assert all(line.startswith("study.yaml: ") for line in str(found.value).splitlines())


def test_nothing_to_rank_by_is_said(made, study_data):
    study_data["quality"] = {
        "saf": {
            "method": "generation",
            "data": "config/data/saf/questions.jsonl",
            "template": "{question}",
            "new_tokens": 4,
            "metrics": ["form"],
        }
    }
    with pytest.raises(InputError, match=r"selection: no metric of the study counts"):
        made()
    assert made(weight=1).loops is not None


def row(score, rank, note="", status="ok", reason=""):
    """What `ranked.table` says of a candidate."""
    numbers = dict.fromkeys(selecting.NUMBERS, score)
    words = {"note": note, "status": status, "reason": reason}
    return pd.Series({"model": "m", **numbers, "rank": rank, **words})


def test_who_goes_on_and_why():
    """By R; what has no rank never, whatever is known of it."""
    members = [
        (("m", "c"), row(0.2, 2)),
        (("m", "a"), row(0.5, 1)),
        (("m", "low"), row(0.9, pd.NA, note="does not meet what the study requires")),
        (("m", "b"), row(0.3, 2)),
        (("m", "gone"), row(np.nan, pd.NA, note="diverged", status="diverged", reason="step 3")),
    ]
    found = selecting._ranked(members, 2)
    assert [(e["training"], e["goes_on"], e["why"]) for e in found] == [
        ("a", True, "place 1 of 5"),
        ("b", True, "place 2 of 5"),
        (
            "c",
            False,
            "place 3 of 5, 2 go on; sessions and samples do not tell it from b, which goes on",
        ),
        ("low", False, "no rank: does not meet what the study requires"),
        ("gone", False, "no rank: diverged: step 3"),
    ]
    assert found[-1]["score"] is None
    assert selecting._sentence(found, 2, "model") == "Of m 2 of 5 trained models go on: a, b."
    few = selecting._ranked(members, 4)
    assert [entry["goes_on"] for entry in few] == [True, True, True, False, False]
    assert selecting._sentence(few, 4, "model").endswith(
        ", because no more have a rank; 4 were asked for."
    )
    nothing = selecting._ranked(members[-1:], 1)
    assert selecting._sentence(nothing, 1, "model") == (
        "Of m 0 of 1 trained models go on, because no more have a rank; 1 were asked for."
    )


def test_the_published_study_and_its_small_form():
    """16 trained models, 2 of each model go on; 6 on the CPU of this machine, 2 of all go on."""
    data = read_yaml(ROOT / "config/studies/tran2025.yaml")
    found = study.from_data(data, "tran2025")
    sizes = [len(found.loops.first), len(found.loops.cells(found.loops.most()))]
    assert sizes == [2 * (4 + 8), 2 * (4 + 8 + 2 * 17)]
    small = data | read_yaml(ROOT / "config/studies/mini/tran2025.yaml")
    found = study.from_data(small, "mini")
    sizes = [len(found.loops.first), len(found.loops.cells(found.loops.most()))]
    assert sizes == [3 + 6, 3 + 6 + 2 * 2]

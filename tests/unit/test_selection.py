"""What a study's selection asks for: its loops, its mistakes, and who goes on."""

import pytest

from joulegrid.analysis import selecting
from joulegrid.errors import InputError
from joulegrid.study import conclusions, study
from joulegrid.study.grid import Cell
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs

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


def test_a_selection_is_part_of_no_record(made, study_data):
    jobs = {job.path for job in jobs_of(Specs(made()))}
    del study_data["selection"]
    assert {job.path for job in jobs_of(Specs(study.from_data(study_data, "x")))} == jobs


def test_weight_and_count_decide_anew_and_what_is_shown_does_not(made, study_data):
    def stamps(**keys):
        found = made(**keys)
        steps = conclusions.conclusions(found, list(jobs_of(Specs(found))))
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
            r"lora-e5 of tiny is matched by 2 cells, tiny/lora-e5/none/fp32/here/.* and tiny/.*there"
            r".*; name more axes",
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
            r"is compared with tiny/none/none/fp32/here/transformers/questions, which is not in the "
            r"grid",
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

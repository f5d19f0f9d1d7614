"""What sharing saves, counted by hand."""

import copy

import pytest

from conftest import ROOT, STUDY
from joulegrid.planning import infeasible, sharing
from joulegrid.planning.cells import judged
from joulegrid.planning.sharing import ALL, savings
from joulegrid.study import study
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs

MACHINES = "weights, once for all machines, engines and workloads"
CHAIN = "weights that others are made from, once"
TUNED = "fine-tuning, once for all that is made from it"
EPOCHS = "epochs that numbers of epochs have in common, once"
QUALITY = "quality, once per configuration"
OTHERS = "results that other studies have too"


def counted(found):
    return {each.what: (each.alone, each.shared) for each in found}


@pytest.fixture(scope="module")
def specs():
    return Specs(study.from_data(copy.deepcopy(STUDY), "test"))


def test_weights_and_quality_by_hand(specs):
    """One model, 2 prunings × 3 quantizations on 2 machines, 2 sessions, 2 tasks.

    A cell on its own makes: nothing for fp32 and nf4, gptq4 one set of weights, half of any one
    more; that is 0 + 0 + 1 + 1 + 1 + 2 = 5 per machine. Kept are the pruned weights and two of
    GPTQ's. 12 cells with 2 sessions and 2 tasks each.
    """
    found = savings(specs)
    assert counted(found) == {
        MACHINES: (10, 5),
        CHAIN: (5, 3),
        QUALITY: (24, 12),
        ALL: (24 + 10 + 24, 24 + 3 + 12),
    }
    assert {each.unit for each in found} == {"jobs"}


def test_trainings_by_hand(study_data, with_lora):
    """None and LoRA of 2 and of 5 epochs on 2 machines: a run each per cell; the longer one goes
    on with the shorter one's, so that 2 + 3 epochs are left of 2 + 5.
    """
    found = savings(Specs(study.from_data(with_lora(study_data, "constant"), "test")))
    assert counted(found) == {
        EPOCHS: (7, 5),
        MACHINES: (4, 2),
        CHAIN: (2, 2),
        TUNED: (4, 2),
        QUALITY: (6, 3),
        ALL: (6 * 2 + 4 + 4 + 6, 6 * 2 + 2 + 2 + 3),
    }
    assert {each.unit for each in found if each.what == EPOCHS} == {"epochs"}


def test_schedules_that_differ_share_no_epochs(study_data, with_lora):
    found = savings(Specs(study.from_data(with_lora(study_data, "linear"), "test")))
    assert counted(found)[EPOCHS] == (7, 7)


@pytest.fixture
def with_lora():
    def of(data, schedule):
        lora = {
            "method": "lora",
            "precision": "float32",
            "epochs": [2, 5],
            "schedule": schedule,
            "data": {
                "file": "config/data/saf/saf.jsonl",
                "template": "Question: {question}\nAnswer: {answer}\nFeedback: ",
                "answer": "feedback",
            },
        }
        data["training"] = {"none": {"method": "none"}, "lora": lora}
        data["pruning"] = {"none": {"method": "none"}}
        data["quantization"] = {"fp32": {"method": "cast", "dtype": "float32"}}
        data["quality"] = {"text": data["quality"]["text"]}
        return data

    return of


def test_cells_that_no_engine_runs_need_nothing_more(study_data):
    """Their weights are made once all the same, as the study does."""
    study_data["engine"] = {"llamacpp": {"method": "llamacpp"}}
    found = counted(savings(Specs(study.from_data(study_data, "test"))))
    assert found[MACHINES] == (5, 5)
    assert found[QUALITY] == (12, 12)
    assert found[ALL] == (5 + 12, 3 + 12)


def test_what_other_studies_have_is_not_run_again(specs):
    sessions = [job for job in jobs_of(specs) if job.kind == "energy"]
    has = {job.id for job in sessions[:10]}
    found = {
        each.what: each for each in savings(specs, has, {job.path: 1800.0 for job in sessions[:4]})
    }
    assert counted(found.values())[OTHERS] == (39, 29)
    assert found[OTHERS].hours == pytest.approx(2.0)
    assert found[ALL].shared == 29
    assert found[QUALITY].hours is None


def test_other_studies_are_those_of_config_that_ask_for_the_same(specs, study_data, monkeypatch):
    study_data |= {"study": "other", "pruning": {"none": {"method": "none"}}}
    study_data["quality"] = {"text": STUDY["quality"]["text"]}
    other = study.from_data(study_data, "test")
    monkeypatch.setattr(sharing.unused, "studies", lambda parts: ([specs.study, other], []))
    sessions = [job for job in jobs_of(specs) if job.kind == "energy"]
    shared = sharing.of_others(specs.study, {job.id for job in sessions})
    assert shared == {job.id for job in sessions if job.labels[2] == "none"}
    assert sharing.of_others(specs.study, set()) == set()


def test_the_plan_tells_it(specs):
    shared = sharing.of_study(specs, "results", judged(specs.study, {}))
    assert counted(shared)[ALL] == (58, 39)
    said = "\n".join(sharing.lines(shared))
    assert "quality, once per configuration: 12 instead of 24 jobs" in said


def test_cells_that_are_known_not_to_fit_share_nothing():
    """Four models, whole and in 4 bits, on two boards; two whole ones do not fit the smaller."""
    made = Specs(study.load([ROOT / "config/studies/dosquet2025.yaml"]))
    found = savings(made, unfit=infeasible.of_study(made).keys())
    assert counted(found) == {
        MACHINES: (8, 4),
        CHAIN: (4, 4),
        QUALITY: (14 * 3, 8 * 3),
        ALL: (14 + 8 + 42, 14 + 4 + 24),
    }

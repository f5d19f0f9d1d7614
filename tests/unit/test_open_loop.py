"""What a selection leaves open: the most that it may add to a run."""

from types import SimpleNamespace

import pytest

from helpers import boards
from helpers.boards import hub
from joulegrid.planning import known, plan, tables
from joulegrid.study import second_loop, study
from joulegrid.study.only import part_of
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Specs

LORA = {
    "method": "lora",
    "precision": "float32",
    "data": {"file": "config/data/saf/saf.jsonl", "template": "{question}", "answer": "feedback"},
}
UNFIT = ("seven", "wide", "half", "fp16", "board", "transformers", "questions")


@pytest.fixture
def specs(study_data, monkeypatch):
    """Two trainings of a model, one of which goes on to two prunings and two quantizations."""
    boards.leave_code_unread(monkeypatch)
    study_data["model"] = {"seven": hub("Mistral-7B-v0.3", "mistralai")}
    study_data["training"] = {
        "none": {"method": "none"},
        "wide": {**LORA, "rank": 32, "epochs": 1},
        "slim": {**LORA, "rank": 8, "epochs": 1},
    }
    study_data["quantization"] = {
        "fp16": {"method": "cast", "dtype": "float16"},
        "nf4": study_data["quantization"]["nf4"],
    }
    study_data["hardware"] = {
        "board": {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 80, "gpus": 1}
    }
    study_data["quality"] = {"text": study_data["quality"]["text"]}
    study_data["ranking"]["baseline"] = {"training": "none", "quantization": "fp16"}
    stands_for = {"training": ["wide", "slim"], "pruning": "none", "quantization": "fp16"}
    study_data["selection"] = {"candidates": [stands_for], "count": 1}
    ranking = {"baseline": study_data["ranking"]["baseline"]}
    step = SimpleNamespace(spec={"ranking": ranking}, stamp="selection")
    monkeypatch.setattr(known, "conclusions", lambda *_: {"select": step})
    return Specs(study.from_data(study_data, "test"))


def there(monkeypatch, gone):
    """All records are there but those of jobs of which this is so."""
    monkeypatch.setattr(Shelf, "missing", lambda _, jobs: [job for job in jobs if gone(job)])


def waits(job):
    return job.labels[1] in ("wide", "slim") and tuple(job.labels[2:4]) != ("none", "fp16")


def planned_and_shown(specs, artifacts, part=None):
    """Cells and sessions that are open in the plan, after they were compared with a dry-run's."""
    opened = plan.of_study(specs, artifacts, part=part)
    shelf, first = Shelf(artifacts, list(jobs_of(specs))), jobs_of(specs, specs.study.loops.first)
    cells = second_loop.most(specs, shelf, (), part)
    shown = second_loop.added(specs, shelf, (), cells, first)
    kinds = {each.kind: each.to_run for each in opened.open.jobs}
    sessions = sum(job.kind == "energy" for job in shown)
    assert (len(opened.waiting), kinds["energy"]) == (len(cells), sessions)
    assert sum(kinds.values()) == len(shown)
    return {cell.training for cell in cells}, len(cells), sessions


def test_all_of_one_candidate_is_open(specs, tmp_path):
    assert planned_and_shown(specs, str(tmp_path))[1:] == (3, 6)


def test_what_is_there_adds_nothing(specs, tmp_path, monkeypatch):
    """The sessions of the first candidate are there, but one; of the other one is not."""
    one = ("half", "nf4", "board", "transformers", "questions", "1")

    def gone(job):
        if job.kind != "energy" or not waits(job):
            return "none" in job.labels[1:2]  # the first loop is not done: it is open
        return job.labels[1] == "slim" or tuple(job.labels[2:]) == one

    there(monkeypatch, gone)
    assert planned_and_shown(specs, str(tmp_path)) == ({"slim"}, 3, 6)
    part = part_of(specs.study, "training=wide")
    assert planned_and_shown(specs, str(tmp_path), part) == ({"wide"}, 3, 1)


def test_cells_that_do_not_fit_add_nothing(specs, tmp_path):
    shelf, first = Shelf(str(tmp_path)), jobs_of(specs, specs.study.loops.first)
    cells = second_loop.most(specs, shelf, {UNFIT})
    assert {cell.training for cell in cells} == {"slim"}
    wide = specs.study.loops.second["seven", "wide"]
    added = second_loop.added(specs, shelf, {UNFIT}, wide, first)
    assert sum(job.kind == "energy" for job in added) == 2 * 2


def test_what_is_open_has_hours_bytes_and_a_total_of_its_own(specs, tmp_path):
    said = plan.of_study(specs, str(tmp_path))
    opened = said.open
    # a pruning, and what is evaluated and measured behind it
    assert {kind: effort.predicted for kind, effort in opened.efforts.items()} == {
        "pruned": 1,
        "quality": 3,
    }
    sessions = sum(share.takes.hours.median for share in opened.shares)
    others = sum(effort.hours.median for effort in opened.efforts.values())
    assert opened.total.hours.median == pytest.approx(sessions + others)
    assert opened.written.number == 1
    rows = {row["quantity"]: row for row in tables.total_rows(said)}
    assert rows["hours"]["median"] == said.total.hours.median
    assert rows["open, at most: hours"]["median"] == opened.total.hours.median
    assert rows["open, at most: jobs to run"]["median"] == 1 + 6 + 3

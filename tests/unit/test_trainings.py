"""Trainings in a study, and the rows that they are told: labels, shared runs, bad input."""

import json
import os
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import xarray as xr
import yaml

from conftest import ROOT
from joulegrid.analysis import dataset
from joulegrid.analysis.reading import Records
from joulegrid.analysis.recorded import Cost
from joulegrid.analysis.recorded.making import Ended, Training
from joulegrid.analysis.table import Table
from joulegrid.analysis.trained import TRAINING, sentences
from joulegrid.analysis.variables import COMPONENTS, QUANTILES, STATUS
from joulegrid.errors import InputError
from joulegrid.jobs import progress
from joulegrid.planning import taken
from joulegrid.report import trainings
from joulegrid.study import frozen, study
from joulegrid.study import trainings as trainings_of_a_study
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs
from joulegrid.texts import rows

DATA = {
    "file": "config/data/saf/saf.jsonl",
    "template": "Question: {question}\nAnswer: {answer}\nFeedback: ",
    "answer": "feedback",
    "split_by": "question",
}
LORA = {"method": "lora", "precision": "float32", "epochs": [5, 10], "data": DATA}


@pytest.fixture
def with_training(study_data):
    """A function that gives the small study with a training of these keys."""

    def made(data=None, **keys):
        study_data["training"] = {
            "none": {"method": "none"},
            "lora": {**LORA, **keys, "data": {**DATA, **(data or {})}},
        }
        return study.from_data(study_data, "study.yaml")

    return made


def test_numbers_of_epochs_are_labels(with_training, study_data):
    study_data["grid"] = {"exclude": [{"training": "lora", "pruning": "half"}]}
    found = with_training()
    assert found.labels("training") == ["none", "lora-e5", "lora-e10"]
    assert found.entry("training", "lora-e5")["epochs"] == 5
    pruned = {c.training for c in found.configurations if c.pruning == "half"}
    assert pruned == {"none"}, "a rule that names lora means both"


@pytest.mark.parametrize(
    ("schedule", "before"), [("constant", "lora-e5"), ("linear", None), ("cosine", None)]
)
def test_a_longer_training_goes_on_where_the_first_epochs_are_the_same(
    with_training, schedule, before
):
    specs = Specs(with_training(schedule=schedule))
    longer = specs.goes_on_with(specs.training("tiny", "lora-e10"))
    assert (longer and longer.labels[1]) == before
    assert specs.goes_on_with(specs.training("tiny", "lora-e5")) is None


def test_the_id_of_a_training_is_the_same_whatever_stands_beside_it(with_training):
    both = Specs(with_training())
    alone = Specs(with_training(epochs=10))
    assert both.training("tiny", "lora-e10").id == alone.training("tiny", "lora").id
    assert both.training("tiny", "lora-e5").id != both.training("tiny", "lora-e10").id


def test_everything_behind_a_training_is_made_from_its_weights(with_training):
    specs = Specs(with_training(epochs=1))
    paths = {job.folder: job for job in jobs_of(specs)}
    behind = []
    job = paths["weights/tiny/lora/half/gptq4"]
    while job is not None:
        behind.append(job.folder)
        job = job.source
    assert behind == [
        "weights/tiny/lora/half/gptq4",
        "pruned/tiny/lora/half",
        "trained/tiny/lora",
        "training/tiny/lora",
        "models/tiny",
    ]


@pytest.mark.parametrize(
    ("data", "keys", "said"),
    [
        ({"template": "What?"}, {}, "data.template: it names no field"),
        (
            {"template": "{question"},
            {},
            "lora.data.template: expected '}' before end of string; a brace",
        ),
        ({"template": "{question.x}"}, {}, "data.template: expected names of fields"),
        ({"template": "{question} {feedback}"}, {}, "holds {feedback}, the answer"),
        ({"template": "{questoin}"}, {}, "data.questoin: no row of config/data/saf/saf.jsonl has"),
        ({"template": "{questoin}"}, {}, "did you mean 'question'?"),
        ({"columns": {"question": "frage"}}, {}, "data.columns.question: no row of"),
        ({"columns": {"frage": "question"}}, {}, "data.columns.frage: no such field"),
        ({"optional": {"feedback": "none"}}, {}, "optional.feedback: the answer cannot be left"),
        ({"file": "config/data/saf/README.md"}, {}, "expected a .jsonl file"),
        ({"file": "config/data/saf/sfa.jsonl"}, {}, "no such file 'config/data/saf/sfa.jsonl'"),
        (
            {},
            {"sequence_length": 100_000},
            "training.lora.sequence_length: got 100000; the",
        ),
        ({}, {"epochs": 0}, "training.lora.epochs: got 0; expected a number of epochs"),
        ({}, {"precision": "int8"}, "training.lora.precision: got 'int8'"),
        ({}, {"ranks": 4}, "training.lora.ranks: unknown key"),
    ],
)
def test_what_is_wrong_is_said(with_training, data, keys, said):
    with pytest.raises(InputError) as found:
        with_training(data, **keys)
    assert said in str(found.value)
    assert len(str(found.value).splitlines()) == 1, "once, whatever numbers of epochs there are"


def test_a_column_that_begins_late_is_one(with_training, tmp_path):
    row = {"question": "Why?", "feedback": "So."}
    lines = [json.dumps(row)] * trainings_of_a_study.LOOKED_AT
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join([*lines, json.dumps({**row, "late": "Then."})]))
    assert with_training({"file": str(file), "template": "{question} {late}"})
    with pytest.raises(InputError, match=r"no row of .* has a column 'later'.* 'late'"):
        with_training({"file": str(file), "template": "{question} {later}"})


def test_rows_that_a_yaml_file_chooses_are_known_by_what_is_in_them(
    with_training, tmp_path, monkeypatch
):
    monkeypatch.setitem(frozen.FOLDERS, frozen.ROWS, str(tmp_path))
    choice = tmp_path / "tutors.yaml"
    columns = ["question", "answer", "feedback"]
    choice.write_text(yaml.safe_dump({"path": "data", "files": "*.parquet", "columns": columns}))
    with pytest.raises(InputError, match=r"not frozen yet; run: python scripts/freeze_prompts\.py"):
        with_training({"file": str(choice)})
    target = ROOT / frozen.place(str(choice), frozen.kind_of(str(choice)))
    target.parent.mkdir(parents=True)
    shutil.copy(ROOT / DATA["file"], target)
    chosen = Specs(with_training({"file": str(choice)}, epochs=1)).training("tiny", "lora")
    assert chosen.id == Specs(with_training(epochs=1)).training("tiny", "lora").id
    with pytest.raises(InputError, match=r"tutors\.yaml has a column 'tutor'"):
        with_training({"file": str(choice), "columns": {"feedback": "tutor"}})
    choice.write_text(yaml.safe_dump({"path": "data", "files": "*.parquet", "columns": "question"}))
    with pytest.raises(InputError, match=r"tutors\.yaml: columns: got 'question'; expected a list"):
        with_training({"file": str(choice)})


def test_rows_with_a_number_that_is_none_end_the_plan(with_training, tmp_path):
    rows = [
        '{"question": NaN, "answer": "a", "feedback": "right", "mark": NaN}',
        '{"question": null, "answer": "NaN", "feedback": "wrong", "mark": -Infinity}',
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(rows * 2))
    with pytest.raises(InputError) as found:
        with_training({"file": str(file)})
    said = "lora.data.file: 2 rows of .*rows.jsonl have NaN or Infinity in the column 'question'"
    found.match(said)
    assert len(str(found.value).splitlines()) == 1, "a text, and what is not asked for, are fine"
    fine = tmp_path / "fine.jsonl"
    fine.write_text("\n".join([rows[1]] * 4))
    with_training({"file": str(fine)})


def test_a_file_whose_first_row_would_be_lost_ends_the_plan(with_training, tmp_path):
    content = (ROOT / DATA["file"]).read_bytes()
    (tmp_path / "1.jsonl").write_bytes(b"\xef\xbb\xbf" + content)
    with_training({"file": str(tmp_path)})
    (tmp_path / "2.jsonl").write_bytes(b"\xef\xbb\xbf" + content)
    with pytest.raises(InputError, match=r"/2\.jsonl begins with a byte order mark, which hides"):
        with_training({"file": str(tmp_path)})


def test_a_label_that_epochs_would_make_twice_is_refused(study_data):
    study_data["training"] = {
        "none": {"method": "none"},
        "lora": LORA,
        "lora-e5": {**LORA, "epochs": 5},
    }
    with pytest.raises(InputError, match="the label lora-e5 is there already"):
        study.from_data(study_data, "study.yaml")


LINES = [
    b'{"ticket": "Link down on a ring", "resolution": "A splice was new", "category": "fibre"}',
    b'{"ticket": "No route", "resolution": "The session was reset"}',
    b"",
    b"\xff\xfe broken",
    b"[1, 2]",
    b'{"ticket": "Alarm"}',
    b'{"ticket": "Alarm", "resolution": "  "}',
    b'{"ticket": ["a"], "resolution": "b"}',
    b'{"ticket": "Why \\ud83d?", "resolution": "b"}',
    b'{"ticket": " ", "resolution": "b"}',
    b'{"ticket": "No route", "resolution": "The session was reset"}',
    b'{"ticket": "Done: the fan was replaced at 2", "resolution": "The fan was  replaced at 2"}',
]
TICKETS = {
    "template": "Category: {category}\n{ticket}",
    "answer": "resolution",
    "optional": {"category": "unknown"},
    "leaked": "drop",
}


def test_what_cannot_be_used_is_counted_and_left_out():
    found, unread = rows.rows_in(b"\n".join(LINES))
    samples, unused = rows.samples_of(found, TICKETS)
    assert [sample.prompt for sample in samples] == [
        "Category: fibre\nLink down on a ring",
        "Category: unknown\nNo route",
        "Category: unknown\nNo route",
    ]
    assert unread == {"empty_line": 1, "not_utf8": 1, "not_json": 1}
    assert unused == {
        "missing_field": 1,
        "no_answer": 1,
        "no_prompt": 1,
        "not_text": 2,
        "leaked": 1,
        "repeated": 1,
    }


def test_a_field_that_may_be_left_out_may_be_blank_but_not_the_whole_prompt():
    data = {"template": "{a}{b}", "answer": "c", "optional": {"a": "", "b": ""}, "leaked": "drop"}
    found = [{"b": " ", "c": "x"}, {"a": "", "b": "y", "c": "x"}]
    samples, unused = rows.samples_of(found, data)
    assert [sample.prompt for sample in samples] == ["y"]
    assert unused == {"no_prompt": 1}


def test_the_same_row_never_trains_and_validates():
    found = [{"ticket": f"No {n % 20}", "resolution": "Mended"} for n in range(60)]
    samples, unused = rows.samples_of(found, TICKETS)
    assert unused == {"repeated": 40}
    parts = rows.split(samples, 0.2, 0)
    assert [len(part) for part in parts] == [48, 12]
    training, validation = ({sample.prompt for sample in part} for part in parts)
    assert not training & validation


def test_leaked_answers_are_kept_or_refused_where_that_is_said():
    found, _ = rows.rows_in(LINES[-1])
    samples, unused = rows.samples_of(found, {**TICKETS, "leaked": "keep"})
    assert len(samples) == 1
    assert unused == {"leaked": 1}
    with pytest.raises(InputError, match="1 answers stand in their own prompts"):
        rows.samples_of(found, {**TICKETS, "leaked": "refuse"})


def test_what_a_row_holds_is_never_a_template():
    row = {"ticket": "{resolution} {0} {{", "resolution": "x"}
    samples, _ = rows.samples_of([row], {**TICKETS, "template": "{{{ticket}}}"})
    assert samples[0].prompt == "{{resolution} {0} {{}"


def test_splits_are_seeded_whole_and_by_group():
    samples = [rows.Sample(f"p{n}", "a", f"q{n % 5}") for n in range(50)]
    one, other = rows.split(samples, 0.2, 0), rows.split(samples, 0.2, 1)
    assert one == rows.split(samples, 0.2, 0)
    assert one != other
    assert sorted([*one.training, *one.validation]) == sorted(samples)
    assert not {s.group for s in one.training} & {s.group for s in one.validation}
    assert len(rows.split([s._replace(group="") for s in samples], 0.2, 0).validation) == 10
    with pytest.raises(InputError, match="cannot be split"):
        rows.split(samples[:1], 0.2, 0)


def test_a_folder_of_files_is_one_data_set(tmp_path):
    lines = (ROOT / DATA["file"]).read_bytes().splitlines(keepends=True)
    (tmp_path / "1.jsonl").write_bytes(b"".join(lines[:100]))
    (tmp_path / "2.jsonl").write_bytes(b"".join(lines[100:]))
    shutil.copy(ROOT / "config/data/saf/README.md", tmp_path)
    whole, _ = rows.rows_in((ROOT / DATA["file"]).read_bytes())
    assert rows.rows_in(rows.content_of(tmp_path)) == (whole, {})
    (tmp_path / "1.jsonl").write_bytes(b"".join(lines[:100]).rstrip())
    (tmp_path / "3.jsonl").write_bytes(b"")
    assert rows.rows_in(rows.content_of(tmp_path)) == (whole, {})


def test_the_shipped_rows_are_those_that_their_notice_tells_of():
    found, dropped = rows.rows_in((ROOT / DATA["file"]).read_bytes())
    told = (ROOT / "config/data/saf/README.md").read_text(encoding="utf-8")
    assert not dropped
    assert f"has {len(found)} rows" in told
    assert len({row["question"] for row in found}) == 25
    assert all(f"`{column}`" in told for column in found[0])
    assert "Copyright (c) 2021 Sebastian Ochs" in (ROOT / "config/data/saf/LICENSE").read_text()


def test_a_kill_while_epochs_are_taken_over_leaves_no_half_of_them(tmp_path, monkeypatch):
    shorter = tmp_path / "shorter"
    for number in (1, 2):
        (shorter / f"epoch-{number}").mkdir(parents=True)
        (shorter / f"epoch-{number}/weights").write_text(f"after {number}")
        facts = {"schema_version": 2, "epoch": number}
        (shorter / f"epoch-{number}.json").write_text(json.dumps(facts))
    (shorter / "made.json").write_text("{}")
    for count in range(5):
        copied = iter(range(count))

        def copy(source, target, left=copied):
            if next(left, None) is None:
                raise KeyboardInterrupt
            shutil.copy2(source, target)

        with monkeypatch.context() as patch, progress.progress_of(tmp_path / f"{count}") as begun:
            patch.setattr(progress, "link_or_copy", copy)
            with pytest.raises(KeyboardInterrupt) if count < 4 else nullcontext():
                begun.take_over(shorter)
        with progress.progress_of(tmp_path / f"{count}") as again:
            again.take_over(shorter)
            texts = [(again.kept / f"epoch-{n}/weights").read_text() for n in (1, 2)]
            assert texts == ["after 1", "after 2"]
            shared = [epoch["shared_with"] for epoch in again.epochs]
            assert shared == ["shorter"] * 2, "what another training took is not this one's"
            assert not (again.kept / "made.json").exists()


@pytest.mark.parametrize("status", ["diverged", "oom"])
def test_what_a_training_took_that_ended_early_is_counted(with_training, tmp_path, status):
    specs = Specs(with_training())
    used = {"seconds": 40.0, "energy_j": {"cpu": 30.0, "gpu": 400.0, "ram": 5.0}}
    shelf = SimpleNamespace(record=lambda job: os.path.relpath(tmp_path / f"{job.id}.json", ROOT))
    records = Records(shelf)
    for more, label in (({"used": used}, "lora-e5"), ({}, "lora-e10")):
        job = specs.training("tiny", label)
        record = {"schema_version": 2, "id": job.id, "status": status, "reason": "step 3", **more}
        (tmp_path / f"{job.id}.json").write_text(json.dumps({**record, "elapsed_s": 60.0}))
        row = records.row(job, Training, lambda record: {})
        assert (STATUS[row["status"]], row["reason"]) == (status, "step 3")
    assert records.spent == {"training": [(60.0, 435.0)]}, "what the other took is not known"
    assert [row["status"] for row in records.missing] == [status] * 2


def test_the_epochs_before_a_training_diverged_are_shown(with_training, tmp_path):
    specs = Specs(with_training())
    job = specs.training("tiny", "lora-e5")
    joules = {"cpu": 30.0, "gpu": 0.0, "ram": 5.0}
    epoch = {
        "host": "node",
        "basis": {"cpu": "estimated", "gpu": "absent", "ram": "estimated"},
        "epoch": 1,
        "seconds": 20.0,
        "energy_j": joules,
        "codecarbon_j": joules,
        "training_loss": 2.5,
        "validation_loss": 2.25,
        "validation": {"seconds": 1.0, "energy_j": joules},
        "tokens_per_s": 10.0,
        "memory_bytes": {"ram": 1e9},
    }
    record = {"schema_version": 2, "id": job.id, "status": "diverged", "reason": "step 3"}
    wrong = {"disturbed": ["a wrong reading: a board says so"], "wrong": ["a board says so"]}
    epoch["validation"] |= wrong
    lost = {"seconds": 3.0, "energy_j": {"cpu": 6.0}}
    data = {
        "training_samples": 9,
        "validation_samples": 1,
        "tokens": 90,
        "answer_tokens": 50,
        "sample_tokens": [1.0] * len(QUANTILES),
        "counted": {"leaked": 2},
    }
    record |= {"epochs": [epoch], "used": {"seconds": 40.0, "energy_j": joules}, "data": data}
    record |= {"lost": [lost, {**lost, "ended": "diverged"}], "validation_loss": 3.5}
    (tmp_path / f"{job.id}.json").write_text(json.dumps(record))
    shelf = SimpleNamespace(
        record=lambda job: (
            os.path.relpath(path, ROOT) if (path := tmp_path / f"{job.id}.json").exists() else None
        )
    )
    tree, _ = dataset.merge(specs, shelf)
    one = tree["training"].to_dataset().sel(model="tiny", training="lora-e5")
    assert STATUS[int(one.status)] == "diverged"
    assert one.validation_loss.values[:2] == pytest.approx([2.25, float("nan")], nan_ok=True)
    assert one.energy.sel(epoch=1, component="ram").item() == 5
    assert (one.hosts.item(), one.reason.item()) == ("node", "step 3")
    assert one.wrong.values[:1] == one.disturbed.values[:1] == [1], "validating counts with it"
    assert (one.interruptions, one.lost_duration, one.lost_energy.sum()) == (1, 6, 12)
    assert (one.training_samples, one.counted.item()) == (9, "2 leaked")
    assert sentences(tree["training"].to_dataset()) == [
        "lora-e5: diverged: step 3.",
        "lora-e5: of its data were left out, cut or suspicious: 2 leaked.",
        "lora-e5: the meter was read wrongly in epoch 1: what making it took is not known.",
        "lora-e5: interrupted once; epochs without an end took 12 J and 6 s at least.",
    ]
    shown = trainings.epoch_frame(tree)
    lines = shown[["line", "epoch", "joules"]].values.tolist()
    assert lines == [["lora-e5", 0, 0.0], ["lora-e5", 1, 35.0]]
    assert shown.note.values[-1] == "disturbed, read wrongly"


def test_what_disturbed_an_epoch_or_its_validation_is_said_of_the_whole():
    parts = [
        {"seconds": 1.0, "energy_j": {"cpu": 2.0}, "disturbed": ["others"]},
        {"seconds": 2.0, "energy_j": {"cpu": 3.0, "gpu": 4.0}},
        {"seconds": 3.0, "energy_j": {}, "disturbed": ["above the limit", "others"]},
        {"seconds": 4.0, "energy_j": {}, "wrong": ["above the limit"]},
    ]
    assert progress.total(parts) == {
        "seconds": 10.0,
        "energy_j": {"cpu": 5.0, "gpu": 4.0},
        "disturbed": ["others", "above the limit"],
        "wrong": ["above the limit"],
    }
    assert progress.total(parts[1:2]) == parts[1]


def test_a_job_took_no_less_time_than_the_epochs_of_its_processes(tmp_path, monkeypatch):
    """Killed after 300 s, it went on for 60 s."""
    used = {"seconds": 340.0, "energy_j": {"cpu": 30.0, "gpu": 400.0, "ram": 5.0}}
    record = {"schema_version": 2, "id": "a", "status": "ok", "elapsed_s": 60.0, "used": used}
    (tmp_path / "a.json").write_text(json.dumps(record))
    monkeypatch.setattr(taken, "ROOT", tmp_path)
    assert taken._of_other("a.json") == (340.0, 400.0, 35.0)
    (tmp_path / "a.json").write_text(json.dumps({**record, "elapsed_s": 360.0}))
    assert taken._of_other("a.json").seconds == 360.0
    ended = Ended(schema_version=2, id="a", status="oom", elapsed_s=60.0, used=Cost(**used))
    assert ended.spent == (340.0, 435.0)


def test_what_a_reader_must_know_of_trainings_is_said():
    labels = {"model": ["tiny"], "training": ["none", "a", "b", "c"]}
    extra = {"epoch": [1, 2], "component": COMPONENTS, "quantile": QUANTILES}
    table = Table(labels, TRAINING, extra)
    fine = {"status": 0, "interruptions": 0.0, "counted": "1 not_utf8, 2 leaked"}
    table.add(("tiny", "a"), {**fine, "validation_loss": [2.0, 1.0], "merged_loss": 1.0001})
    lost = {"interruptions": 2.0, "lost_energy": [3.0, 0.0, 0.5], "lost_duration": 12.0}
    shifted = {"validation_loss": [2.0, 1.0], "merged_loss": 1.25}
    table.add(("tiny", "b"), {**fine, **lost, **shifted})
    why = "the loss at step 3 is nan"
    table.add(("tiny", "c"), {"status": STATUS.index("diverged"), "reason": why})
    assert sentences(table.dataset()) == [
        "a, b: of its data were left out, cut or suspicious: 1 not utf8, 2 leaked.",
        "b: interrupted 2 times, which lost 3.5 J and 12 s at least.",
        "b: its validation loss is 1.2500 merged into the base, and was 1.0000 as trained.",
        f"c: diverged: {why}.",
    ]
    assert sentences(xr.Dataset()) == []

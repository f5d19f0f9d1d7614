"""Folders of weights: whole, readable by those who share them, and of what was named."""

import json
import os
import shutil

import pytest

from conftest import ROOT
from joulegrid.errors import InputError
from joulegrid.jobs import weights
from joulegrid.models import path as path_source
from joulegrid.models.content import content_hash
from joulegrid.study import files

MODEL = ROOT / "tests/data/model"


@pytest.fixture
def model(tmp_path):
    """A copy of a model folder that may be changed, and the entry that names it."""
    folder = tmp_path / "house/config/model"
    shutil.copytree(MODEL, folder)
    return folder, {"path": {"path": str(folder), "sha256": content_hash(folder)}}


def fetch(entry, target):
    """As the job does."""
    with weights.new_folder(target) as folder:
        path_source.fetch(entry, folder)
        weights.seal(folder, {"status": "ok", "sha256": entry["path"]["sha256"]})
    return target


def change(folder):
    (folder / "config.json").write_text('{"model_type": "other"}')


def test_a_model_that_has_changed_since_it_was_planned_is_not_fetched(model, tmp_path):
    folder, entry = model
    change(folder)
    with pytest.raises(InputError, match="the model has changed since this job was planned"):
        fetch(entry, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="no such folder"):
        fetch(entry, tmp_path / "weights")


def test_links_to_a_model_that_has_changed_are_not_used(model, tmp_path):
    folder, entry = model
    target = fetch(entry, tmp_path / "weights")
    assert weights.finding_in(target) is None
    change(folder)
    with pytest.raises(InputError, match="files that it links to have changed since"):
        weights.finding_in(target)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json is gone"):
        weights.finding_in(target)


def test_a_change_inside_a_tensor_is_seen(model, tmp_path):
    folder, entry = model
    large = folder / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 21]}})
    large.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(1 << 21))
    entry["path"]["sha256"] = content_hash(folder)
    target = fetch(entry, tmp_path / "weights")
    with open(large, "r+b") as stream:
        stream.seek(8 + len(header) + (1 << 20))
        stream.write(b"x")
    with pytest.raises(InputError, match="have changed"):
        weights.finding_in(target)


@pytest.mark.parametrize("header", [b"[]", b'{"a": 1}', b'{"a": {"data_offsets": 3}}', b"{"])
def test_a_damaged_header_is_named(model, header):
    folder, _ = model
    content = len(header).to_bytes(8, "little") + header + bytes(1 << 21)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="not a safetensors file"):
        content_hash(folder)


def test_a_copy_of_the_repository_loads_its_own_files(model, tmp_path, monkeypatch):
    house = tmp_path / "house"
    monkeypatch.setattr(weights, "ROOT", house)
    _, entry = model
    fetch(entry, house / "results/models/tiny/1")
    shutil.copytree(house, tmp_path / "clone", symlinks=True)
    clone = tmp_path / "clone/results/models/tiny/1"
    assert (clone / "config.json").resolve() == tmp_path / "clone/config/model/config.json"
    assert weights.finding_in(clone) is None
    # what lies on another disk is found by its own path
    elsewhere = fetch(entry, tmp_path / "scratch/1")
    assert os.readlink(elsewhere / "config.json") == str(house / "config/model/config.json")


def test_relative_links_lead_there_also_where_results_is_itself_a_link(
    model, tmp_path, monkeypatch
):
    house = tmp_path / "house"
    monkeypatch.setattr(weights, "ROOT", house)
    (tmp_path / "scratch/deep/results").mkdir(parents=True)
    (house / "results").symlink_to(tmp_path / "scratch/deep/results")
    target = fetch(model[1], house / "results/models/tiny/1")
    assert (target / "config.json").resolve() == house / "config/model/config.json"


def test_made_weights_are_readable_by_all_that_the_umask_lets(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "umask", lambda: 0o027)
    there = tmp_path / "linked"
    there.write_text("not ours")
    there.chmod(0o600)
    with weights.new_folder(tmp_path / "weights") as folder:
        (folder / "deep").mkdir(mode=0o700)
        for name in ("model.safetensors", "deep/tokenizer.json"):
            (folder / name).write_text("{}")
            (folder / name).chmod(0o600)
        (folder / "link").symlink_to(there)
    modes = {
        name: oct((tmp_path / "weights" / name).stat().st_mode & 0o777)
        for name in (".", "deep", "model.safetensors", "deep/tokenizer.json", "link")
    }
    assert modes == {
        ".": "0o750",
        "deep": "0o750",
        "model.safetensors": "0o640",
        "deep/tokenizer.json": "0o640",
        "link": "0o600",
    }


def make(target, text, meanwhile=None):
    with weights.new_folder(target) as folder:
        (folder / "model.safetensors").write_text(text)
        weights.seal(folder, {"status": "ok"})
        if meanwhile:
            meanwhile()


def test_what_another_clone_finished_meanwhile_is_kept(tmp_path):
    target = tmp_path / "weights"
    target.mkdir()  # Snakemake makes the folder of an output
    make(target, "mine", meanwhile=lambda: make(target, "other"))
    assert (target / "model.safetensors").read_text() == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["weights"], "no litter"
    make(target, "again")  # what was there before is what the job shall replace
    assert (target / "model.safetensors").read_text() == "again"


def test_what_another_clone_left_unfinished_is_replaced(tmp_path):
    target = tmp_path / "weights"
    make(target, "mine", meanwhile=target.mkdir)
    assert (target / "model.safetensors").read_text() == "mine"


def test_a_folder_that_appears_at_the_last_moment_is_kept(tmp_path, monkeypatch):
    target = tmp_path / "weights"
    monkeypatch.setattr(
        weights.shutil, "rmtree", lambda path, **_: make_once(target) if path == target else None
    )

    def make_once(path):
        if not path.exists():
            path.mkdir()
            (path / "model.safetensors").write_text("other")
            weights.seal(path, {"status": "ok"})

    make(target, "mine")
    assert (target / "model.safetensors").read_text() == "other"


@pytest.mark.parametrize(
    "name", ["README.md", "LICENSE", "pytorch_model.bin", "modeling_mine.py", "made.json"]
)
def test_what_is_not_taken_of_a_model_does_not_name_it(model, name):
    folder, entry = model
    (folder / name).write_text("x")
    assert content_hash(folder) == entry["path"]["sha256"]
    (folder / "tokenizer_config.json").write_text("{}")
    assert content_hash(folder) != entry["path"]["sha256"]


def test_what_programs_leave_in_a_task_folder_does_not_name_it(tmp_path):
    shutil.copytree(ROOT / "config/tasks/facts", tmp_path / "facts")
    before = files._folder_hash(tmp_path / "facts", "facts")
    for name in ("__pycache__/utils.cpython-311.pyc", "utils.pyc", ".DS_Store", ".git/HEAD"):
        (tmp_path / "facts" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "facts" / name).write_text("x")
    assert files._folder_hash(tmp_path / "facts", "facts") == before
    (tmp_path / "facts/utils.py").write_text("x = 1")
    assert files._folder_hash(tmp_path / "facts", "facts") != before

"""Several studies as one: what was taken apart comes together again, and what cannot is named."""

import json

import numpy as np
import pytest
import xarray as xr

from helpers import house
from joulegrid.analysis import combination, dataset, ranked, storage
from joulegrid.errors import InputError
from joulegrid.records import SCHEMA_VERSION
from joulegrid.study import study

CONFIGURATION = ("model", "training", "pruning", "quantization")


@pytest.fixture(scope="module")
def whole(finished):
    return storage.read(finished[0] / "results/studies/small/study.nc")


def part(whole, **labels):
    """A study of some labels only, as if the others had never been in it."""
    groups = {}
    for node in whole.subtree:
        found = node.to_dataset()
        own = {axis: named for axis, named in labels.items() if axis in found.dims}
        groups[node.path] = found.sel(own).copy(deep=True)
    tree = xr.DataTree.from_dict(groups)
    said = json.loads(tree.attrs["definitions"])
    for axis, named in labels.items():
        if axis in said:
            said[axis] = {label: said[axis][label] for label in named}
    tree.attrs["definitions"] = json.dumps(said)
    return tree


def test_a_study_without_samples_stands_beside_one_that_has_some(whole):
    """Its models compute none, say."""
    one, other = part(whole, quantization=["fp32", "nf4"]), part(whole, quantization=["gptq4"])
    del other["samples"]
    found = combination.combine({"one": one, "other": other})
    changes = found["changes"].to_dataset().sel(metric="facts.acc")
    assert changes.samples.sel(quantization="nf4").max() > 0
    assert not (changes.samples.sel(quantization="gptq4") > 0).any()
    # and a task of one study alone, without the label of the baseline
    del one["samples"]["facts"]
    other = part(whole, quantization=["gptq4"])
    assert "facts" in combination.combine({"one": one, "other": other})["samples"].children


def test_one_task_of_other_documents_is_not_combined(whole):
    other = part(whole, quantization=["gptq4"])
    quality = other["quality"].to_dataset()
    signature = quality.signature.where(quality.metric != "facts.acc", "documents " + "e" * 64)
    other["quality"] = xr.DataTree(quality.assign(signature=signature))
    one = part(whole, quantization=["fp32", "nf4"])
    with pytest.raises(InputError, match=r"documents of metric facts.acc: documents is .*ddd"):
        combination.combine({"one": one, "other": other})


def test_a_study_that_was_taken_apart_is_the_same_when_combined(whole):
    parts = {
        "one": part(whole, quantization=["fp32", "nf4"], hardware=["here", "there"]),
        "other": part(whole, quantization=["fp32", "gptq4"], zone=["BE"]),
    }
    found = combination.combine(parts)
    for group in ("energy", "quality", "training", "weights", "ranking", "changes", "carbon"):
        due, got = whole[group].to_dataset(), found[group].to_dataset()
        xr.testing.assert_equal(due.sortby(list(due.dims)), got.sortby(list(got.dims)))
    assert found["quality"].direction.attrs["flag_meanings"] == "lower_is_better higher_is_better"
    kept = {"energy", "quality", "samples", "training", "weights", "ranking", "changes", "carbon"}
    assert set(found.children) == {*kept, "published"}
    for task, node in whole["samples"].children.items():
        due, got = node.to_dataset(), found[f"samples/{task}"].to_dataset()
        xr.testing.assert_equal(due.sortby(list(CONFIGURATION)), got.sortby(list(CONFIGURATION)))
    of = json.loads(found.attrs["combined"])
    assert [each["title"] for each in of] == ["joulegrid study small"] * 2
    # and again: a combined dataset is one to be combined
    again = combination.combine({"both": found, "whole": whole})
    xr.testing.assert_equal(again["ranking"].to_dataset(), found["ranking"].to_dataset())


def test_cells_that_no_study_has_are_excluded_and_others_are_ranked_as_the_first_chooses(whole):
    one = part(whole, quantization=["fp32", "nf4"], hardware=["here"])
    other = part(whole, quantization=["fp32", "gptq4"], hardware=["there"])
    other["ranking"].attrs["weight"] = 0.1
    found = combination.combine({"one": one, "other": other})
    assert found["ranking"].attrs["weight"] == 0.7
    rows = ranked.table(found, found["ranking"].to_dataset())
    cells = set(zip(rows["hardware"], rows["quantization"], strict=True))
    assert cells == {("here", "fp32"), ("here", "nf4"), ("there", "fp32"), ("there", "gptq4")}
    assert rows["rank"].notna().all()


def told(one, other):
    with pytest.raises(InputError) as error:
        combination.combine({"a/study.nc": one, "b/study.nc": other})
    return str(error.value)


def test_a_label_that_means_two_things_is_named_with_what_differs(whole):
    said = json.loads(whole.attrs["definitions"])
    said["quantization"]["gptq4"]["bits"] = 3
    del said["protocol"]["all"]["seed"]
    other = whole.copy(deep=True)
    other.attrs["definitions"] = json.dumps(said)
    message = told(whole, other)
    assert "quantization gptq4: bits is 4 in a/study.nc, 3 in b/study.nc" in message
    assert "protocol: seed is 0 in a/study.nc, not there in b/study.nc" in message
    assert "rename it in one of the studies" in message
    zoned = whole.copy(deep=True)
    zoned["carbon"]["intensity"] = zoned["carbon"].intensity + 1
    assert "zone BE: intensity_g_per_kwh is 153.14 in a/study.nc, 154.14" in told(whole, zoned)


def test_one_label_on_two_machines_is_named(whole):
    other = whole.copy(deep=True)
    names = np.array(["stand-in", "another CPU"], "O")
    other["energy"] = other["energy"].to_dataset().assign_coords(hardware_cpu=("hardware", names))
    message = told(whole, other)
    due = 'device of hardware there: cpu is "stand-in" in a/study.nc, "another CPU" in b/study.nc'
    assert due in message


def test_a_cell_with_two_records_is_named(whole):
    other = whole.copy(deep=True)
    identities = other["energy"].id.astype("O")
    identities.values[0, 0, 0, 0, 0, 0, 0, 1] = "0123456789abcdef"
    other["energy"]["id"] = identities
    message = told(whole, other)
    assert "energy of model tiny, training none, pruning half, quantization fp32" in message
    assert "session 2" in message
    assert "0123456789abcdef in b/study.nc; 1 such" in message


def test_a_missing_result_of_one_study_is_that_of_the_other(whole):
    other = whole.copy(deep=True)
    hole = {"quantization": "nf4"}
    for name, nothing in (("id", ""), ("status", 3), ("energy", np.nan)):
        values = other["energy"][name].copy()
        values.loc[hole] = nothing
        other["energy"][name] = values
    found = combination.combine({"hole": other, "whole": whole})
    xr.testing.assert_equal(found["energy"].to_dataset(), whole["energy"].to_dataset())


def test_what_is_no_dataset_of_a_study_is_said(whole, tmp_path):
    path = tmp_path / "study.nc"
    with pytest.raises(InputError, match=r"study.nc: the file is missing"):
        storage.read(path)
    path.write_text("no dataset")
    with pytest.raises(InputError, match=r"study.nc: cannot be read as NetCDF"):
        storage.read(path)
    storage.write(xr.DataTree(xr.Dataset(attrs={"schema_version": 1})), path)
    with pytest.raises(
        InputError, match=f"schema_version is 1, this joulegrid reads {SCHEMA_VERSION}"
    ):
        storage.read(path)
    older = whole.copy()
    older.attrs = {k: v for k, v in whole.attrs.items() if k != "definitions"}
    assert "does not say what its labels mean" in told(whole, older)


def test_ready_made_weights_of_other_models_are_no_other_definition(study_data):
    ready = {"method": "prequantized", "models": {"tiny": {"path": "tests/data/model"}}}
    study_data["quantization"] = {"fp32": study_data["quantization"]["fp32"], "ready": ready}
    study_data["grid"] = {"exclude": [{"pruning": "half", "quantization": "ready"}]}
    said = dataset.definitions(study.from_data(study_data, "test"))
    assert "models" not in said["quantization"]["ready"]
    assert list(said["ready-made weights"]) == ["ready of tiny"]
    assert "path" not in json.dumps(said["ready-made weights"]["ready of tiny"]["path"])


@pytest.mark.slow
def test_two_studies_combine_by_their_names(own):
    place, data = own
    data["study"] = "second"
    data["quantization"]["gptq8"] = {**data["quantization"].pop("gptq4"), "bits": 8}
    house.write_study(place, data)
    house.snakemake(place, "--cores", "2")
    done = house.snakemake(place, "combine", "--cores", "1", "--config", "combine=small")
    assert "2 studies, 16 cells" in done.stdout
    found = storage.read(place / "results/studies/second/combined.nc")
    assert found["energy"]["quantization"].values.tolist() == ["fp32", "gptq4", "gptq8", "nf4"]
    assert found["energy"].bits.values.tolist() == [32, 4, 8, 4]
    alone = storage.read(place / "results/studies/small/study.nc")["ranking"].score
    xr.testing.assert_equal(
        found["ranking"].score.sel(quantization=alone["quantization"]).drop_vars("bits"),
        alone.drop_vars("bits"),
    )
    for given, message in (("smal", "did you mean 'small'?"), ("[]", "with which studies?")):
        done = house.snakemake(
            place, "combine", "--cores", "1", "--config", f"combine={given}", check=False
        )
        assert done.returncode
        assert message in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr

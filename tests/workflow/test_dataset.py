"""The merged dataset: reads like the question; other programs understand units and flags."""

import copy
import json
import re
import shutil

import cf_units
import netCDF4
import numpy as np
import pytest
import xarray as xr

from helpers import house
from joulegrid.analysis import dataset, describe, export, facts, published, reading, storage
from joulegrid.errors import InputError
from joulegrid.study import shelf, study
from joulegrid.study.specs import Specs


@pytest.fixture(scope="module")
def tree(finished):
    with xr.open_datatree(finished[0] / "results/studies/small/study.nc") as tree:
        yield tree.load()


def test_groups_and_dimensions(tree):
    assert set(tree.children) == {
        "energy",
        "lengths",
        "quality",
        "samples",
        "training",
        "weights",
        "ranking",
        "carbon",
        "changes",
        "cost",
        "levers",
        "published",
    }
    cell = ("model", "training", "pruning", "quantization", "hardware", "engine", "workload")
    assert tree["energy"].energy.dims == (*cell, "session", "component")
    assert tree["quality"].quality.dims == (*cell[:4], "metric")
    assert tree["carbon"].emissions.dims == (*cell, "zone")
    # in each of three windows the stand-in draws its bits plus the number of the session: 5 and 6 J
    energy = tree["energy"].energy.sel(
        pruning="none", quantization="nf4", hardware="here", component="cpu"
    )
    assert energy.values.ravel().tolist() == [15, 18]


def test_every_unit_is_one_that_udunits_knows(tree):
    seen = set()
    for group in tree.subtree:
        for name, variable in group.to_dataset().variables.items():
            if "units" in variable.attrs:
                unit = cf_units.Unit(variable.attrs["units"])
                assert not unit.is_unknown(), name
                seen.add(variable.attrs["units"])
            assert variable.attrs.get("long_name"), f"{group.path}/{name} has no long_name"
            beside = variable.attrs.get("ancillary_variables", "").split()
            assert set(beside) <= set(group.data_vars), f"{group.path}/{name}"
    assert {"J", "W", "s", "g", "g kW-1 h-1", "byte", "1"} <= seen
    assert cf_units.Unit("g kW-1 h-1").convert(3.6e6, "kg J-1") == pytest.approx(1e-3)


def test_one_selects_by_what_labels_stand_for(tree):
    energy = tree["energy"].energy
    few = energy.where(energy.bits <= 4, drop=True)
    assert few["quantization"].values.tolist() == ["gptq4", "nf4"]
    assert energy.sel(quantization="fp32").bits == 32
    sparse = tree["quality"].quality.where(energy.target_sparsity > 0, drop=True)
    assert sparse["pruning"].values.tolist() == ["half"]
    assert energy.sel(pruning="half").pruning_method == "magnitude"
    # of the stand-in: 1,000 parameters in 125 bytes for each of 32 bits, and no GPU
    assert energy.model_parameters.item() == 1000
    assert energy.model_size.item() == 125 * 32
    assert energy.hardware_cpu.values.tolist() == ["stand-in", "stand-in"]
    assert energy.hardware_gpu.values.tolist() == ["", ""]
    assert np.isnan(energy.hardware_gpu_memory).all()
    for group in ("energy", "quality", "weights", "ranking", "carbon"):
        coordinates = tree[group].to_dataset().coords
        assert {"bits", "target_sparsity", "model_parameters"} <= set(coordinates)
        for name in set(coordinates):
            assert coordinates[name].attrs.get("long_name"), f"{group}/{name}"


@pytest.mark.parametrize(
    ("entry", "bits"),
    [
        ({"method": "cast", "dtype": "bfloat16"}, 16),
        ({"method": "gguf", "type": "Q4_K_M"}, 4),
        ({"method": "gguf", "type": "BF16"}, 16),
        ({"method": "bitsandbytes-4bit", "type": "nf4"}, 4),
        ({"method": "gptq", "bits": 3}, 3),
        ({"method": "llm-int8"}, 8),
        ({"method": "prequantized", "models": {}}, None),
    ],
)
def test_nominal_bits(entry, bits):
    assert facts.nominal_bits(entry) == bits


def test_what_a_pruning_aims_at():
    assert facts.target_sparsity({"method": "wanda", "pattern": "1:4"}) == 0.75
    # a fifth of the blocks goes: what stays has no zeros
    assert facts.target_sparsity({"method": "layers", "ratio": 0.2}) == 0


def test_sessions_on_different_boards_leave_the_hardware_unsaid(tree):
    made = study.Study(json.loads(tree.attrs["study"]), "test", {})
    energy = tree["energy"].to_dataset().copy(deep=True)
    energy["gpu"] = energy.gpu.astype("O")
    energy.gpu.loc[{"hardware": "here"}] = "A30"
    energy.gpu_memory.loc[{"hardware": "here"}] = 24e9
    energy.gpu.values[..., -1, 0, 0, 0] = "A100"
    found = facts.of_study(made, {"tiny": {}}, energy)
    assert found.hardware_gpu.values.tolist() == ["A30", "A100"]
    energy.gpu.values[0, 0, 0, 0, 0, 0, 0, 0] = "L4"
    assert facts.of_study(made, {"tiny": {}}, energy).hardware_gpu.values.tolist() == ["", "A100"]
    assert found.hardware_gpu_memory.values[0] == 24e9
    assert np.isnan(found.model_size.item())


def test_every_measured_variable_has_a_status_with_flags(tree):
    for group in ("energy", "quality"):
        status = tree[group].status
        assert len(status.attrs["flag_values"]) == len(status.attrs["flag_meanings"].split())
        assert (status == 0).all()
    assert tree["energy"].energy.attrs["ancillary_variables"] == "status"


def test_weights_add_up_what_making_them_cost(tree):
    made = tree["weights"].to_dataset().squeeze()
    # the stand-in: 1 s and 3 J for a pruning, the same for GPTQ; casts cost nothing
    cost = {
        (p, q): (
            float(made.making_time.sel(pruning=p, quantization=q)),
            float(made.making_energy.sel(pruning=p, quantization=q)),
        )
        for p in ("none", "half")
        for q in ("fp32", "gptq4")
    }
    assert cost == {
        ("none", "fp32"): (0, 0),
        ("half", "fp32"): (1, 3),
        ("none", "gptq4"): (1, 3),
        ("half", "gptq4"): (2, 6),
    }


def test_provenance(tree):
    assert tree.attrs["Conventions"].startswith("CF-")
    assert {"history", "study", "git_commit", "joulegrid_version"} <= set(tree.attrs)


def test_ranking_and_carbon_are_those_of_the_tables(tree, finished):
    import pandas as pd

    rows = pd.read_csv(finished[0] / "results/studies/small/ranking.csv")
    best = rows.iloc[0]
    found = tree["ranking"].score.sel(
        pruning=best["pruning"], quantization=best["quantization"], hardware=best["hardware"]
    )
    assert found.item() == pytest.approx(best["score"], rel=1e-4)
    assert np.nanmin(tree["ranking"]["rank"]) == 1
    carbon = pd.read_csv(finished[0] / "results/studies/small/carbon.csv")
    assert len(carbon) == 12 * 2
    there = carbon[(carbon.hardware == "there") & (carbon.zone == "BE")]
    here = carbon[(carbon.hardware == "here") & (carbon.zone == "BE")]
    # the same energy, PUE 1.5 against 1
    assert there.emissions_g.values == pytest.approx(1.5 * here.emissions_g.values, rel=1e-4)


ENERGY, QUALITY, MODEL = "energy", "quality", "models"
# kind of the record, what is done to it
DAMAGES = [
    (QUALITY, lambda r: r["metrics"]["perplexity"].pop("higher_is_better")),
    (QUALITY, lambda r: r["metrics"]["perplexity"].update(higher_is_better="no")),
    (QUALITY, lambda r: r["metrics"]["perplexity"].pop("value")),
    (QUALITY, lambda r: r["metrics"]["perplexity"].update(value="x")),
    (QUALITY, lambda r: r["metrics"]["perplexity"].update(stderr=[1])),
    (QUALITY, lambda r: r["metrics"]["perplexity"]["samples"].update(link="sum")),
    (QUALITY, lambda r: r["metrics"]["perplexity"]["samples"].update(total=[])),
    (QUALITY, lambda r: r["metrics"]["perplexity"]["samples"]["weight"].pop()),
    (QUALITY, lambda r: r.update(metrics=[])),
    (QUALITY, lambda r: r.update(metrics={})),
    (QUALITY, lambda r: r.update(accepted={"reason": 5})),
    (QUALITY, lambda r: r.update(accepted=5)),
    (QUALITY, lambda r: r.update(status="oom", reason=5)),
    (QUALITY, lambda r: r.update(status="weird", reason="x")),
    (QUALITY, lambda r: r.update(status="missing", reason="x")),
    (QUALITY, lambda r: r.update(status=["ok"])),
    (ENERGY, lambda r: r.update(windows=[])),
    (ENERGY, lambda r: r.update(windows=5)),
    (ENERGY, lambda r: r.update(weights_bytes="abc")),
    (ENERGY, lambda r: r.update(weights_bytes=True)),
    (ENERGY, lambda r: r["memory_bytes"].update(ram="abc")),
    (ENERGY, lambda r: r["loading"]["energy_j"].update(cpu="abc")),
    (ENERGY, lambda r: r["idle"]["loaded"]["power_w"].update(cpu=None)),
    (ENERGY, lambda r: r.update(host=7)),
    (MODEL, lambda r: r.pop("parameters")),
    (MODEL, lambda r: r.update(parameters=None)),
    (MODEL, lambda r: r.update(parameters=0)),
    (MODEL, lambda r: r.update(bytes="abc")),
    (MODEL, lambda r: r.update(sparsity=3)),
    (MODEL, lambda r: r.update(cost={"seconds": "1", "energy_j": {}})),
]


@pytest.fixture(scope="module")
def records(finished, tmp_path_factory):
    """The records of the complete study, away from everything else, and its jobs by kind."""
    place, data = finished
    folder = tmp_path_factory.mktemp("records")
    shutil.copytree(place / "results", folder / "results", symlinks=True)
    data = copy.deepcopy(data)
    data["model"]["tiny"]["path"] = "tests/data/model"
    return folder, data


def merged(records, monkeypatch, kind, edit, task="text"):
    """The tree and what is missing, where `edit` is done to one record of a kind."""
    folder, data = records
    monkeypatch.setattr(shelf, "ROOT", folder)
    monkeypatch.setattr(reading, "ROOT", folder)
    specs = Specs(study.from_data(copy.deepcopy(data), "test"))
    jobs = list(shelf.jobs_of(specs))
    job = next(j for j in jobs if j.kind == kind and (kind != "quality" or j.labels[-1] == task))
    path = folder / f"results/{job.path}.json"
    text = path.read_text()
    record = json.loads(text)
    edit(record)
    path.write_text(json.dumps(record))
    try:
        return *dataset.merge(specs, shelf.Shelf(own=jobs)), job
    finally:
        path.write_text(text)


@pytest.mark.parametrize(("kind", "edit"), DAMAGES, ids=range(len(DAMAGES)))
def test_a_damaged_record_is_skipped_by_name(records, monkeypatch, tmp_path, kind, edit):
    tree, missing, job = merged(records, monkeypatch, kind, edit)
    assert [row["path"] for row in missing] == [f"results/{job.path}.json"]
    assert missing[0]["status"] == "missing"
    assert missing[0]["reason"] == reading.DAMAGED
    storage.write(tree, tmp_path / "study.nc")


def test_a_record_of_another_job_is_not_taken_for_one_of_another_joulegrid(records, monkeypatch):
    _, missing, _ = merged(records, monkeypatch, ENERGY, lambda r: r.update(id="0" * 16))
    assert [row["reason"] for row in missing] == [reading.MISPLACED]
    _, missing, _ = merged(records, monkeypatch, ENERGY, lambda r: r.update(schema_version=1))
    assert missing[0]["reason"] == "made by another joulegrid (schema version 1)"


def test_a_record_of_before_the_settings_is_no_damage(records, monkeypatch):
    """`accept` takes over what an earlier joulegrid measured."""
    _, missing, _ = merged(records, monkeypatch, ENERGY, lambda r: r.pop("settings"))
    assert missing == []


def test_samples_of_quality_give_the_metric_and_the_interval_of_its_change(finished):
    tree = storage.read(finished[0] / "results/studies/small/study.nc")
    samples = tree["samples/text"].sel(metric="text.perplexity")
    value = np.exp(samples.total.sum("sample") / samples.weight.sum("sample"))
    xr.testing.assert_allclose(
        value, tree["quality"].quality.sel(metric="text.perplexity"), check_dim_order=False
    )
    # the stand-in has the same loss for every sample
    assert tree["ranking"].quality_ci95.max().item() < 1e-9


def test_a_metric_without_a_value_is_no_damage(records, monkeypatch):
    """A broken model has no perplexity."""
    none = {"value": None, "stderr": None, "higher_is_better": False}
    tree, missing, job = merged(
        records, monkeypatch, QUALITY, lambda r: r.update(metrics={"perplexity": none})
    )
    assert missing == []
    at = dict(zip(("model", "training", "pruning", "quantization"), job.labels, strict=False))
    found = tree["quality"].sel(**at, metric="text.perplexity")
    assert np.isnan(found.quality.item())
    assert found.status.item() == 0
    assert tree["quality"].direction.sel(metric="text.perplexity").item() == 0


def test_a_tree_that_was_read_needs_its_file_no_more(finished, tmp_path):
    shutil.copy(finished[0] / "results/studies/small/study.nc", tmp_path / "study.nc")
    read = storage.read(tmp_path / "study.nc")
    (tmp_path / "study.nc").write_bytes(b"")
    assert float(read["energy"].energy.sum()) > 0


def test_a_file_tells_of_each_group_and_variable_what_it_is_as_cf_has_it(finished, tmp_path):
    """What compliance-checker and ncdump show of it."""
    storage.write(storage.read(finished[0] / "results/studies/small/study.nc"), tmp_path / "nc")
    with netCDF4.Dataset(tmp_path / "nc") as file:
        groups = [file[name] for name in file.groups if name != "samples"]
        groups += list(file["samples"].groups.values())
        for group in groups:
            assert group.comment, group.name
            for name, variable in group.variables.items():
                told = set(variable.ncattrs())
                assert "long_name" in told, (group.name, name)
                if variable.dtype != str and variable.dtype.kind in "iuf":
                    assert told & {"units", "flag_values"} or name == "value", (group.name, name)
                assert not (name in group.dimensions and "_FillValue" in told), (group.name, name)


def test_the_documentation_is_in_step_with_the_code():
    """After a change of variables: python scripts/describe_dataset.py."""
    assert (house.ROOT / "docs/dataset.md").read_text() == describe.markdown()


def test_udunits_knows_the_units_of_every_table():
    """Those that this study has no data for too."""
    for _, table, _, _ in describe.GROUPS:
        for name, variable in table.items():
            assert variable.units is None or not cf_units.Unit(variable.units).is_unknown(), name


def test_every_variable_is_documented(tree):
    documented = {name: set(table) for name, table, _, _ in describe.GROUPS}
    for name in documented.keys() & tree.children.keys():
        beside = {"method", "direction", "pue"}
        found = {str(v) for v in tree[name].data_vars} - beside
        assert {v for v in found if not v.startswith("intensity")} <= documented[name], name


def test_what_the_study_took_is_counted_by_kind(tree):
    cost = tree["cost"].to_dataset()
    # 6 configurations on 2 machines in 2 sessions; 2 prunings... of each kind what the study has
    assert cost.jobs.sel(kind="energy").item() == 12 * 2
    assert cost.energy.sel(kind="weights").item() == pytest.approx(
        3 * cost.jobs.sel(kind="weights").item()
    )


# ---------------------------------------------------------------- published results
def published_kwh(model, version):
    rows = published.read().to_dataframe()
    rows = rows[(rows.publication == "dosquet2025") & (rows.unit == "kWh")]
    chosen = rows[(rows.model == model) & (rows.configuration == version)]
    return chosen.value.sum()


@pytest.mark.parametrize(
    ("model", "percent"),
    [("LLaMA-7B", 26), ("LLaMA-30B", 1), ("Mistral-7B-v0.3", 22), ("Mistral-Small-3", 8)],
)
def test_dosquets_relative_changes(model, percent):
    change = published_kwh(model, "compressed") / published_kwh(model, "full") - 1
    assert 100 * change == pytest.approx(percent, abs=0.5)


def test_wetzels_engine_factor():
    rows = published.read().to_dataframe()
    total = rows[(rows.publication == "wetzel2024") & (rows.quantity == "energy_total")]
    total = total.set_index("configuration").value
    assert total["transformers"] / total["vllm"] == pytest.approx(4.7, abs=0.05)


def test_a_published_table_without_a_number_is_named(tmp_path):
    head = ",".join(published.COLUMNS)
    (tmp_path / "x.csv").write_text(f"{head}\n" + "a," * (len(published.COLUMNS) - 1) + "many\n")
    with pytest.raises(InputError, match=r"x.csv:2: 'many' is no number"):
        published.read(tmp_path)


def test_published_values_stand_beside_ones_own(tree):
    rows = published.beside(tree)
    own = rows[rows.publication == published.OWN].set_index(["quantity", "hardware"])
    one = own[own.configuration == "nf4 · transformers"]
    # three windows of 4 bits plus the number of the session, over three runs; 1 J of RAM each
    assert one.value["energy_cpu", "here"] == pytest.approx(5.5)
    assert one.value["energy_ram", "here"] == pytest.approx(1)
    assert one.value["energy_total", "here"] == pytest.approx(6.5)
    assert one.unit["energy_total", "here"] == "J"
    assert "cpu: estimated: stand-in" in one.measured["energy_total", "here"]
    quality = rows[(rows.publication == published.OWN) & (rows.quantity == "text.perplexity")]
    assert len(quality) == 6
    theirs = rows[rows.publication == "dosquet2025"]
    small = theirs[(theirs.model == "Mistral-Small-3") & (theirs.configuration == "full")]
    assert small[small.unit == "J"].value.sum() == pytest.approx(1.7877 * 3.6e6)
    assert set(rows.unit) == {"J", "s", "1"}


# ---------------------------------------------------------------- export
def test_exports_hold_what_the_dataset_holds(tree):
    sessions = export.sessions(tree)
    measured = sessions[sessions.status == "ok"]
    assert len(measured) == 12 * 2
    one = measured[(measured["quantization"] == "nf4") & (measured.hardware == "here")]
    assert one[one["pruning"] == "none"].energy_cpu.tolist() == [15, 18]
    table = export.ranking(tree)
    text = export.markdown(table)
    assert len(text.splitlines()) == 2 + 12
    assert text.startswith("| pruning | quantization | hardware | rank |")
    latex = export.latex(table)
    assert latex.count(r"\\") == 1 + 12
    assert " & -0" not in export.latex(table.assign(efficiency=-0.25))
    assert " & $-$0.250 & " in export.latex(table.assign(efficiency=-0.25))
    odd = table.head(2).assign(quantization=["a_b", "50 % & more"])
    assert r"a\_b" in export.latex(odd)
    assert r"50 \% \& more" in export.latex(odd)
    card = export.card(tree, sessions, table, {"pruning": "none", "quantization": "fp32"})
    assert card.startswith("---\ntags:")
    assert "Take " in card or "Keep " in card
    # what each column is, in which unit
    assert "| duration | s | wall time of all windows of the session |" in card
    assert "| energy_cpu | J | energy of all windows of the session, cpu |" in card
    assert "| bits | 1 | nominal bits of a weight of the quantized layers |" in card
    columns = set(re.findall(r"^\| (\w+) \|", card.partition("## Columns")[2], re.MULTILINE))
    assert set(sessions.columns) <= columns


def test_answers_to_other_documents_are_not_compared_in_silence(records, monkeypatch):
    """Data of the hub that changed between two configurations: no sample is paired, and each says
    why.
    """
    tree, _, _ = merged(records, monkeypatch, QUALITY, lambda record: None, task="facts")
    assert "facts" in tree["samples"].children

    def another(record):
        for metric in record["metrics"].values():
            metric["documents"] = "e" * 64

    tree, missing, _ = merged(records, monkeypatch, QUALITY, another, task="facts")
    assert missing == []
    assert "facts" not in tree["samples"].children
    found = tree["quality"].to_dataset()
    told = found.notes.sel(metric="facts.acc").values.ravel()
    assert all("its documents are not the same" in text for text in told if text)
    assert any(told)
    assert not any(
        "documents" in text for text in found.notes.sel(metric="text.perplexity").values.ravel()
    )

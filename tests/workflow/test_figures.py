"""What stands behind the figures and tables: changes, shares and setups, with Dosquet's published
numbers.
"""

import json
import re

import numpy as np
import pytest
import xarray as xr

from joulegrid.analysis import comparison, published, storage
from joulegrid.analysis.replays import Replays
from joulegrid.report import changes, figures, hourly
from joulegrid.report import published as elsewhere
from joulegrid.report.data import page_data
from joulegrid.report.frames import namer
from joulegrid.report.page import render
from joulegrid.study.grid import CELL_AXES
from joulegrid.units import J_PER_KWH


@pytest.fixture
def tree(finished):
    return storage.read(finished[0] / "results/studies/small/study.nc").load()


def dosquet(model, version):
    """KWh by component, setup 1."""
    rows = published.read().to_dataframe()
    rows = rows[(rows.publication == "dosquet2025") & (rows.unit == "kWh")]
    rows = rows[(rows.model == model) & (rows.configuration == version)]
    return {row.quantity.removeprefix("energy_"): row.value for row in rows.itertuples()}


@pytest.fixture
def replayed(tree):
    """The small study with the energies of LLaMA-7B: full as fp32, compressed as gptq4."""
    energy = tree["energy"].to_dataset()
    for label, version in (("fp32", "full"), ("gptq4", "compressed")):
        for component, kwh in dosquet("LLaMA-7B", version).items():
            one = {"quantization": label, "component": component}
            energy.energy.loc[one] = kwh * J_PER_KWH
            energy.basis.loc[one] = 0
    tree["energy"] = xr.DataTree(energy)
    chosen = comparison.chosen_in(tree["ranking"].attrs)
    tree["ranking"] = xr.DataTree(comparison.compare(tree, chosen))
    return tree


def test_shares_and_their_changes_are_as_published(replayed):
    frame = changes.share_frame(replayed, namer(replayed))
    frame = frame[(frame["pruning"] == "none") & (frame.hardware == "here")]
    compressed = frame[frame["quantization"] == "gptq4"].set_index("component")
    full = frame[frame["quantization"] == "fp32"].set_index("component")
    # 0.7022 of 1.4335 kWh, 1.1617 of 1.8129 kWh
    assert full.share["CPU"] == pytest.approx(0.490, abs=5e-4)
    assert full.share["GPU"] == pytest.approx(0.315, abs=5e-4)
    assert compressed.share["CPU"] == pytest.approx(0.641, abs=5e-4)
    assert compressed.points["CPU"] == pytest.approx(15.1, abs=0.05)
    assert compressed.points["GPU"] == pytest.approx(-11.0, abs=0.05)
    assert full.points.tolist() == [0, 0, 0]
    assert compressed.end.max() == pytest.approx(1)


def test_more_energy_is_positive(replayed):
    frame = changes.change_frame(replayed, namer(replayed))
    frame = frame[(frame["pruning"] == "none") & (frame.hardware == "here")]
    found = frame.set_index("quantization").change
    assert found["gptq4"] == pytest.approx(0.26, abs=0.005)
    assert found["fp32"] == 0


def test_a_baseline_that_names_a_machine_is_compared_across_machines(tree):
    assert "across_setups" not in figures.draw(tree)
    chosen = comparison.chosen_in(tree["ranking"].attrs)
    energy = tree["energy"].to_dataset()
    energy.energy.loc[{"hardware": "there"}] *= 2
    tree["energy"] = xr.DataTree(energy)
    across = {**chosen, "baseline": {**chosen["baseline"], "hardware": "here"}}
    tree["ranking"] = xr.DataTree(comparison.compare(tree, across))
    frame = changes.change_frame(tree, namer(tree))
    whole = frame[(frame["pruning"] == "none") & (frame["quantization"] == "fp32")]
    assert whole.set_index("setup").change.to_dict() == {"here": 0, "there": pytest.approx(1)}
    assert "across_setups" in figures.draw(tree)


def test_figures_without_data_are_left_out(tree):
    energy = tree["energy"].to_dataset()
    energy["weights_size"] = energy.weights_size * float("nan")
    energy.energy.loc[{"component": "ram"}] = 0
    tree["energy"] = xr.DataTree(energy)
    drawn = figures.draw(tree)
    assert "energy_quality" in drawn
    assert not {"bubbles", "component_shares", "across_setups", "grid_profile"} & set(drawn)


def test_latencies_of_replays_have_columns_and_limits(tree):
    before = page_data(tree, "small")
    assert not [c for c in before["columns"] if c["key"].startswith("latency")]
    energy = tree["energy"].to_dataset()
    axes = {name: energy[name].values.tolist() for name in (*CELL_AXES, "session")}
    replay = Replays(axes, {key: {"method": "replay"} for key in axes["workload"]}).dataset()
    replay.latency.loc[{"percentile": 95}] = xr.DataArray([1.0, 3.0], dims="session")
    tree["replay"] = xr.DataTree(replay)
    after = page_data(tree, "small")
    (column,) = [c for c in after["columns"] if c["key"].startswith("latency")]
    assert column["key"] == "latency_p95"
    assert column["heading"] == "latency p95, s"
    assert set(after["values"]["latency_p95"]) == {2.0}
    (limit,) = [limit for limit in after["limits"] if limit not in before["limits"]]
    assert limit["id"] == "max-latency_p95"
    assert limit["title"] == "latency p95, s at most"


def test_a_limit_without_data_is_no_control(tree):
    energy = tree["energy"].to_dataset()
    for name in ("peak_memory", "peak_gpu_memory"):
        energy[name] = energy[name] * float("nan")
    tree["energy"] = xr.DataTree(energy)
    assert "max-memory" not in [limit["id"] for limit in page_data(tree, "small")["limits"]]


def test_published_changes_by_hand():
    """As Dosquet and Wetzel give them: 26, 1, 22 and 8 % more energy with GPTQ, 4.7 times less with
    vLLM; word perplexity, MMLU and IFEval of LLaMA-7B are 9.38, 0.3204, 0.1867 and 9.72, 0.2785,
    0.1830.
    """
    found = published.changes(published.read())
    compressed = found[found.publication == "dosquet2025"].set_index("model")
    percent = {"LLaMA-7B": 26, "LLaMA-30B": 1, "Mistral-7B-v0.3": 22, "Mistral-Small-3": 8}
    assert (100 * compressed.energy).to_dict() == pytest.approx(percent, abs=0.5)
    parts = (1 - 9.72 / 9.38, 0.2785 / 0.3204 - 1, 0.1830 / 0.1867 - 1)
    assert compressed.quality["LLaMA-7B"] == pytest.approx(sum(parts) / 3)
    factors = found[found.publication == "wetzel2024"].set_index("change")
    assert factors.energy["bf16 to fp8"] == pytest.approx(-0.6)
    assert factors.quality.isna().all()
    along = factors.axis.to_dict()
    assert (along.pop("transformers to vllm, published as 1/4.7"), set(along.values())) == (
        "engine",
        {"quantization"},
    )


def test_published_changes_are_marked_and_only_where_they_fit(tree):
    charts = figures.draw(tree)["bubbles"].to_dict()
    named = [row for rows in charts["datasets"].values() for row in rows if "whose" in row]
    assert {row["whose"] for row in named} == {"dosquet2025 (published)"}
    assert len(named) == 4
    rows = elsewhere.beside(tree)
    assert {row["whose"] for row in rows if not row["published"]} == {"this study"}
    # the study compares quantizations, and no engines
    assert {row["texts"][1].split()[0] for row in rows if row["published"]} == {"full", "bf16"}
    del tree["published"]
    assert elsewhere.beside(tree) == []
    assert "whose" not in json.dumps(figures.draw(tree)["bubbles"].to_dict())


def test_the_page_shows_replays_by_the_hour_and_whose_a_change_is(tree):
    energy = tree["energy"].to_dataset()
    cell = (*CELL_AXES, "zone", "begin")
    axes = {axis: energy[axis].values for axis in CELL_AXES}
    axes |= {"zone": ["<b>X</b>"], "begin": ["mean", "best", "worst"]}
    grams = np.full([len(axes[name]) for name in cell], np.nan)
    grams[0, 0, 0, 0, 0, 0, 0, 0] = 1200, 900, 1500
    tree["hourly"] = xr.DataTree(xr.Dataset({"emissions": (cell, grams)}, coords=axes))
    page = render(tree, {}, {"study": "small"})
    (table,) = re.findall('<table id="hourly">(.*?)</table>', page, re.DOTALL)
    (row,) = re.findall("<tr>(.*?)</tr>", table.partition("<tbody>")[2], re.DOTALL)
    assert "<td>&lt;b&gt;X&lt;/b&gt;</td>" in row
    assert re.findall('class="n">(.*?)<', row) == ["1200", "900", "1500"]
    (table,) = re.findall('<table id="published">(.*?)</table>', page, re.DOTALL)
    heads = re.findall('<th scope="row">(.*?)</th>', table)
    assert heads == [*["this study (measured)"] * 2, *heads[2:]]
    assert all(head.endswith(" (published)") for head in heads[2:])
    assert "+26.5 %" in table
    del tree["hourly"]
    assert hourly.begun(tree) == {}

"""What stands behind the figures and tables: changes, shares and setups, with Dosquet's published
numbers.
"""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from joulegrid.analysis import comparison, published, storage
from joulegrid.analysis.replays import Replays
from joulegrid.analysis.table import Table
from joulegrid.analysis.trained import TRAINING
from joulegrid.analysis.variables import COMPONENTS, QUANTILES, STATUS
from joulegrid.report import (
    changes,
    failed,
    figures,
    hourly,
    latency,
    lengths,
    page,
    steadiness,
    trainings,
)
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
    drawn = figures.draw(tree)
    assert "across_setups" in drawn
    # machines that compete stand in one panel, under their names
    for name in ("energy_quality", "weight_sensitivity", "energy_components", "component_shares"):
        (points,) = drawn[name].to_dict()["datasets"].values()
        assert any("here" in row["configuration"] for row in points), name
        assert {row["place"] for row in points} == {"all"}, name
    data = page_data(tree, "small")["values"]
    assert set(data["place"]) == {"all"}
    assert len(set(data["configuration"])) == 12


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


def test_the_rate_of_a_single_replay_is_read_at_the_axis():
    """Dosquet's, a request every six seconds."""
    rows = {"line": "full", "workload": "replay", "offered_rate": 1 / 6, "energy_per_request": 5.0}
    frame = pd.DataFrame([{**rows, "percentile": p, "latency": 2.0} for p in ("p50", "p95")])
    drawn = io.StringIO()
    latency.chart(frame, 400).save(drawn, "svg")
    assert drawn.getvalue().count(">0.167<") == 2


def test_where_the_baseline_alone_is_there_or_wins_no_chart_says_so(tree):
    ranking = tree["ranking"].to_dataset()
    baseline = (ranking["quantization"] == "fp32") & (ranking["pruning"] == "none")
    tree["ranking"] = ranking.assign(
        wins_from=ranking.wins_from.where(baseline), quality=ranking.quality.where(baseline)
    )
    assert not any(figures.draw(tree)["weight_sensitivity"].to_dict()["datasets"].values())
    changed = tree["changes"].to_dataset()
    tree["changes"] = changed.assign(change=changed.change * 0)
    charts = {name: chart.to_dict() for name, chart in figures.draw(tree).items()}
    assert not any(charts["metric_changes"]["datasets"].values())
    assert 'id="chart-metric_changes"' not in render(tree, charts, {"study": "small"})


def test_large_numbers_stand_without_a_power_of_ten():
    shown = [page.number(value, "%.3g") for value in (None, 0.5, 4312.5, 1.25e6, 1e-12)]
    assert shown == ["–", "0.5", "4310", "1250000", "1e-12"]


def test_what_names_a_place_is_no_column_until_one_asks(tree):
    columns = {column["key"]: column["brief"] for column in page_data(tree, "small")["columns"]}
    assert [columns[axis] for axis in ("pruning", "quantization", "hardware")] == [1, 1, 0]


def test_epochs_are_drawn_over_the_energy_of_all_until_then(tree):
    assert not {"trainings", "lengths"} & set(figures.draw(tree))
    epochs = {"model": ["tiny"], "training": ["lora", "none"], "epoch": [1, 2, 3]}
    table = Table(
        {key: epochs[key] for key in ("model", "training")},
        TRAINING,
        {"epoch": epochs["epoch"], "component": COMPONENTS, "quantile": QUANTILES},
    )
    nan = float("nan")
    row = {
        "energy": [[3.0, 0.0, 1.0], [2.0, 0.0, 1.0], [nan] * 3],
        "basis": [[0, 3, 1], [0, 3, 1], [3, 3, 3]],
        "duration": [5.0, 4.0, nan],
        "training_loss": [2.5, 1.5, nan],
        "validation_loss": [2.0, 1.0, nan],
        "initial_loss": 3.0,
        "disturbed": [0.0, 1.0, nan],
        "shared": [1.0, 0.0, nan],
        "sample_tokens": [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 90.0],
    }
    table.add(("tiny", "lora"), row)
    tree["training"] = xr.DataTree(table.dataset())
    frame = trainings.epoch_frame(tree)
    assert frame.epoch.tolist() == [0, 1, 2]
    assert frame.joules.tolist() == [0, 4, 7]
    assert frame.validation_loss.tolist() == [3, 2, 1]
    assert frame.basis.tolist() == ["estimated and measured"] * 3
    assert frame.note.tolist()[1:] == ["shared with a shorter training", "disturbed"]
    assert trainings.table(tree)[0]["training_loss"] is None
    drawn = figures.draw(tree)
    (points,) = drawn["trainings"].to_dict()["datasets"].values()
    assert [p["joules"] for p in points if p["of"] == "training"] == [4, 7]
    (row,) = lengths.table(tree)
    assert (row["what"], row["of"]) == ("training samples", "lora")
    assert (row["least"], row["median"], row["most"]) == (4, 7, 90)
    assert "lengths" in drawn


def test_prompts_of_one_workload_are_one_row_and_answers_that_differ_have_their_names(tree):
    known = tree["lengths"].to_dataset()
    spread = xr.DataArray([1.0, 1, 2, 3, 4, 5, 6], dims="quantile")
    known.prompt_tokens.loc[:] = spread
    known.new_tokens.loc[:] = spread
    known.new_tokens.loc[{"quantization": "nf4", "pruning": "half"}] = 2 * spread
    known.new_tokens.loc[{"quantization": "gptq4"}] = 8.0  # all of one length
    tree["lengths"] = xr.DataTree(known)
    rows = lengths.table(tree)
    assert [(row["what"], row["of"]) for row in rows[:1]] == [("prompts", "questions")]
    of = {(row["what"], row["most"]): row["of"] for row in rows}
    assert of["answers", 12] == "half · nf4 · here, half · nf4 · there"
    assert of["answers", 6].endswith(" and 3 more")
    assert len(rows) == 3


def began(minute):
    return f"2026-01-01T00:{minute:02}:00+00:00"


def test_drift_of_the_machines_is_drawn_over_time_with_what_befell_the_windows(tree):
    energy = tree["energy"].to_dataset()
    first = {"quantization": "nf4", "pruning": "none", "hardware": "here", "session": 1}
    energy.reference_time.loc[first] = 0.55  # the others took 0.5 s
    energy.started.loc[first] = began(59)
    energy.replaced.loc[first] = 2
    energy.disturbed.loc[{**first, "session": 2}] = 0.25
    tree["energy"] = xr.DataTree(energy)
    chart = figures.draw(tree)["drift"].to_dict()
    (points,) = chart["datasets"].values()
    assert len(points) == 12 * 2
    last = points[-1]
    assert (last["seconds"], last["windows"]) == (0.55, "disturbed windows replaced")
    assert last["change"] == pytest.approx(0.1)
    assert [p["change"] for p in points[:-1]] == [0] * 23
    assert [p["windows"] for p in points].count("disturbed windows count") == 1
    page = render(tree, {"drift": chart}, {"study": "small"})
    steady = page.partition("How steady the machines were")[2].partition("<h2>")[0]
    assert '<div id="chart-drift"' in steady


def test_no_drift_is_drawn_of_one_session_and_of_many_their_medians(tree):
    rows = {"machine": "m", "change": 0.0, "seconds": 0.5, "sessions": 1, "windows": "undisturbed"}
    frame = pd.DataFrame([{**rows, "started": began(0)}])
    assert steadiness.chart(frame, 600) is None
    count = 3 * steadiness.MOST_POINTS
    many = pd.concat([frame] * count, ignore_index=True)
    many["seconds"] = [0.5, 0.6, 0.9] * (count // 3)
    many.loc[4, "windows"] = "disturbed windows count"
    (points,) = steadiness.chart(many, 600).to_dict()["datasets"].values()
    assert len(points) == steadiness.MOST_POINTS
    assert {(p["seconds"], p["sessions"]) for p in points} == {(0.6, 3)}
    assert [p["windows"] for p in points[:3]] == [
        "undisturbed",
        "disturbed windows count",
        "undisturbed",
    ]


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


def test_what_has_no_result_stands_on_the_page_with_its_reason(tree):
    assert failed.without_result(tree) == []
    energy, quality = tree["energy"].to_dataset(), tree["quality"].to_dataset()
    for session, quantization, status in (
        (1, "nf4", "oom"),
        (2, "nf4", "oom"),
        (2, "gptq4", "missing"),
    ):
        one = {"quantization": quantization, "hardware": "here", "session": session}
        energy.status.loc[one] = STATUS.index(status)
        energy.reason.loc[one] = "<b>3</b> GB were free" if status == "oom" else ""
    quality.status.loc[{"quantization": "nf4", "metric": "facts.acc"}] = STATUS.index("unsupported")
    broken = {"quantization": "gptq4", "metric": "text.perplexity"}
    quality.quality.loc[broken], quality.reason.loc[broken] = np.nan, "it came out as no number"
    tree["energy"], tree["quality"] = xr.DataTree(energy), xr.DataTree(quality)
    page = render(tree, {}, {"study": "small"})
    (table,) = re.findall('<table id="failed">(.*?)</table>', page, re.DOTALL)
    rows = re.findall("<tr>(.*?)</tr>", table.partition("<tbody>")[2], re.DOTALL)
    told = [
        [re.sub("<.*?>", "", cell) for cell in re.findall("<t.*?</t[hd]>", row)] for row in rows
    ]
    assert told == [
        ["oom", "&lt;b&gt;3&lt;/b&gt; GB were free", "4 sessions", "half · nf4 · here; nf4 · here"],
        ["missing", "no record", "2 sessions", "half · gptq4 · here; gptq4 · here"],
        ["unsupported", "no record", "2 metrics", "half · nf4; nf4"],
        ["no number", "it came out as no number", "2 metrics", "half · gptq4; gptq4"],
    ]

"""Sweeps in the dataset: their points, the sum that is compared, and what a token costs that is
read or written.
"""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from msgspec.json import Decoder

from conftest import ROOT
from helpers import replayed
from joulegrid.analysis import points, tokens
from joulegrid.analysis.recorded.session import Session
from joulegrid.analysis.sessions import session_row
from joulegrid.analysis.variables import STATUS
from joulegrid.errors import InputError
from joulegrid.report import tokens as shown
from joulegrid.study import study
from joulegrid.study.grid import CELL_AXES, Cell
from joulegrid.study.points import number_of

READ, WRITTEN = [10, 1000], [10, 100, 400]
# J per token read, per token written, and per pair
TRUE = (0.02, 0.5, 1e-5)
STUDY = {
    **replayed.COMMON,
    "study": "sweeps",
    "model": {"m": {"hub": "published/llama-7b", "revision": "0" * 40}},
    "quantization": {
        "full": {"method": "cast", "dtype": "float16"},
        "small": {"method": "cast", "dtype": "bfloat16"},
    },
    "hardware": {"h": {"device": "cpu"}},
    "engine": {"transformers": {"method": "transformers", "batch_size": 8}},
    "workload": {
        "one": {"method": "batch", "prompts": replayed.PROMPTS, "new_tokens": 100},
        "sweep": {
            "method": "lengths",
            "prompts": replayed.PROMPTS,
            "prompt_tokens": READ,
            "new_tokens": WRITTEN,
        },
    },
    "protocol": {"sessions": 2},
    "quality": {"text": {"method": "perplexity", "text": "config/texts/evaluation.txt"}},
    "ranking": {"baseline": {"quantization": "full"}},
}
GRID = [(read, written) for read in READ for written in WRITTEN]


def joules_of(read, written, coefficients=TRUE):
    return float(np.dot(coefficients, [read, written, read * written]))


def window(point, runs, read, written, joules, requests=4):
    """One of `requests` equal requests each run, `joules` each."""
    whole = {"cpu": 0.75 * joules * requests * runs, "gpu": 0.0, "ram": 0.25 * joules * runs * 4}
    return {
        "point": point,
        "seconds": float(runs),
        "runs": runs,
        "requests": requests * runs,
        "tokens_read": read * requests * runs,
        "tokens_written": written * requests * runs,
        "padding": 2 * requests * runs,
        "energy_j": whole,
        "codecarbon_j": whole,
        "foreign_cpu": 0.0,
        "neighbours_cpu": None,
    }


def point(read, written, **finding):
    lengths = {"tokens_read": [read] * 4, "tokens_written": [written] * 4}
    if finding:
        lengths = {"tokens_read": [], "tokens_written": []}
    return {"prompt_tokens": read, "new_tokens": written, "lengths": lengths, **finding}


def energy(job):
    """The record of a session; of the small weights the last point did not fit."""
    record = replayed.session({"cpu": 3.0, "gpu": 0.0, "ram": 1.0}, 1.0, 4)
    if job.labels[6] == "one":
        record["windows"][0]["codecarbon_j"] = None  # as of a stretch that was cut out
        return {**record, "points": [point(10, 100)]}
    lost = {5} if job.labels[3] == "small" else set()
    factor = 1 + 0.1 * (int(job.labels[7]) - 1.5)
    rows = list(enumerate(GRID))
    return {
        **record,
        # the shorter, the more runs
        "windows": [
            window(n, 1000 // written, read, written, factor * joules_of(read, written))
            for n, (read, written) in rows
            if n not in lost
            for _ in range(2)
        ],
        "points": [
            point(*at, **({"status": "oom", "reason": "too long"} if n in lost else {}))
            for n, at in rows
        ],
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    value = {"value": 1.0, "stderr": None, "higher_is_better": False}
    written = {"energy": energy, "quality": lambda _: {"metrics": {"perplexity": value}}}
    return replayed.replay(tmp_path_factory.mktemp("sweeps"), STUDY, written, missing=2)


def test_a_sweep_is_one_number_in_energy_and_each_point_in_points(found):
    whole = found.tree["energy"].to_dataset().sel(workload="sweep", quantization="full").squeeze()
    per_run = 4 * sum(joules_of(*at) for at in GRID)
    assert whole.energy.sum("component").values == pytest.approx([0.95 * per_run, 1.05 * per_run])
    assert whole.tokens_written.values.tolist() == [4 * 2 * sum(WRITTEN)] * 2
    assert whole.tokens_read.values.tolist() == [4 * 3 * sum(READ)] * 2
    assert whole.padding.values.tolist() == [4 * 2 * len(GRID)] * 2
    one = found.tree["energy"].to_dataset().sel(workload="one", quantization="full").squeeze()
    assert np.isnan(one.padding).all(), "a record of before it was counted"
    assert (whole.runs.values == 1).all()
    assert whole.requests.values.tolist() == [24.0] * 2
    each = found.tree["points"].to_dataset().sel(quantization="full").squeeze()
    assert each.workload.item() == "sweep"
    shown = each.isel(session=0)
    assert list(zip(shown.prompt_tokens.values, shown.new_tokens.values, strict=True)) == GRID
    assert shown.runs.values.tolist() == [2 * (1000 // written) for _, written in GRID]
    assert (shown.padding == 2 * shown.requests).all()
    long = each.energy.where(each.new_tokens == 400, drop=True).sum("component")
    assert long.isel(session=0).values == pytest.approx(
        [0.95 * 4 * 4 * joules_of(read, 400) for read in READ]
    )


def test_a_point_that_does_not_fit_leaves_the_others(found):
    cell = {"workload": "sweep", "quantization": "small"}
    whole = found.tree["energy"].to_dataset().sel(cell).squeeze()
    assert whole.status.values.tolist() == [1, 1]
    assert whole.reason.values[0] == "too long (a point of the sweep)"
    assert np.isnan(whole.energy).all()
    each = found.tree["points"].to_dataset().sel(cell).squeeze()
    assert each.status.isel(session=0).values.tolist() == [0, 0, 0, 0, 0, 1]
    assert each.reason.values[0, 5] == "too long"
    assert each.new_tokens.values[0, 5] == 400
    assert np.isfinite(each.duration.values[:, :5]).all()
    assert np.isnan(found.ranking.score.sel(cell)).all()


def test_disturbed_prefill_is_said_of_the_session():
    """What decoding takes is the difference to prefill: one disturbed counts as much."""
    record = energy(SimpleNamespace(labels=["m", "", "", "full", "h", "", "sweep", "1"]))
    windows = record["windows"]
    beside = {"disturbed": ["other processes used 30% of the CPUs"], "foreign_cpu": 0.3}
    spoilt, refused = ({**windows[0], **beside, "counts": counts} for counts in (True, False))
    record["prefill_windows"] = [*windows, spoilt, refused]
    header = {"schema_version": 2, "id": "0" * 16, "status": "ok", "elapsed_s": 1.0}
    row = session_row(Decoder(Session).decode(json.dumps({**header, **record})))
    assert (row["disturbed"], row["foreign_cpu"]) == (1 / (2 * len(windows) + 1), 0.3)
    assert row["replaced"] == 1
    assert row["prefill_runs"] == 1


def test_points_that_could_not_be_tried_are_missing():
    """The engine died of the second of six points."""
    record = energy(SimpleNamespace(labels=["m", "", "", "full", "h", "", "sweep", "1"]))
    record["windows"] = [each for each in record["windows"] if each["point"] == 0]
    record["points"][1] |= {"status": "oom", "reason": "no room"}
    for each in record["points"][2:]:
        each |= {"status": "missing", "reason": "not tried"}
    header = {"schema_version": 2, "id": "0" * 16, "status": "ok", "elapsed_s": 1.0}
    session = Decoder(Session).decode(json.dumps({**header, **record}))
    row = session_row(session)
    assert row == {"status": "oom", "reason": "no room (a point of the sweep)"}
    axes = {axis: ["x"] for axis in CELL_AXES} | {"workload": ["sweep"], "session": [1]}
    sweeps = points.Sweeps(axes, {"sweep": STUDY["workload"]["sweep"]})
    cell = Cell(*("x",) * 6, "sweep")
    sweeps.add(cell, 1, row, sweeps.rows(cell, session))
    found = sweeps.dataset().squeeze()
    assert found.status.values.tolist() == [
        STATUS.index(s) for s in ("ok", "oom", *["missing"] * 4)
    ]
    assert found.reason.values.tolist() == ["", "no room", *["not tried"] * 4]
    assert np.isfinite(found.duration.values).tolist() == [True] + [False] * 5


def test_tokens_read_and_written_are_told_apart(found):
    group = tokens.account(found.tree, {"energy": "all", "net": False}).squeeze()
    for label, count in (("full", 6), ("small", 5)):
        cell = group.sel(quantization=label)
        assert (cell.points.item(), cell.sessions.item(), cell.note.item()) == (count, 2, "")
        estimates = [cell[name].item() for name in tokens.COEFFICIENTS]
        assert estimates == pytest.approx(TRUE)
        # two sessions, 5 % below and above: t of one degree of freedom
        assert cell.per_output_token_ci95.item() == pytest.approx(12.706 * 0.05 * 0.5, rel=1e-3)
        assert cell.misfit.item() == pytest.approx(0, abs=1e-9)
    frame = tokens.table(tokens.account(found.tree, {"energy": "all", "net": False}))
    assert frame.quantization.tolist() == ["full", "small"]
    assert frame.per_input_token.values == pytest.approx([0.02, 0.02])
    nothing = tokens.account(found.tree, {"energy": "gpu", "net": False}).squeeze()
    assert np.isnan(nothing.per_output_token).all()
    assert set(nothing.note.values.tolist()) == {tokens.NOTHING}


def test_the_page_says_what_tokens_cost(found):
    tree = found.tree.copy()
    assert shown.costs(tree) == {}
    tree["tokens"] = xr.DataTree(tokens.account(tree, {"energy": "all", "net": False}))
    told = shown.costs(tree)
    rows = {tuple(row["texts"]): row for row in told["rows"]}
    assert set(rows) == {("full", "sweep"), ("small", "sweep")}
    (value, half) = rows["full", "sweep"]["values"][1]
    assert (value, half) == (pytest.approx(500), pytest.approx(12.706 * 25, rel=1e-3))
    assert told["more"] == 0


def test_lengths_of_prompts_and_answers(found):
    group = found.tree["lengths"].to_dataset().sel(quantization="full").squeeze()
    one, sweep = group.sel(workload="one"), group.sel(workload="sweep")
    beside = found.tree["energy"].codecarbon_energy
    assert np.isnan(beside.sel(workload="one")).all()
    assert np.isfinite(beside.sel(workload="sweep", quantization="full")).all()
    assert (one.requests.item(), sweep.requests.item()) == (4, 24)
    assert set(one.new_tokens.values.tolist()) == {100}
    assert sweep.new_tokens.sel(quantile=[0, 0.5, 1]).values.tolist() == [10, 100, 400]
    assert points.quantiles(range(1, 101)) == [1, 5, 25, 50, 75, 95, 100]
    # as NumPy's inverse of the distribution function
    drawn = np.random.default_rng(0).geometric(0.02, 37).tolist()
    assert (
        points.quantiles(drawn)
        == np.quantile(drawn, points.QUANTILES, method="inverted_cdf").tolist()
    )


def test_the_interval_holds_the_true_cost_as_often_as_it_says():
    """Four sessions, 2 % between them and 3 % from point to point: 95 % of the intervals hold."""
    random, held = np.random.default_rng(1), []
    read, written = np.array(GRID, float).T
    exact = np.array([joules_of(*at) for at in GRID])
    for _ in range(400):
        noise = random.normal(0, 0.02, (4, 1)) + random.normal(0, 0.03, (4, len(GRID)))
        each = [tokens.fit(exact * np.exp(row), read, written).coefficients for row in noise]
        mean, error = np.mean(each, axis=0), np.std(each, axis=0, ddof=1) / 2
        held.append(np.abs(mean - TRUE) <= 3.182 * error)
    assert np.mean(held, axis=0) == pytest.approx(0.95, abs=0.03)


def test_points_that_do_not_tell_the_terms_apart():
    read, written = np.array(GRID, float).T
    exact = np.array([joules_of(*at) for at in GRID])
    row = read == 10
    alone = tokens.fit(exact[row], read[row], written[row])
    # at 10 prompt tokens: what the pair costs is in the token that is written
    assert alone.coefficients[:2] == pytest.approx([0.02, 0.5 + 1e-5 * 10])
    assert np.isnan(alone.coefficients[2])
    assert tokens.fit(exact[:2], read[:2], written[:2]) is None
    assert tokens.fit(exact[:3], read[:3], 2 * read[:3]) is None


def test_wetzels_answers_as_others_fitted_them():
    """Leaving one length out, a line is 8 % off (median), 21 % at worst: PREDICTING's figures, made
    without this code. Prompts had 186.66 tokens.
    """
    table = pd.read_csv(ROOT / "config/published/wetzel2024.csv")
    rows = table[table.workload.str.contains("output tokens", na=False)]
    rows = rows[rows.workload.str.startswith("10,000 prompts")]
    written = rows.workload.str.extract(r"mean of ([\d.]+)")[0].astype(float).values
    joules = rows.value.values * 3600 / 10_000
    read = np.full(len(rows), 186.66)
    errors = []
    for n in range(len(rows)):
        rest = np.arange(len(rows)) != n
        (a0, a1, _), _ = tokens.fit(joules[rest], read[rest], written[rest])
        errors.append(abs((a0 * read[n] + a1 * written[n]) / joules[n] - 1))
    assert (len(rows), round(np.median(errors), 2), round(max(errors), 2)) == (8, 0.08, 0.21)


def test_how_many_points_an_entry_has():
    assert number_of(STUDY["workload"]["one"]) == 1
    assert number_of(STUDY["workload"]["sweep"]) == 6
    assert number_of({"new_tokens": [5], "concurrency": [1, 2]}) == 2


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"new_tokens": []}, "workload.sweep.new_tokens: got []; expected a number of tokens"),
        ({"new_tokens": [4, 4]}, "or a list of different ones"),
        ({"prompt_tokens": [4, 0]}, "workload.sweep.prompt_tokens.1: got 0; expected a number of"),
        ({"prompt_tokens": "many"}, "workload.sweep.prompt_tokens: got 'many'; expected a number"),
        ({"new_token": 3}, "workload.sweep.new_token: unknown key; valid: method, prompts"),
        ({"stop": "natural"}, "workload.sweep.stop: unknown key"),
    ],
)
def test_a_mistake_in_a_sweep_is_named(edit, said):
    data = json.loads(json.dumps(STUDY))
    data["workload"]["sweep"] |= edit
    with pytest.raises(InputError) as caught:
        study.from_data(data, "study")
    assert said in str(caught.value)


def test_numbers_in_lists_have_one_spelling():
    data = json.loads(json.dumps(STUDY))
    data["workload"]["sweep"]["new_tokens"] = [4.0, 8]
    made = study.from_data(data, "study").data["workload"]["sweep"]
    assert [type(value) for value in made["new_tokens"]] == [int, int]


def test_a_concurrency_beyond_the_engines_is_known_before_anything_is_sent():
    data = json.loads(json.dumps(STUDY))
    data["workload"]["sweep"]["concurrency"] = 9
    made = study.from_data(data, "study")
    reasons = {cell.workload: made.unsupported(cell) for cell in made.cells}
    assert reasons["one"] is None
    assert reasons["sweep"] == "batch_size of the engine entry is 8: 9 requests never run at once"

"""What the plan makes of a study beside the predictor itself: sessions of all workloads, other
jobs, disk, wall time, money, CO2e, energy of hosts.
"""

import csv
import json
import math
from datetime import UTC, datetime, timedelta

import pytest

from joulegrid.errors import InputError
from joulegrid.metering import estimates
from joulegrid.planning import (
    bill,
    chains,
    disk,
    host,
    meter,
    plan,
    ranges,
    scheduling,
    tables,
    taken,
    verdicts,
)
from joulegrid.planning.asked import asked, in_flight
from joulegrid.planning.beforehand import said_before
from joulegrid.planning.calibration import Run
from joulegrid.planning.cells import judged
from joulegrid.planning.effort import (
    COLUMN_S,
    Sizes,
    evaluated_in,
    evaluating,
    loading_s,
    quantizing,
    training,
)
from joulegrid.planning.first import measured_first
from joulegrid.planning.making import DEFAULT, EACH, by_default, efforts
from joulegrid.planning.meter import START_S, idle_s
from joulegrid.planning.places import boards_of, place_of
from joulegrid.planning.posterior import expected
from joulegrid.planning.ranges import Range
from joulegrid.planning.sessions import known_s
from joulegrid.planning.sizes import Models, architecture_of
from joulegrid.planning.taken import Host, Spent
from joulegrid.records import ROOT
from joulegrid.study import sites, study
from joulegrid.study.job import Job
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Specs

REVISION = "0" * 40
PROMPTS = "config/prompts/questions.jsonl"
# Mistral-7B-v0.3 by its model card and config.json: 7.248 B parameters, a vocabulary of 32,768
MISTRAL, EMBEDDING = 7_248_023_552, 32_768 * 4096


@pytest.fixture
def data(study_data, monkeypatch, tmp_path):
    """Mistral-7B, whole and in 4 bits, on an A100 and on a CPU; nothing in the hub's cache."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    study_data["model"] = {"mistral-7b": {"hub": "mistralai/Mistral-7B-v0.3", "revision": REVISION}}
    study_data["pruning"] = {"none": {"method": "none"}}
    study_data["quantization"] = {
        "fp16": {"method": "cast", "dtype": "float16"},
        "gptq4": study_data["quantization"]["gptq4"],
    }
    study_data["hardware"] = {
        "a100": {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 80},
    }
    study_data["ranking"]["baseline"] = {"quantization": "fp16"}
    return study_data


def judge(data, measured=None):
    """The cells by quantization and workload, on the first hardware entry."""
    made = study.from_data(data, "test")
    found = judged(made, measured or {})
    first = made.labels("hardware")[0]
    return {
        (e.cell.quantization, e.cell.workload): e for e in found if e.cell.hardware == first
    }, made


def replay(**more):
    """Dosquet's four hours."""
    return {
        "method": "replay",
        "prompts": PROMPTS,
        "interval_s": 6,
        "arrivals": "uniform",
        "duration_s": 14400,
        "new_tokens": 100,
        "stop": "fixed",
        "chat": False,
        **more,
    }


# ---------------------------------------------------------------- sessions
def test_a_replay_takes_its_duration_and_about_dosquets_energy(data):
    data["workload"] = {"r": replay()}
    cells, made = judge(data)
    each = cells["fp16", "r"]
    low, median, high = ranges.seconds([each.session])
    beside = START_S + 2 * MISTRAL / 1e9 + idle_s(made.data["protocol"], 1)
    # four requests warm it up three times
    assert 0 < median - 14400 - beside < 3 * 4 * 10
    assert high - low < 0.02 * median
    with open(ROOT / "config/published/dosquet2025.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    published = next(
        float(row["value"])
        for row in rows
        if (row["model"], row["configuration"]) == ("Mistral-7B-v0.3", "full")
        and row["quantity"] == "energy_gpu"
    )
    assert each.session.joules / 3.6e6 == pytest.approx(published, rel=0.15)
    low, _, high = ranges.joules([each.session])
    assert low / 3.6e6 < published < high / 3.6e6


def test_a_replay_that_cannot_keep_up_ends_when_its_drain_ends(data):
    data["workload"] = {"r": replay(interval_s=0.01, duration_s=1000, drain_s=100)}
    cells, _ = judge(data)
    session = cells["fp16", "r"].session
    assert 1100 < session.seconds < 1100 + 300
    assert session.joules < 400 * 1.2 * session.seconds  # the limit of the board


def test_the_time_of_a_replay_is_known_where_its_energy_is_not(data):
    data["model"] = {"unknown": {"hub": "someone/something", "revision": REVISION}}
    data["workload"] = {"r": replay(drain_s=60)}
    cells, made = judge(data)
    each = cells["fp16", "r"]
    assert each.session is None
    assert "sizes of unknown" in each.unknown
    least = 14400 + START_S + idle_s(made.data["protocol"], 1)
    assert each.window == (least, least, least + 60)
    assert known_s(data["workload"]["r"] | {"drain_s": 60}, made.data["protocol"], 1) == each.window
    said = plan.of_study(Specs(made), "results")
    assert (said.shares[0].predicted, said.shares[0].timed) == (0, 4)
    assert said.total.hours.median >= 4 * least / 3600


def test_requests_in_flight_are_the_rate_times_how_long_each_stays(data):
    data["workload"] = {
        "slow": replay(interval_s=3600, duration_s=36000),
        "fast": replay(interval_s=1, duration_s=3600),
    }
    data["engine"] = {"vllm": {"method": "vllm"}}
    cells, _ = judge(data)
    assert cells["fp16", "slow"].case.work.at_once == pytest.approx(1, abs=0.01)
    case = cells["fp16", "fast"].case
    found = in_flight(case, 256)
    alone = expected(case._replace(work=case.work), cells["fp16", "fast"].session.belief)
    stay_s = alone.prefill_s + 100 * alone.step_s
    # one a second: as many are there as seconds that each stays
    assert found == pytest.approx(stay_s / (1 - math.exp(-stay_s)), rel=0.02)
    assert in_flight(case, 1.5) <= 1.5


def test_a_sweep_takes_the_sum_of_its_points(data):
    batch = {"method": "batch", "prompts": PROMPTS, "chat": False}
    data["workload"] = {
        "both": {**batch, "new_tokens": [256, 1024]},
        "short": {**batch, "new_tokens": 256},
        "long": {**batch, "new_tokens": 1024},
    }
    cells, made = judge(data)
    seconds = {w: cells["fp16", w].session.seconds for w in data["workload"]}
    around = START_S + 2 * MISTRAL / 1e9 + idle_s(made.data["protocol"], 1)
    whole = seconds["short"] + seconds["long"] - around
    assert seconds["both"] == pytest.approx(whole, rel=1e-6)


def test_points_of_exact_lengths_and_those_that_the_engine_does_not_take(data):
    data["engine"] = {"transformers": {"method": "transformers", "batch_size": 4}}
    lengths = {
        "method": "lengths",
        "prompts": PROMPTS,
        "prompt_tokens": [64, 512],
        "new_tokens": 32,
        "count": 8,
        "concurrency": [1, 8],
    }
    data["workload"] = {"l": lengths}
    cells, _ = judge(data)
    points = cells["fp16", "l"].points
    assert [p and (p.work.tokens_in, p.work.at_once) for p in points] == [
        (64, 1),
        (512, 1),
        None,
        None,
    ]


@pytest.mark.parametrize("known_by", ["engine", "model"])
def test_points_that_are_too_long_cost_nothing(data, known_by):
    """They are a finding of the session, as it runs: the others are predicted, and asked for."""
    data["engine"] = {"vllm": {"method": "vllm"}}
    if known_by == "engine":
        data["engine"]["vllm"]["max_model_len"] = 4096
    else:
        data["model"] = {"mistral-7b": {"random": "mini-llama"}}
    data["quantization"].pop("gptq4")
    lengths = {"method": "lengths", "prompts": PROMPTS, "new_tokens": 32, "count": 8}
    data["workload"] = {
        "one": {**lengths, "prompt_tokens": 512},
        "both": {**lengths, "prompt_tokens": [512, 16000]},
    }
    cells, made = judge(data)
    one, both = (cells["fp16", name] for name in ("one", "both"))
    assert [point is None for point in both.points] == [False, True]
    assert both.session.seconds == one.session.seconds
    otherwise = {"runtime": 1, "mem_mb": 1}
    asked_for = scheduling.measuring(made, "a100", otherwise)
    del data["workload"]["both"]
    assert asked_for == scheduling.measuring(judge(data)[1], "a100", otherwise)


def test_steady_workloads_are_predicted_by_the_request(data):
    steady = {"method": "steady", "prompts": PROMPTS, "new_tokens": 256, "chat": False}
    data["workload"] = {
        "one": {**steady, "concurrency": 1},
        "many": {**steady, "concurrency": 8},
    }
    data["engine"]["transformers"]["batch_size"] = 8
    cells, _ = judge(data)
    one, many = (
        expected(cells["fp16", w].case, cells["fp16", w].session.belief) for w in ("one", "many")
    )
    assert many.seconds < one.seconds / 4  # eight share a step
    assert cells["fp16", "many"].session.seconds > 0


def test_answers_that_end_by_themselves_widen_the_range_downwards(data):
    batch = {"method": "batch", "prompts": PROMPTS, "new_tokens": 1024, "chat": False}
    data["workload"] = {"fixed": batch, "natural": {**batch, "stop": "natural"}}
    cells, _ = judge(data)
    fixed, natural = (ranges.seconds([cells["fp16", w].session]) for w in ("fixed", "natural"))
    assert natural.median == fixed.median
    assert natural.high == pytest.approx(fixed.high)
    assert natural.low < 0.9 * fixed.low
    # measured, they are as long as they were
    each = cells["fp16", "natural"]
    run = expected(each.case, each.session.belief)
    count = each.case.work.requests
    told, _ = judge(
        data, {each.cell: [Run(run.seconds / 4, run.joules / 4, 20 * count, 256 * count, 0, count)]}
    )
    assert told["fp16", "natural"].case.work.tokens_out == 256


def test_no_more_windows_are_planned_than_the_protocol_allows(data):
    """Runs of more than 90 s warm up twice: wetzel2024 asks for 7,500 answers in one window."""
    data["workload"]["questions"] |= {"new_tokens": 4000, "count": 1}
    data["protocol"] |= {"max_windows": 1, "min_seconds": 1, "idle_seconds": 0}
    cells, _ = judge(data)
    each = cells["fp16", "questions"]
    run = expected(each.case, each.session.belief).seconds
    assert run > 90
    assert each.session.seconds == pytest.approx(3 * run + START_S + 2 * MISTRAL / 1e9, rel=1e-3)
    low, _, high = ranges.seconds([each.session])
    assert low < each.session.seconds < high < 2.5 * each.session.seconds


def test_a_batch_is_no_larger_than_the_prompts_are(data):
    data["engine"] = {"transformers": {"method": "transformers", "batch_size": 10_000}}
    data["workload"]["questions"] |= {"count": 4}
    cells, _ = judge(data)
    assert not cells["fp16", "questions"].doubtful
    assert cells["fp16", "questions"].session is not None


def test_whole_batches_run_one_after_another(data):
    """Nine prompts, eight at a time, take as long as sixteen; and so do runs that were measured."""
    data["engine"] = {"transformers": {"method": "transformers", "batch_size": 8}}
    questions = {**data["workload"]["questions"], "new_tokens": 200}
    data["workload"] = {f"n{n}": {**questions, "count": n} for n in (8, 9, 16)}
    cells, made = judge(data)
    eight, nine, sixteen = (cells["fp16", f"n{n}"].runs[0].seconds for n in (8, 9, 16))
    assert nine == pytest.approx(2 * eight, rel=0.15)
    assert nine < sixteen * 1.01
    for most in (8, 9):
        work = scheduling._points(made.data["workload"]["n9"], [True], most)[0]
        assert work.requests / work.at_once == (2 if most == 8 else 1)
    # one that took as long as predicted teaches no slowness
    each = cells["fp16", "n9"]
    run = Run(nine, None, 9 * each.case.work.tokens_in, 9 * 200.0, 0, 9)
    told, _ = judge(data, {each.cell: [run]})
    assert told["fp16", "n8"].runs[0].seconds == pytest.approx(eight, rel=0.02)


def test_gpus_settle_before_they_idle_with_a_model(data):
    """As the meter does it: 5 s before the two idle phases with a loaded model."""
    protocol = {"idle_seconds": 10}
    assert meter.idle_s(protocol, 1) == 40
    assert meter.idle_s(protocol, 0) == 30
    assert meter.idle_s({"idle_seconds": 0}, 1) == 0
    session, points, closed_loop, open_loop = (
        (ROOT / f"scripts/joulegrid/metering/{name}.py").read_text()
        for name in ("session", "points", "closed_loop", "open_loop")
    )
    assert f"SETTLE_S = {meter.SETTLE_S}\n" in session
    assert f"WARM_UP_S = {meter.WARM_UP_S}\n" in points
    assert f"FEWEST_BATCHES = {meter.BATCHES}\n" in closed_loop
    assert f"MARGIN = {meter.LONGER}\n" in closed_loop
    assert f"WARM_UP_REQUESTS = {meter.WARM_UP_REQUESTS}\n" in open_loop


def test_cells_that_other_code_runs_teach_each_other_nothing(data):
    """Compiled or not, by Marlin or by PyTorch: what was measured of one says nothing of others."""
    plain = {"method": "transformers"}
    data["engine"] = {
        "plain": plain,
        "compiled": {**plain, "compile": True, "cache": "static"},
        "more": {**plain, "batch_size": 4},
    }
    gptq = data["quantization"]["gptq4"]
    data["quantization"]["torch"] = {**gptq, "kernel": "gptq_torch"}
    data["quantization"]["asked"] = {**gptq, "kernel": "gptq_marlin"}
    made = study.from_data(data, "test")
    before = {(e.cell.quantization, e.cell.engine): e for e in judged(made, {})}
    assert before["torch", "plain"].case.form.kernel == "gptq"
    assert before["asked", "plain"].case.form.kernel == "marlin"
    each = before["gptq4", "plain"]
    work = each.case.work
    run = Run(
        5 * each.runs[0].seconds,
        None,
        work.requests * work.tokens_in,
        work.requests * work.tokens_out,
        0,
        work.requests,
    )
    after = {(e.cell.quantization, e.cell.engine): e for e in judged(made, {each.cell: [run]})}
    assert {key for key, e in after.items() if e.session.belief.rows} == {
        ("gptq4", "plain"),
        ("gptq4", "more"),
    }
    assert after["gptq4", "compiled"].session.seconds == before["gptq4", "compiled"].session.seconds
    groups = {group[1:] for group in measured_first(list(before.values()), made.cells)}
    assert {
        ("transformers", "gptq gptq_torch"),
        ("transformers cache static compile", "dense"),
    } <= groups


def test_phases_are_windows_too(data):
    cells, _ = judge(data)
    before = cells["fp16", "questions"].session.seconds
    data["protocol"]["phases"] = True
    cells, made = judge(data)
    more = cells["fp16", "questions"].session.seconds - before
    assert more > 5 * made.data["protocol"]["min_seconds"]


def test_a_trace_says_how_long_its_requests_are(data, tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s,prompt_tokens,new_tokens\n0,100,10\n1,300,30\n99,9,9\n")
    workload = replay(trace=str(path), duration_s=50)
    del workload["interval_s"], workload["arrivals"]
    (point,) = asked(workload)
    # lengths of 10 and 30 vary by a half: what is in flight is longer than the mean answer
    assert point == (2, 200, 20, None, 50, False, 0.5)
    data["workload"] = {"r": workload}
    cells, _ = judge(data)
    assert cells["fp16", "r"].case.work.spread == 0.5


def test_cpus_are_predicted_by_their_own_sessions(data):
    data["hardware"] = {"here": {"device": "cpu"}}
    cells, made = judge(data)
    each = cells["fp16", "questions"]
    assert "no session on this CPU" in each.unknown
    assert each.session is None
    # a pilot tells how fast the CPU is
    first = measured_first(list(cells.values()), made.cells)
    assert first["here", "transformers", "dense"] == [each.cell]
    (point,) = asked(made.data["workload"]["questions"])
    count = point.requests
    run = Run(77.0, None, 40.0 * count, 8.0 * count, 0, count)
    cells, _ = judge(data, {each.cell: [run]})
    said = cells["fp16", "questions"]
    assert said.session.rests_on == "calibrated by 1 row"
    windows = 8 * 77 + START_S + 2 * MISTRAL / 1e9
    idle = idle_s(made.data["protocol"], 0)
    assert said.session.seconds == pytest.approx(windows + idle, rel=0.1)
    assert ranges.joules([said.session]) == (0, 0, 0)  # of GPUs
    assert cells["gptq4", "questions"].session is None  # another kernel


# ---------------------------------------------------------------- hours, money, CO2e
def test_wall_time_is_bound_by_sum_and_chain():
    total, chain = Range(8, 10, 12), Range(2, 3, 4)
    assert bill.wall(total, chain, 1) == (8, 10, 12)
    # Graham: no more than 12/4 + 3/4 · 4
    assert bill.wall(total, chain, 4) == pytest.approx((2, 3, 6))
    assert bill.wall(total, chain, 1000)[:2] == (2, 3)


def test_what_a_run_emits_that_begins_now_where_the_cluster_stands(data, tmp_path):
    """The forecast halves from the sixth hour on: each session is shorter than an hour."""
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [
        f"{first + timedelta(hours=n):%Y-%m-%dT%H:00},{100 if n < 6 else 50}" for n in range(40)
    ]
    forecast, site = tmp_path / "f.csv", tmp_path / "site.yaml"
    forecast.write_text("\n".join(["time,g", *hours]))
    site.write_text(f"hardware: {{}}\nforecast: {forecast}\n")
    said = plan.of_study(
        Specs(study.from_data(data, "test")), "results", 1, sites.data_of(str(site))
    )
    grams = said.shares[0].takes.grams
    assert said.today == f"site today, after the forecast {forecast}"
    assert grams["site_begun_now"].median == pytest.approx(
        100 * said.shares[0].takes.gpu_kwh.median
    )
    assert grams["site_best_of_next_24_h"].median == pytest.approx(
        grams["site_begun_now"].median / 2
    )
    # too short a forecast is said, and promises nothing
    forecast.write_text("\n".join(["time,g", *hours[:4]]))
    said = plan.of_study(
        Specs(study.from_data(data, "test")), "results", 1, sites.data_of(str(site))
    )
    assert (
        f"nothing is said of site today: {forecast} is no forecast of the next 25 h" in said.today
    )
    assert "site_begun_now" not in said.shares[0].takes.grams


def test_the_series_of_a_zone_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "s.csv").write_text("\n".join(["time,g", *forecast_lines(200)]))
    read, real = [], bill.read_series
    monkeypatch.setattr(bill, "read_series", lambda *asked: read.append(asked) or real(*asked))
    grid = bill.Grid({"DE": {"series": {"path": "s.csv"}, "basis": None}}, tmp_path)
    for hours in (1, 5, 30):
        assert grid.starts([bill.Work(hours, 1.0)])["DE"].now == pytest.approx(100)
    assert len(read) == 1


def plan_by_forecast(data, tmp_path, lines):
    forecast, site = tmp_path / "f.csv", tmp_path / "site.yaml"
    if lines:
        forecast.write_text("\n".join(["time,g", *lines]))
    site.write_text(f"hardware: {{}}\nforecast: {forecast}\n")
    return plan.of_study(
        Specs(study.from_data(data, "test")), "results", 1, sites.data_of(str(site))
    )


def forecast_lines(hours, later=0, step=1):
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    times = (first + timedelta(hours=later + step * n) for n in range(hours))
    return [f"{time:%Y-%m-%dT%H:00},100" for time in times]


def test_no_total_is_said_of_jobs_of_which_some_are_longer_than_the_forecast(data, tmp_path):
    """Sessions on one entry are short; on the other there is a replay of ten hours."""
    data["hardware"]["slow"] = {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 80}
    data["workload"]["day"] = replay(duration_s=36000)
    data["grid"] = {"exclude": [{"hardware": "a100", "workload": "day"}]}
    said = plan_by_forecast(data, tmp_path, forecast_lines(26))
    known = {each.hardware: "site_begun_now" in each.takes.grams for each in said.shares}
    assert known == {"a100": True, "slow": False}
    assert not [name for name in said.total.grams if name.startswith("site")]
    assert said.today.startswith("site today, after the forecast")
    assert "not of all jobs, nor in total" in said.today
    said = plan_by_forecast(data, tmp_path, forecast_lines(100))
    assert "site_begun_now" in said.total.grams
    assert "nor in total" not in said.today


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "forecast: no such file"),
        (forecast_lines(9, step=24), "expected a value for each hour"),
        (forecast_lines(99, later=5), "expected this hour in it"),
    ],
)
def test_why_nothing_is_said_of_today(data, tmp_path, lines, words):
    said = plan_by_forecast(data, tmp_path, lines)
    assert said.today.startswith("nothing is said of site today: ")
    assert words in said.today
    assert "too few days" not in said.today
    assert said.total.gpu_kwh.median > 0


def test_prices_by_gpu_and_node(data, tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(
        "hardware: {a100: {nodes: 2}}\n"
        "prices: {currency: EUR, gpu_hour: {a100: 1.5}, node_hour: {a100: 0.25}}\n"
    )
    made = study.from_data(data, "test")
    said = plan.of_study(Specs(made), "results", 2, sites.data_of(str(site)))
    takes = said.shares[0].takes
    assert takes.gpu_hours == takes.hours
    assert takes.node_hours == pytest.approx([2 * h for h in takes.hours])
    assert takes.money.median == pytest.approx(2.0 * takes.hours.median)
    assert takes.wall_hours.median == pytest.approx(takes.hours.median / 2)
    assert said.currency == "EUR"
    rows = {row["quantity"]: row for row in tables.total_rows(said)}
    assert rows["money"]["unit"] == "EUR"
    assert rows["gpu_hours"]["unit"] == "h"


def test_without_prices_there_is_no_money(data):
    said = plan.of_study(Specs(study.from_data(data, "test")), "results")
    assert said.total.money is None
    assert "money" not in {row["quantity"] for row in tables.total_rows(said)}


def test_prices_name_what_the_site_has(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text("hardware: {a100: {}}\nprices: {currency: EUR, gpu_hour: {a10: 1}}\n")
    with pytest.raises(InputError, match=r"gpu_hour: no such entry: .a10.\S*.*a100"):
        sites.data_of(str(site))
    site.write_text("hardware: {a100: {}}\nprices: {currency: EUR, stage_hour: {prune: 1}}\n")
    with pytest.raises(InputError, match="stage_hour"):
        sites.data_of(str(site))


@pytest.fixture
def one_clean_hour(data, tmp_path):
    """The study in a zone of 30 days of 100 g/kWh with one hour of 10 g/kWh a day."""
    lines = [
        f"2024-01-{day:02}T{hour:02}:00:00Z,{10 if hour == 3 else 100}"
        for day in range(1, 31)
        for hour in range(24)
    ]
    series = tmp_path / "series.csv"
    series.write_text("time,g\n" + "\n".join(lines) + "\n")
    data["carbon"] = {"zones": {"Z": {"series": str(series), "source": "made up"}}}
    return data


def test_the_best_start_is_the_cleanest_hour_of_the_series(one_clean_hour):
    data = one_clean_hour
    data["hardware"]["a100"]["pue"] = 1.5
    takes = plan.of_study(Specs(study.from_data(data, "test")), "results").shares[0].takes
    assert takes.longest_hours.median < 1
    mean = (23 * 100 + 10) / 24
    assert takes.grams["Z"].median == pytest.approx(1.5 * mean * takes.gpu_kwh.median, rel=1e-3)
    assert takes.best_start["Z"].median == pytest.approx(15 * takes.gpu_kwh.median)
    assert takes.best_yesterday["Z"].median == pytest.approx(15 * takes.gpu_kwh.median)


def test_every_job_has_a_best_start_of_its_own(one_clean_hour):
    """The clean hour is all of a short session, and an eighth of a long replay."""
    data = one_clean_hour
    data["workload"]["long"] = replay(duration_s=7.8 * 3600)
    made = study.from_data(data, "test")
    found = plan.of_study(Specs(made), "results")
    sessions = [each.session for each in found.cells]
    count = made.data["protocol"]["sessions"]
    grams = count * sum(
        each.joules / 3.6e6 * (10 if each.seconds < 3600 else (7 * 100 + 10) / 8)
        for each in sessions
    )
    assert {each.seconds > 3600 for each in sessions} == {True, False}
    takes = found.shares[0].takes
    assert takes.best_start["Z"].median == pytest.approx(grams, rel=1e-3)
    assert takes.best_yesterday["Z"].median == pytest.approx(grams, rel=1e-3)
    # of what is made and evaluated each job too: none takes an hour
    assert max(each.longest_h.median for each in found.efforts.values()) < 1
    made_kwh = sum(each.gpu_kwh.median for each in found.efforts.values())
    assert found.total.best_start["Z"].median == pytest.approx(grams + 10 * made_kwh, rel=1e-3)


# ---------------------------------------------------------------- hosts
def test_power_of_hosts_by_their_sessions_then_by_the_study():
    measured = [Host(90.0, "measured"), Host(110.0, "measured")]
    found = host.power(measured, {})
    assert found.watts.median == pytest.approx(math.sqrt(90 * 110))
    assert found.watts.high == pytest.approx(found.watts.median * math.exp(1.2816 * 0.15), rel=1e-3)
    assert found.rests_on == "2 sessions, measured"
    assert host.kwh(Range(10, 10, 10), found).median == pytest.approx(0.995, rel=1e-3)
    said = host.power([], {"device": "cuda", "cpu_power_w": 200, "ram_power_w": 40})
    # 12 % of it at idle, and a fifth of the rest
    assert said.watts.median == pytest.approx(200 * (0.12 + 0.88 * 0.2) + 40)
    assert "assumed" in said.rests_on
    # a CPU that computes itself is at nine tenths of its load
    alone = host.power([], {"device": "cpu", "cpu_power_w": 100}).watts
    assert alone.median == pytest.approx(12 + 88 * 0.9)
    assert alone.low < 75
    assert alone.high > 100
    assert host.power([], {}) is None


def test_a_cpu_that_the_study_names_draws_what_the_meter_would_charge(monkeypatch):
    """Zen 3 by its name here, by its CPUID there: two CPUs of a whole server."""
    facts = {"vendor_id": "AuthenticAMD", "cpu family": "25", "model": "1", "stepping": "1"}
    facts |= {"model name": "AMD EPYC 7513 32-Core Processor"}
    monkeypatch.setattr(estimates, "cpu_facts", lambda: {**facts, "sockets": 2})
    monkeypatch.setattr(estimates, "cpu_quota", lambda: None)
    entry = {"device": "cuda", "cpu": "EPYC 7513", "threads": 2, "ram_modules": 16}
    charged = estimates.cpu_power(entry, 2, 128)
    assert charged.holds_memory
    said = host.power([], entry, host.part_of("h", entry, None))
    assert said.watts.median == pytest.approx(charged.energy_j(0.2, 1.0))
    assert said.rests_on.startswith("2 CPUs of servers with AMD Zen 3")
    assert "memory included" in said.rests_on


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("AMD EPYC 7742 64-Core Processor", "AMD Zen 2 (EPYC 7002)"),
        ("EPYC 9655P", "AMD Zen 5 (EPYC 9655, 9755)"),
        ("EPYC 9965", "AMD Zen 5c (EPYC 9845, 9965)"),
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "Intel Broadwell (E5 v4)"),
        ("Xeon Platinum 8259CL", "Intel Cascade Lake (Xeon Scalable 2)"),
        ("Platinum 8380HL", "Intel Cooper Lake (Xeon Scalable 3, H)"),
        ("Xeon Gold 6338", "Intel Ice Lake (Xeon Scalable 3)"),
        ("Intel(R) Xeon(R) 6780E", "Intel Sierra Forest (Xeon 6 E)"),
        ("Xeon W-2195", None),
        ("EPYC", None),
    ],
)
def test_servers_by_the_names_of_their_cpus(name, generation):
    found = host.server_of(name)
    assert (found and found.generation) == generation


def test_what_is_known_of_memory_or_cpu_alone_is_said():
    def said(**entry):
        return host.power([], {"device": "cuda", **entry})

    assert said(ram_power_w=40).watts == (40, 40, 40)
    assert said(ram_modules=16).watts == (70, 70, 70)
    assert "the CPU is not in it" in said(ram_modules=16).rests_on
    threadripper = said(cpu="Threadripper PRO 5975WX", ram_modules=8)
    assert threadripper.watts.median == pytest.approx(280 * (0.12 + 0.9 * 0.2) + 38)
    assert said(cpu="EPYC 7513") is None  # nobody says how many of its CPUs


def test_jobs_are_charged_their_share_of_a_node(data):
    """As the meter does; where the site file does not say how large a node is, that is said."""
    entry = {"device": "cuda", "cpu_power_w": 200, "ram_power_w": 40}
    site = {"default": {}, "hardware": {"a100": {"cpus_per_task": 8}}, "node_cpus": {"a100": 64}}
    whole = host.power([], entry, host.part_of("a100", entry, None))
    part = host.power([], entry, host.part_of("a100", entry, site))
    assert part.watts == pytest.approx([watts / 8 for watts in whole.watts])
    unknown = host.power([], entry, host.part_of("a100", entry, {**site, "node_cpus": {}}))
    assert unknown.watts == whole.watts
    assert "no node_cpus in the site file" in unknown.rests_on
    data["hardware"]["a100"] |= entry
    specs = Specs(study.from_data(data, "test"))
    site |= {"stages": {}}
    (shared,) = plan.of_study(specs, "results", site=site).shares
    (alone,) = plan.of_study(specs, "results").shares
    assert shared.takes.host_kwh.median == pytest.approx(alone.takes.host_kwh.median / 8)


def test_energy_of_the_host_is_shown_apart(data):
    data["hardware"]["a100"] |= {"cpu_power_w": 200}
    takes = plan.of_study(Specs(study.from_data(data, "test")), "results").shares[0].takes
    watts = 200 * (0.12 + 0.88 * 0.2)
    assert takes.host_kwh.median == pytest.approx(takes.hours.median * watts / 1000)
    both = takes.gpu_kwh.median + takes.host_kwh.median
    assert takes.grams["BE"].median == pytest.approx(153.14 * both)


def test_machines_of_whose_cpu_nothing_is_known_are_named_beside_a_total(data):
    """Their CO2e is of the GPUs alone, that of others of all: a total of both says so."""
    data["hardware"]["told"] = {**data["hardware"]["a100"], "cpu_power_w": 200}
    said = plan.of_study(Specs(study.from_data(data, "test")), "results")
    told, untold = (next(s for s in said.shares if s.hardware == n) for n in ("told", "a100"))
    assert said.total.host_kwh.median == told.takes.host_kwh.median
    assert untold.takes.host_kwh is None
    unknown = ["a100", *said.efforts]
    assert tables.host_unknown(said) == unknown
    rows = {row["quantity"]: row for row in tables.total_rows(said)}
    assert rows["parts without host_kwh"]["median"] == len(unknown)


def test_kinds_of_which_some_jobs_were_metered_are_named_too(data, monkeypatch):
    """Of two evaluations one was metered: half of CPU and memory is missing."""
    data["quality"] = {"text": data["quality"]["text"], "more": {**data["quality"]["text"]}}
    data["quality"]["more"]["stride"] = 128
    specs = Specs(study.from_data(data, "test"))
    done = next(j for j in jobs_of(specs) if j.kind == "quality" and j.labels[-1] == "text")
    took = taken.Taken({}, {}, {done.path: Spent(600.0, 1e6, 2e5)}, set())
    monkeypatch.setattr(taken, "read", lambda *_: took)
    monkeypatch.setattr(Shelf, "missing", lambda _, jobs: [j for j in jobs if j.path != done.path])
    said = plan.of_study(specs, "results")
    assert said.efforts["quality"].predicted == 3
    assert said.efforts["quality"].host_kwh
    assert "quality (2 of 3)" in tables.host_unknown(said)
    rows = {row["quantity"]: row for row in tables.total_rows(said)}
    assert rows["parts without host_kwh"]["median"] == len(tables.host_unknown(said))


# ---------------------------------------------------------------- chains
def chain_of(specs, jobs, hours):
    """Kinds and last labels of the longest chain of jobs, each of which takes so many hours."""
    found = chains.longest(specs, jobs, {job.path: hours.get(job.kind, 0.0) for job in jobs})
    return [(job.kind, job.labels[-1]) for job in found]


def test_the_longest_chain_is_of_jobs_that_wait_for_each_other(data):
    """Ten epochs go on with five, and metrics are computed of answers."""
    file = {"file": "config/data/saf/saf.jsonl", "template": "{question}", "answer": "feedback"}
    lora = {"method": "lora", "precision": "float32", "epochs": [5, 10], "data": file}
    data["training"] = {"none": {"method": "none"}, "lora": {**lora, "schedule": "constant"}}
    task = {
        "method": "generation",
        "data": "config/data/saf/questions.jsonl",
        "template": "{question}",
        "reference": "reference",
        "new_tokens": 8,
        "metrics": ["bleu"],
    }
    data["quality"] = {"answers": task}
    data["ranking"]["baseline"]["training"] = "none"
    specs = Specs(study.from_data(data, "test"))
    jobs = list(jobs_of(specs))
    hours = {"training": 1.0, "trained": 0.5, "weights": 0.25, "texts": 1.0, "scores": 0.5}
    found = chain_of(specs, jobs, hours)
    assert [kind for kind, _ in found] == [
        "models",
        "training",
        "training",
        "trained",
        "weights",
        "texts",
        "scores",
    ]
    assert [label for kind, label in found if kind == "training"] == ["lora-e5", "lora-e10"]
    # what is there is waited for by none; a session that is longer is the end
    left = [job for job in jobs if "lora-e5" not in job.labels and job.kind != "models"]
    assert chain_of(specs, left, {**hours, "energy": 9.0})[0] == ("training", "lora-e10")
    assert chain_of(specs, left, {**hours, "energy": 9.0})[-1][0] == "energy"
    assert chain_of(specs, [], hours) == []


def test_no_order_of_jobs_takes_longer_than_the_plan_says(data, tmp_path):
    """Two trainings, one after the other, are most of all."""
    file = {"file": "config/data/saf/saf.jsonl", "template": "{question}", "answer": "feedback"}
    lora = {"method": "full", "precision": "float32", "epochs": [50, 100], "data": file}
    data["training"] = {"none": {"method": "none"}, "lora": {**lora, "schedule": "constant"}}
    data["ranking"]["baseline"]["training"] = "none"
    data["protocol"]["infeasible"] = "try"
    said = plan.of_study(Specs(study.from_data(data, "test")), str(tmp_path), 100)
    both = said.efforts["training"]
    assert both.predicted == 2
    assert said.total.wall_hours.median > 0.99 * both.hours.median
    assert said.total.wall_hours.high > sum(each.high for each in both.each.values())


# ---------------------------------------------------------------- disk
def test_bytes_of_weights_and_downloads(data, tmp_path):
    """4 bits with a scale and a zero of 20 bits for 128; embedding and head in 16 bits."""
    made = study.from_data(data, "test")
    jobs, models = list(jobs_of(Specs(made))), Models(Specs(made), Shelf())
    found = disk.written(made.data, jobs, models)
    linear = MISTRAL - 2 * EMBEDDING
    assert (found.number, found.unknown) == (1, 0)
    assert found.size.median == pytest.approx(
        linear * (4 + 20 / 128) / 8 + 2 * EMBEDDING * 2, rel=1e-3
    )
    assert found.size.median == pytest.approx(4.16e9, rel=0.01)  # such files on the hub
    fetched = disk.fetched(made.data, jobs, models)
    assert (fetched.number, fetched.unknown) == (1, 0)
    assert fetched.size.median == pytest.approx(2 * MISTRAL, rel=1e-3)
    folder = tmp_path / "hub/hub/models--mistralai--Mistral-7B-v0.3/snapshots" / REVISION
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text("")
    assert disk.fetched(made.data, jobs, models).number == 0


def test_what_no_run_makes_is_not_written(data, monkeypatch):
    """Weights that were deleted behind their records are not made again."""
    specs = Specs(study.from_data(data, "test"))
    assert plan.of_study(specs, "results").written.number == 1
    sessions_only = [job for job in jobs_of(specs) if job.kind == "energy"][:1]
    monkeypatch.setattr(Shelf, "to_make", lambda self, jobs: sessions_only)
    assert plan.of_study(specs, "results").written.number == 0


# ---------------------------------------------------------------- making and evaluating
def llama_13b():
    return architecture_of({"hub": "meta-llama/Llama-2-13b-hf", "revision": REVISION})


def test_gptq_takes_about_as_long_as_its_authors_say():
    """20.9 min for 13 B parameters on an A100, 128 × 2,048 tokens (Frantar et al. 2023)."""
    entry = {"method": "gptq", "calibration": {"samples": 128, "tokens": 2048}}
    place = place_of("weights", None, {"h": {"device": "cuda", "gpu": "A100-SXM4"}})
    seconds = quantizing(entry, Sizes(llama_13b(), place))
    said = ranges.spread(seconds, DEFAULT)
    assert said.low < 20.9 * 60 < said.high
    # by hand: columns, three passes at 40 % of 312 TFLOP/s, loading and saving 26 GB
    columns = 40 * (6 * 5120 + 13824) * COLUMN_S
    passes = 3 * 128 * 2 * 12.85e9 * 2048 / (0.4 * 312e12)
    assert seconds == pytest.approx(columns + passes + 30 + 2 * 26, rel=0.02)


def test_tasks_of_publications_are_predicted_by_their_published_sizes():
    """MMLU reads each of 14,042 questions once, HellaSwag each of 10,042 with four endings; a limit
    counts for each of MMLU's 57 tasks.
    """
    sizes = Sizes(llama_13b(), place_of("quality", None, {"h": {"device": "cuda", "gpu": "A100"}}))
    mmlu = {"method": "lm-eval", "task": "mmlu", "fewshot": 0, "batch_size": 8}
    start = loading_s(sizes)
    whole = evaluating(mmlu, sizes) - start
    assert whole == pytest.approx(sizes.passes(math.ceil(14042 / 8), 8 * 120))
    assert evaluating({**mmlu, "limit": 10}, sizes) - start == pytest.approx(
        sizes.passes(math.ceil(570 / 8), 8 * 120)
    )
    assert evaluating({**mmlu, "fewshot": 5}, sizes) > start + 3 * whole
    four = evaluating({**mmlu, "task": "hellaswag"}, sizes) - start
    assert four == pytest.approx(sizes.passes(4 * 10042 / 8, 8 * 100))
    gsm8k = {"method": "lm-eval", "task": "gsm8k", "batch_size": 8}
    assert evaluating(gsm8k, sizes) == evaluating({**gsm8k, "fewshot": 5}, sizes)
    assert evaluating({**mmlu, "folder": "own"}, sizes) is None
    assert evaluating({**mmlu, "task": "my_task"}, sizes) is None


READ = {"method": "lm-eval", "task": "mmlu", "batch_size": 8}
GPTQ4 = {"method": "gptq", "bits": 4, "group_size": 128}


@pytest.mark.parametrize(
    "entry", [GPTQ4, {"method": "bitsandbytes-4bit"}, {"method": "gguf", "type": "Q8_0"}]
)
def test_quality_of_quantized_weights_takes_as_long_as_what_it_computes_in(entry):
    """A100: 40 % of 312 TFLOP/s in 16 bits, 70 % of 19.5 in 32. V100: bfloat16 is emulated."""

    def seconds(gpu, dtype):
        place = place_of("quality", None, {"h": {"device": "cuda", "gpu": gpu}})
        sizes = Sizes(llama_13b(), place)
        loaded = evaluated_in({**entry, "compute_dtype": dtype}, sizes)
        return evaluating(READ, loaded) - loading_s(sizes)

    half, single = (seconds("A100-SXM4", dtype) for dtype in ("bfloat16", "float32"))
    assert single / half == pytest.approx(0.4 * 312 / (0.7 * 19.5), rel=0.02)
    assert seconds("V100-SXM2", "bfloat16") > 6 * seconds("V100-SXM2", "float16")


@pytest.mark.parametrize(
    "entry",
    [{"method": "full"}, {"method": "lora"}, {"method": "qlora", "precision": "nf4"}],
)
def test_training_in_emulated_bfloat16_is_slow(entry, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text((json.dumps({"q": "x" * 391}) + "\n") * 100)
    entry |= {"data": {"file": str(path), "validation": 0.1}, "batch_size": 10}
    entry |= {"sequence_length": 512, "packing": False, "chat": False}
    key = "compute_dtype" if entry["method"] == "qlora" else "precision"
    place = place_of("training", None, {"h": {"device": "cuda", "gpu": "V100-SXM2"}})
    sizes = Sizes(llama_13b(), place)
    half, emulated = (
        training({**entry, key: dtype}, 1, sizes) - loading_s(sizes)
        for dtype in ("float16", "bfloat16")
    )
    assert emulated > 6 * half


def test_training_shares_of_epochs_and_tokens(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({"q": "x" * 391}) + "\n")
    path.write_text(path.read_text() * 100)
    entry = {
        "method": "lora",
        "precision": "bfloat16",
        "data": {"file": str(path), "validation": 0.1},
        "batch_size": 10,
        "sequence_length": 512,
        "packing": False,
        "chat": False,
    }
    place = place_of("training", None, {"h": {"device": "cuda", "gpu": "A100-SXM4"}})
    sizes = Sizes(llama_13b(), place)
    one, three = (training(entry, epochs, sizes) for epochs in (1, 3))
    # 9 steps and 1 check of 10 · 100 tokens; adapters: two passes' worth
    each = (9 * 2 + 1) * 2 * 12.85e9 * 1000 / (0.4 * 312e12)
    assert (three - one) / 2 == pytest.approx(each, rel=0.03)
    full = training({**entry, "method": "full"}, 1, sizes)
    assert full > one
    # in 32 bits outside tensor cores: 70 % of 19.5 TFLOP/s
    in_32 = {**entry, "precision": "float32"}
    more = (training(in_32, 3, sizes) - training(in_32, 1, sizes)) / 2
    assert more == pytest.approx(each * (0.4 * 312) / (0.7 * 19.5), rel=0.03)
    packed = {**entry, "method": "qlora", "precision": "nf4", "compute_dtype": "bfloat16"}
    assert one < training(packed, 1, sizes) < training(in_32, 1, sizes)


def test_evaluations_are_told_of_the_precision_of_their_weights(data):
    """Reading 512 tokens at a time is bound by FLOP: in 32 bits nothing runs on tensor cores."""
    data["quantization"]["fp32"] = {"method": "cast", "dtype": "float32"}
    made = study.from_data(data, "test")
    specs = Specs(made)
    found = by_default(
        specs, list(jobs_of(specs)), None, lambda name: architecture_of(made.data["model"][name])
    )
    told = {path.split("/")[4]: s for path, s in found.items() if path.startswith("quality/")}
    load = 30 + 2 * MISTRAL / 1e9
    assert told["fp32"] - load == pytest.approx((told["fp16"] - load) * 0.4 * 312 / (0.7 * 19.5))


def test_measured_jobs_correct_the_default(data):
    """One that took twice the default moves the others by what the spreads allow."""
    data["model"]["second"] = {"hub": "mistralai/Mistral-7B-v0.3", "revision": "1" * 40}
    made = study.from_data(data, "test")
    specs = Specs(made)
    jobs = [job for job in jobs_of(specs) if job.kind == "weights"]
    assert len(jobs) == 2
    done, waiting = jobs

    def model_of(label):
        return architecture_of(made.data["model"][label])

    before = efforts(specs, jobs, {waiting.path}, {}, None, model_of)["weights"]
    assert before.rests_on == "defaults on A100-SXM4-80GB"
    took = Spent(2 * 3600 * before.hours.median, 1e6, 2e5)
    after = efforts(specs, jobs, {waiting.path}, {done.path: took}, None, model_of)["weights"]
    weight = (1 / EACH**2) / (1 / EACH**2 + 1 / DEFAULT**2)
    assert after.hours.median == pytest.approx(2**weight * before.hours.median)
    assert after.hours.high / after.hours.low < before.hours.high / before.hours.low
    assert after.rests_on == "measured by 1 job"
    watts = 1e6 / took.seconds
    assert after.gpu_kwh.median == pytest.approx(after.hours.median * watts / 1000)
    assert after.host_kwh.median == pytest.approx(after.hours.median * watts / 5000)


def test_a_task_whose_size_is_not_known_is_counted_until_one_was_evaluated(data):
    made = study.from_data(data, "test")
    specs = Specs(made)
    jobs = [job for job in jobs_of(specs) if job.kind == "quality"]
    facts = [job for job in jobs if job.labels[-1] == "facts"]
    assert len(facts) == 2

    def model_of(label):
        return architecture_of(made.data["model"][label])

    paths = {job.path for job in jobs}
    assert efforts(specs, jobs, paths, {}, None, model_of)["quality"].predicted == 2  # perplexity
    took = {facts[0].path: Spent(600.0, None, None)}
    said = efforts(specs, facts, {facts[1].path}, took, None, model_of)["quality"]
    assert said.predicted == 1
    assert said.hours.median == pytest.approx(600 / 3600)


def test_where_jobs_run_is_what_the_site_says():
    site = {
        "default": {"cpus_per_task": 4},
        "stages": {"prune_weights": {"gres": "gpu:a30:1"}, "train_model": {"gres": "gpu:1"}},
    }
    assert place_of("pruned", site, {}).name == "A30"
    assert place_of("training", site, {}) is None  # a board, but which
    assert place_of("quality", site, {}).name == "4 CPUs"


@pytest.mark.parametrize(
    ("resources", "name"),
    [
        ({"gres": "gpu:nvidia_a100-sxm4-80gb:1"}, "A100-SXM4-80GB"),
        ({"gres": "gpu:nvidia_geforce_rtx_4090:2"}, "2 × RTX4090"),
        ({"gres": "gpu:nvidia_rtx_6000_ada_generation:1"}, "RTX6000-Ada"),
        # may be a Quadro of the generation of an RTX 8000
        ({"gres": "gpu:rtx6000:1"}, None),
        ({"gres": "gpu:1"}, None),
        ({"slurm_extra": "--exclusive --gpus=1"}, None),
        ({"slurm_extra": "-G 2"}, None),
        ({"slurm_extra": "--gpus=a30:2"}, "2 × A30"),
        ({"slurm_extra": "--gpus-per-node a30"}, "A30"),
        ({"slurm_extra": "--gres=gpu:a30:4 --exclusive"}, "4 × A30"),
        ({"slurm_extra": "--exclusive"}, "1 CPUs"),
    ],
)
def test_boards_as_slurm_calls_them(resources, name):
    site = {"default": resources, "stages": {}}
    found = place_of("quality", site, {})
    assert (found.name if found else None) == name
    known = boards_of("quality", site, {})
    assert bool(known) == (name is not None and "CPU" not in name)


def test_all_boards_that_a_site_gives_a_job_are_counted():
    """Three of four wait, loaded: Slurm gives them to nobody else."""
    one, four = (
        place_of("weights", {"default": {"gres": f"gpu:a100:{n}"}, "stages": {}}, {})
        for n in (1, 4)
    )
    assert (one.gpus, four.gpus) == (1, 4)
    assert one.flop_s == four.flop_s
    assert one.watts < four.watts < 4 * one.watts


def test_without_a_site_jobs_run_on_all_boards_of_the_entry():
    """Fine-tuning spreads over the four; a board is told by its memory."""
    board = {"device": "cuda", "gpu": "A30"}
    one, four = (place_of("training", None, {"h": {**board, "gpus": n}}) for n in (1, 4))
    assert (one.gpus, four.gpus) == (1, 4)
    assert four.name == "4 × A30"
    assert one.watts < four.watts < 4 * one.watts
    large = {"h": {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 80}}
    assert place_of("quality", None, large).name == "A100-SXM4-80GB"


def test_no_energy_that_is_known_is_not_an_emission_of_nothing(data, tmp_path):
    data["hardware"] = {"here": {"device": "cpu"}}
    said = plan.of_study(Specs(study.from_data(data, "test")), str(tmp_path / "weights"), 1)
    assert said.total.hours.median > 0  # evaluating quality
    assert said.total.grams == {}


# ---------------------------------------------------------------- tables
def test_all_tables_carry_all_of_it(data, tmp_path):
    data["hardware"]["a100"] |= {"cpu_power_w": 200}
    said = plan.of_study(Specs(study.from_data(data, "test")), str(tmp_path / "weights"), 4)
    tables.write(said, tmp_path)
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written["jobs_at_a_time"] == 4
    assert written["without_host_kwh"] == list(said.efforts)
    (row,) = written["hardware"]
    assert row["wall_hours_low"] <= row["wall_hours_median"] <= row["wall_hours_high"]
    assert row["gco2e_BE_median"] > 0
    for each in written["cells"]:
        assert each["session_s_low"] < each["session_s_median"] < each["session_s_high"]
        assert each["rests_on"] == "defaults"
    kinds = {each["kind"]: each for each in written["jobs"]}
    assert kinds["weights"]["hours_low"] < kinds["weights"]["hours_median"]
    assert "hours_median" not in kinds["models"]
    with open(tmp_path / "total.tsv", encoding="utf-8", newline="") as stream:
        total = {each["quantity"]: each for each in csv.DictReader(stream, delimiter="\t")}
    assert float(total["hours"]["median"]) == pytest.approx(
        row["hours_median"] + sum(k.get("hours_median", 0) for k in kinds.values())
    )
    assert float(total["weights fetched"]["median"]) == pytest.approx(2 * MISTRAL / 1e9, rel=1e-3)
    assert float(total["jobs to run"]["median"]) == sum(k["to_run"] for k in kinds.values())


def test_what_was_said_before_is_kept(data, tmp_path):
    path = tmp_path / "plan.json"
    cells, _ = judge(data)
    first = said_before(cells.values(), path)
    assert len(first) == 2
    path.write_text(json.dumps({"said_before": first}))
    each = cells["fp16", "questions"]
    low, median, high = first[0]["gpu_j_per_token"]
    run = expected(each.case, each.session.belief)
    tokens = each.case.work.requests * each.case.work.tokens_out
    assert median == pytest.approx(run.joules / tokens)
    assert low < median < high
    slow = Run(3 * run.seconds, 3 * run.joules, tokens, tokens)
    after, _ = judge(data, {each.cell: [slow]})
    assert said_before(after.values(), path)[0] == json.loads(json.dumps(first))[0]
    assert said_before(after.values(), tmp_path / "none.json") != first


def test_a_replay_teaches_its_energy_and_no_time(data):
    data["workload"] = {"r": replay(), "q": data["workload"]["questions"]}
    cells, _ = judge(data)
    each = cells["fp16", "r"]
    work = each.case.work
    tokens = work.requests * work.tokens_in, work.requests * work.tokens_out, 0, work.requests
    run = expected(each.case, each.session.belief)
    after, _ = judge(data, {each.cell: [Run(14400.0, 1.3 * run.joules, *tokens)]})
    assert expected(each.case, after["fp16", "r"].session.belief).joules > 1.15 * run.joules
    blind, _ = judge(data, {each.cell: [Run(14400.0, None, *tokens)]})
    assert blind["fp16", "q"].session.rests_on == "defaults"


def test_what_judges_are_asked_and_paid(tmp_path):
    """31 questions of 12 configurations, in both orders; each request shows two answers of 1,024
    tokens at most.
    """
    made = study.load([ROOT / "config/studies/wetzel2024.yaml"])
    said = plan.of_study(Specs(made), str(tmp_path))
    asked_of = said.judges
    assert asked_of.requests == 12 * 2 * 31
    prompt = (ROOT / "config/prompts/judge.txt").stat().st_size / 4
    assert asked_of.read.low > 744 * (prompt + 2 * 256)
    assert asked_of.read.high < 744 * (prompt + 2 * 1024 + 250)
    assert asked_of.usd.median == pytest.approx(
        2e-6 * asked_of.read.median + 8e-6 * asked_of.written.median
    )
    rows = {row["quantity"]: row for row in tables.total_rows(said)}
    assert rows["requests to judges"]["median"] == 744
    assert (rows["judges"]["unit"], rows["judges"]["high"]) == ("USD", asked_of.usd.high)


def test_metrics_of_answers_take_seconds_and_no_gpu(tmp_path):
    made = study.load([ROOT / "config/studies/wetzel2024.yaml"])
    scores = plan.of_study(Specs(made), str(tmp_path)).efforts["scores"]
    assert scores.predicted == 13
    assert scores.hours.median == pytest.approx(13 * (20 + 31 * 0.02) / 3600)
    assert scores.gpu_hours.median == scores.gpu_kwh.median == 0


def test_a_judge_without_prices_and_one_that_says_a_label():
    task = {
        "answers": "chat",
        "judge": {"prompt": "config/prompts/judge.txt", "max_tokens": 16},
    }
    chat = {"data": "config/data/saf/questions.jsonl", "limit": 5, "new_tokens": 64}
    data = {"quality": {"chat": chat, "arena": task}}
    labels = ("m", "none", "none", "bf16", "arena")
    found = verdicts.of_jobs(data, [Job("judgments", labels, {}), Job("texts", labels, {})])
    assert (found.requests, found.written.median, found.usd) == (10, 160, None)
    assert verdicts.of_jobs(data, [Job("texts", labels, {})]) is None

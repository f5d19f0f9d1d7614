"""Replays: when requests arrive, what a study may ask of it, and how requests that arrive fare."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from msgspec.json import Decoder

from conftest import ROOT
from helpers import replayed
from joulegrid.analysis import hourly
from joulegrid.analysis.recorded import session as recorded
from joulegrid.analysis.replays import Replays, objective, within
from joulegrid.engines import Completion, Request
from joulegrid.errors import InputError
from joulegrid.jobs import requests as table
from joulegrid.jobs.weights import duplicate_beside
from joulegrid.metering import latency
from joulegrid.records import REQUESTS
from joulegrid.report import latency as report
from joulegrid.study import sites, study, unused
from joulegrid.study.grid import CELL_AXES, Cell
from joulegrid.texts.traces import Arrival, parse_trace
from joulegrid.workloads import arrivals, replay

PROMPTS = {"path": "config/prompts/questions.jsonl"}
ENTRY = {
    "method": "replay",
    "prompts": PROMPTS,
    "interval_s": 6.0,
    "duration_s": 14400,
    "new_tokens": 100,
    "stop": "natural",
    "chat": True,
}


# ---------------------------------------------------------------- instants
def test_poisson_arrivals_have_the_rate_and_exponential_gaps():
    """A day and a half of one request per second: 4 standard errors of count, mean and spread."""
    found = np.array(arrivals.poisson(1.0, 129_600, 0))
    assert abs(len(found) - 129_600) < 4 * math.sqrt(129_600)
    gaps = np.diff(found)
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(1.0, abs=4 / 360)
    assert gaps.std() == pytest.approx(1.0, abs=4 * math.sqrt(2) / 360)
    # e^-3 of the gaps are longer than three means
    assert (gaps > 3).mean() == pytest.approx(math.exp(-3), abs=0.003)


def test_uniform_arrivals_are_as_many_as_asked_for_and_spread_evenly():
    found = np.array(arrivals.uniform(1 / 6, 14400, 0))
    assert len(found) == 2400  # Dosquet's replay
    assert 0 <= found[0] <= found[-1] < 14400
    assert (np.diff(found) >= 0).all()
    quarters = np.histogram(found, 4, (0, 14400))[0]
    assert np.abs(quarters - 600).max() < 4 * math.sqrt(600)


def test_constant_arrivals_are_evenly_spaced():
    assert arrivals.constant(2.0, 2.0, 5) == [0.0, 0.5, 1.0, 1.5]


def test_arrivals_are_the_same_in_every_python():
    """Worked out by hand from the first numbers of the Mersenne Twister with seed 0, which are
    0.8444218515250481, 0.7579544029403025.
    """
    first = -math.log(1 - 0.8444218515250481) / 0.5
    second = first - math.log(1 - 0.7579544029403025) / 0.5
    assert arrivals.poisson(0.5, 7.0, 0)[:2] == pytest.approx([first, second])
    assert arrivals.uniform(0.2, 10.0, 0) == pytest.approx([7.579544029403025, 8.444218515250481])


def test_rates_and_durations_share_their_instants():
    slow, fast = arrivals.poisson(1.0, 100, 3), arrivals.poisson(2.0, 50, 3)
    assert fast == pytest.approx([instant / 2 for instant in slow])
    assert arrivals.poisson(1.0, 200, 3)[: len(slow)] == slow


# ---------------------------------------------------------------- requests
def test_requests_depend_on_workload_and_seed_alone():
    (point,) = replay.points(ENTRY, 1)
    again, other = replay.points(dict(ENTRY), 1)[0], replay.points(ENTRY, 2)[0]
    assert point == again
    assert point.requests[0] != other.requests[0]
    assert all(0 <= request.arrival_s < 14400 for request in point.requests)
    assert {(request.new_tokens, request.stops) for request in point.requests} == {(100, True)}


def test_prompts_take_turns():
    prompts = {json.loads(line)["prompt"] for line in (ROOT / PROMPTS["path"]).open()}
    (point,) = replay.points({**ENTRY, "count": 4}, 0)
    told = [request.prompt for request in point.requests]
    assert len(set(told[:4])) == 4
    assert set(told) < prompts
    assert told[4:8] == told[:4]


TRACE = "arrival_s,prompt,prompt_tokens,new_tokens\n0.5,Who?,,\n0.5,,200,7\n3,,,\n"


def test_a_trace_says_when_and_what(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(TRACE)
    entry = {k: v for k, v in ENTRY.items() if k != "interval_s"}
    entry |= {"trace": {"path": str(path)}, "duration_s": 3}
    (point,) = replay.points(entry, 0)
    first, second = point.requests  # the third one arrives when it is over
    assert (first.prompt, first.arrival_s, first.new_tokens) == ("Who?", 0.5, 100)
    assert (second.prompt_tokens, second.new_tokens) == (200, 7)
    assert second.prompt != "Who?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv:1: expected the column arrival_s and none but .*; it is empty"),
        ("time,prompt\n1,x\n", "t.csv:1: .*; got time, prompt"),
        ("arrival_s,user\n1,x\n", "t.csv:1: .*; got arrival_s, user"),
        ("arrival_s\n", "holds no arrival"),
        ("arrival_s\n1\nsoon\n", "t.csv:3: arrival_s is 'soon'"),
        ("arrival_s\n-1\n", "t.csv:2: arrival_s is '-1'"),
        ("arrival_s\nnan\n", "t.csv:2: arrival_s is 'nan'"),
        ("arrival_s\n2\n1\n", "t.csv:3: arrives at 1 s, before the line above, at 2 s"),
        ("arrival_s,new_tokens\n1\n", "t.csv:2: has another number of fields"),
        ("arrival_s,new_tokens\n1,0\n", "t.csv:2: new_tokens is '0'"),
    ],
)
def test_a_line_that_is_none_is_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_trace(text, "t.csv")


def test_a_prompt_in_a_trace_may_have_several_lines():
    (found,) = parse_trace('arrival_s,prompt\n1,"Who,\nand why?"\n', "t.csv")
    assert found == Arrival(1.0, "Who,\nand why?")


# ---------------------------------------------------------------- a study
def asking(data, **keys):
    workload = {k: v for k, v in ENTRY.items() if k not in ("interval_s", "prompts")}
    workload["prompts"] = PROMPTS["path"]
    data["workload"] = {"chat": {k: v for k, v in (workload | keys).items() if v is not None}}
    return study.from_data(data, "s.yaml")


def test_dosquets_replay_is_a_workload(study_data):
    entry = asking(study_data, interval_s=6, arrivals="uniform").entry("workload", "chat")
    assert (entry["drain_s"], entry["bin_s"]) == (600, 60)


def test_limits_measure_nothing_again(study_data):
    found = asking(study_data, rate_per_s=1, limits={"total_s": 2.0})
    assert "limits" not in found.entry("workload", "chat")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "workload.chat: got none of them; expected one of rate_per_s, interval_s, trace"),
        ({"rate_per_s": 1, "interval_s": 1}, "workload.chat: got rate_per_s and interval_s;"),
        ({"rate_per_s": 0}, "workload.chat.rate_per_s: got 0; expected requests that arrive"),
        ({"rate_per_s": 1, "prompts": None}, "workload.chat: the key 'prompts' is missing"),
        ({"interval_s": 6, "duration_s": 3}, "interval_s: 6 over duration_s: 3 is 0.5 requests"),
        ({"rate_per_s": 1000}, "is 14,400,000 requests; expected 1,000,000 at most"),
        ({"rate_per_s": 1, "arrivals": "bursty"}, "workload.chat.arrivals: got 'bursty'"),
        ({"rate": 1}, "workload.chat.rate: unknown key; .*did you mean 'rate_per_s'"),
        ({"rate_per_s": 1, "limits": {}}, "workload.chat.limits: it is empty"),
        ({"rate_per_s": 1, "limits": {"ttft": 1}}, "workload.chat.limits.ttft: unknown key"),
        ({"trace": "nowhere.csv"}, "workload.chat.trace: no such file 'nowhere.csv'"),
    ],
)
def test_what_does_not_go_together_is_said(study_data, keys, message):
    with pytest.raises(InputError, match=message):
        asking(study_data, **keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"arrivals": "uniform"}, "chat.arrivals: the trace says when requests arrive; drop it"),
        ({"prompts": None}, r"'prompts' is missing; the arrival at 0\.5 s of .* has no prompt"),
        ({"duration_s": 1}, "duration_s: got 1; the first request of .* arrives at 1 s"),
    ],
)
def test_a_trace_that_does_not_fit_is_said(study_data, tmp_path, keys, message):
    path = tmp_path / "t.csv"
    path.write_text("arrival_s\n1\n" if "duration_s" in keys else TRACE)
    with pytest.raises(InputError, match=message):
        asking(study_data, trace=str(path), **keys)


# ---------------------------------------------------------------- how they fared
ASKED = [Request("x", 3, arrival_s=float(t)) for t in (0, 1, 2, 4)]
# one at a time, 3 s each: the fourth is not done when it ends after 10 s
FOUND = {
    n: Completion(5, 3, 3.0 * n + 3, "", first_token_s=3.0 * n + 1, started_s=3.0 * n)
    for n in range(3)
}


def test_latencies_are_those_of_numpy():
    found = latency.summary(ASKED[:3], FOUND, 5.0, 9.0)
    for kind, values in {
        "first_token_s": [1, 3, 5],
        "per_token_s": [1, 1, 1],
        "total_s": [3, 5, 7],
        "queueing_s": [0, 2, 4],
    }.items():
        expected = np.percentile(values, [50, 95, 99])
        assert list(found[kind].values()) == pytest.approx(expected), kind
    assert (found["arrived"], found["finished"], found["unfinished"]) == (3, 3, 0)
    assert found["offered_per_s"] == pytest.approx(3 / 5)
    assert found["served_per_s"] == pytest.approx(3 / 9)
    assert found["tokens_per_s"] == pytest.approx(1.0)


def test_what_was_not_finished_is_later_than_all_else():
    found = latency.summary(ASKED, FOUND, 5.0, 10.0)
    assert found["unfinished"] == 1
    assert found["total_s"] == {"p50": 6.0, "p95": None, "p99": None}
    assert found["per_token_s"]["p99"] == 1.0


def test_a_machine_that_falls_behind_is_said():
    found = latency.summary(ASKED, FOUND, 5.0, 10.0)
    counted = (found[key] for key in ("backlog", "in_progress", "waiting", "most_waiting"))
    assert [*counted] == [3, 1, 2, 2]
    assert found["utilisation"] == 1.0
    assert found["drain_s"] == 5.0
    assert latency.fell_behind(found) == ["1 of 4 requests were not finished"]
    given_up, _ = latency.fell_behind({**found, "waiting": 5})
    assert given_up.endswith("it was given up after 5 s")
    (behind,) = latency.fell_behind({**found, "waiting": 5, "unfinished": 0})
    assert behind.endswith("it took 5 s")
    assert behind.startswith("the replay fell behind: 5 requests waited when arrivals ended")
    # of ten thousand, 99 that wait are no sign of a queue that grows
    many = {**found, "unfinished": 0, "arrived": 10_000}
    assert latency.fell_behind({**many, "waiting": 99}) == []
    assert len(latency.fell_behind({**many, "waiting": 101})) == 1


def test_what_is_being_worked_at_when_arrivals_end_does_not_wait():
    """Two at a time: of four that arrive at once, one is done after 3 s, two others have begun and
    are not finished when the replay is given up after 6 s.
    """
    asked, done = [Request("x", 3)] * 4, {0: Completion(5, 3, 3.0, "", 1.0, 0.0)}
    found = latency.summary(asked, done, 5.0, 6.0, {1: 0.0, 2: 3.0})
    counted = (found[key] for key in ("backlog", "in_progress", "waiting", "most_waiting"))
    assert [*counted] == [3, 2, 1, 2]
    # 0, 0 and 3 s, and the fourth waits for longer
    assert found["queueing_s"] == {"p50": 1.5, "p95": None, "p99": None}
    later = latency.summary(asked, done, 5.0, 6.0, {1: 0.0, 2: 5.5})
    assert (later["in_progress"], later["waiting"]) == (1, 2)
    row = table.rows(asked, done, {1: 0.25})[1]
    assert (row["started_s"], row["done_s"], row["padding"]) == (0.25, None, None)


def test_a_machine_that_keeps_up_is_idle_in_between():
    done = {0: Completion(5, 3, 1.0, "", 0.5, 0.0), 1: Completion(5, 3, 3.5, "", 3.0, 2.5)}
    found = latency.summary([ASKED[0], ASKED[2]], done, 10.0, 10.0)
    assert found["utilisation"] == pytest.approx(0.25)  # 0 to 1 and 2 to 3.5 s
    assert (found["backlog"], found["waiting"], found["drain_s"]) == (0, 0, 0.0)
    assert latency.fell_behind(found) == []


def test_an_engine_that_says_no_times_has_latencies_of_the_end_alone():
    done = {0: Completion(5, 3, 1.0, "")}
    found = latency.summary(ASKED[:1], done, 10.0, 10.0)
    assert found["total_s"]["p50"] == 1.0
    assert found["first_token_s"] == dict.fromkeys(("p50", "p95", "p99"))
    assert (found["utilisation"], found["waiting"], found["in_progress"]) == (0.1, None, None)
    assert latency.fell_behind(found) == []


def test_nothing_that_arrives_after_the_end_counts():
    """A replay that is killed after 1.5 s."""
    found = latency.summary(ASKED, {}, 5.0, 1.5)
    assert (found["arrived"], found["finished"], found["backlog"]) == (2, 0, 2)
    assert found["total_s"]["p50"] is None


# ---------------------------------------------------------------- the dataset
RATES = {"calm": 0.2, "busy": 0.6}
# what the stand-in for a machine takes of each component in W
WATTS = {"cpu": 20.0, "gpu": 70.0, "ram": 10.0}


def served(rate, service_s, power=1.0):
    """What an energy job writes of a replay of 100 s, one request at a time of `service_s`, and
    its completions.
    """
    requests = [Request("x", 11, arrival_s=at) for at in arrivals.poisson(rate, 100.0, 0)]
    free, done = 0.0, {}
    for number, request in enumerate(requests):
        begin = max(free, request.arrival_s)
        free = begin + service_s
        done[number] = Completion(5, 11, free, "", begin + service_s / 11, begin)
    seconds = max(free, 100.0)
    found = latency.summary(requests, done, 100.0, seconds)
    joules = {name: watts * power * seconds for name, watts in WATTS.items()}
    halves = {name: value / 2 for name, value in joules.items()}
    parts = [{"start_s": 0.0, "seconds": seconds / 2, "energy_j": halves}]
    parts.append({**parts[0], "start_s": seconds / 2, "disturbed": ["a busy neighbour"]})
    found |= {
        "energy_per_request_j": sum(joules.values()) / len(done),
        "drain_energy_j": dict.fromkeys(WATTS, 0.0),
        "disturbed_share": 0.5,
        "bins": parts,
    }
    return {**replayed.session(joules, seconds, len(done)), "replay": found}, requests, done


@pytest.fixture(scope="module")
def replays(tmp_path_factory):
    """A study of two configurations at two rates: the compressed one is faster, and at the higher
    rate its baseline falls behind.
    """
    data = json.loads(json.dumps(replayed.DOSQUET))
    data["model"] = {"llama-7b": data["model"]["llama-7b"]}
    keys = {k: v for k, v in ENTRY.items() if k not in ("interval_s", "prompts")}
    keys |= {"prompts": PROMPTS["path"], "duration_s": 100}
    data["workload"] = {
        label: {**keys, "rate_per_s": rate, "limits": {"total_s": 4.0, "first_token_s": 2.0}}
        for label, rate in RATES.items()
    }
    data["ranking"]["objectives"] = ["energy", "latency"]
    folder = tmp_path_factory.mktemp("replays")

    def energy(job):
        compressed = job.labels[3] == "compressed"
        record, requests, done = served(RATES[job.labels[6]], 1.0 if compressed else 2.5)
        path = folder / f"results/{job.path}.requests.parquet"
        table.write(path, table.rows(requests, done))
        return record

    value = {"value": 1.0, "stderr": None, "higher_is_better": False}
    names = ("perplexity", "acc")
    return replayed.replay(
        folder,
        data,
        {"energy": energy, "quality": lambda _: {"metrics": dict.fromkeys(names, value)}},
    )


def test_replays_are_a_group_of_the_dataset(replays):
    group = replays.tree["replay"].to_dataset()
    cell = {"quantization": "full", "workload": "busy", "session": 1}
    one = group.sel(cell).squeeze()
    record, requests, done = served(RATES["busy"], 2.5)
    assert one.latency.values.tolist() == list(record["replay"]["total_s"].values())
    late = [each.done_s - requests[n].arrival_s for n, each in done.items()]
    assert float(one.latency.sel(percentile=95)) == pytest.approx(np.percentile(late, 95))
    assert float(one.first_token.sel(percentile=50)) < float(one.latency.sel(percentile=50))
    assert float(one.waiting) > 5
    assert float(one.in_progress + one.waiting) == float(one.backlog)
    assert float(one.energy_per_request) == pytest.approx(
        float(replays.tree["energy"].energy.sel(cell).sum()) / len(done)
    )
    whole = replays.tree["energy"].energy.sel(cell).squeeze()
    assert one.bin_energy.sum("bin").values.tolist() == whole.values.tolist()
    assert one.bin_disturbed.values.tolist() == [0.0, 1.0]


def test_goodput_counts_what_kept_within_all_limits(replays):
    _, requests, done = served(RATES["busy"], 2.5)
    good = [
        each.done_s - requests[n].arrival_s <= 4.0
        and each.first_token_s - requests[n].arrival_s <= 2.0
        for n, each in done.items()
    ]
    one = replays.tree["replay"].to_dataset().sel(quantization="full", workload="busy").squeeze()
    assert 0 < sum(good) < len(good)
    assert float(one.within_limits) == pytest.approx(sum(good) / len(good))
    assert float(one.goodput) == pytest.approx(float(one.served_rate) * sum(good) / len(good))


def test_goodput_without_its_table_is_not_known(tmp_path):
    path = tmp_path / "x.requests.parquet"
    assert within(path, {"total_s": 1.0}) is None
    path.write_text("half a file")
    assert within(path, {"total_s": 1.0}) is None
    done = {0: Completion(5, 1, 1.0, ""), 1: Completion(5, 2, 3.0, "")}
    table.write(path, table.rows([Request("x", 2)] * 3, done))
    assert within(path, {"total_s": 2.0}) == 1
    assert within(path, {"first_token_s": 2.0}) is None  # which the engine does not say


def test_the_latency_that_is_weighed_is_the_95th_percentile_of_a_replay(replays):
    energy = replays.tree["energy"].to_dataset()
    plain = (energy.duration / energy.tokens_written).mean("session")
    weighed = objective(replays.tree, plain, {"quantization": "full"})
    group = replays.tree["replay"].latency.sel(percentile=95, drop=True).mean("session")
    assert weighed.transpose(*group.dims).values.tolist() == group.values.tolist()
    # a replay does not compare with a batch: between workloads it is time per token
    assert objective(replays.tree, plain, {"workload": "calm"}) is plain
    unfinished = replays.tree.copy(deep=True)
    unfinished["replay"].latency[:] = np.nan
    assert np.isinf(objective(unfinished, plain, {"quantization": "full"})).all()


def test_the_report_shows_latencies_and_what_a_request_costs(replays):
    frame = report.rate_frame(replays.tree)
    assert set(frame.line) == {"full", "compressed"}
    assert set(frame.percentile) == {"p50", "p95", "p99"}
    drawn = report.chart(frame, 600).to_dict()
    above, below = drawn["vconcat"]
    assert above["encoding"]["y"]["field"] == "latency"
    assert below["encoding"]["y"]["field"] == "energy_per_request"
    keys = {column.key for column in report.columns_of(replays.tree)}
    assert {"latency_p95", "first_token_p50", "queueing_p95", "goodput"} <= keys
    index = pd.DataFrame([dict.fromkeys(CELL_AXES, "")]).assign(
        model="llama-7b",
        training="none",
        pruning="none",
        quantization="compressed",
        hardware="setup-1",
        engine="transformers",
        workload="busy",
    )
    shown = report.with_latencies(replays.tree, index)
    assert 1.0 <= shown.latency_p50.item() < shown.latency_p95.item()


def over_hours(*kwh):
    """A replay of some cells in bins of half an hour."""
    halves = np.repeat(np.array(kwh, "f8") * 3.6e6, 2, axis=-1) / 2
    dims = (*CELL_AXES, "session", "bin")
    shape = (1, 1, 1, len(kwh), 1, 1, 1, 1, halves.shape[-1])
    joules = halves.reshape(shape)
    begins = np.broadcast_to(np.arange(shape[-1]) * 1800.0, shape)
    return xr.Dataset(
        {
            "bin_start": (dims, np.where(np.isnan(joules), np.nan, begins)),
            "bin_energy": ((*dims, "component"), np.stack([joules * 0.75, joules * 0.25], -1)),
        },
        coords={"hardware": ["here"]},
    )


def test_emissions_are_energy_of_an_hour_times_its_intensity(tmp_path):
    """2 kWh and then 1 kWh, worked out by hand: at 100, 400 and 200 g/kWh it emits 2·100 + 400 or
    2·400 + 200 g, times the PUE. Another cell took one hour, a third was not measured.
    """
    path = tmp_path / "s.csv"
    hours = [f"2024-01-01T0{n}:00:00Z,{grams}" for n, grams in enumerate((100, 400, 200))]
    path.write_text("\n".join(["time,g/kWh", *hours]))
    replay = over_hours([2, 1], [3, 0], [np.nan, np.nan])
    tree = xr.DataTree.from_dict({"/replay": replay})
    zones = {"DE": {"series": {"path": str(path)}, "basis": "direct"}, "BE": {}}
    found = hourly.account(tree, zones, {"here": 1.5}, tmp_path).emissions
    assert found.zone.values.tolist() == ["DE"]
    assert found.begin.values.tolist() == ["mean", "best", "worst"]
    assert found.dims == (*CELL_AXES, "zone", "begin")
    first, second, third = found.values.reshape(3, 3)
    assert first == pytest.approx([1200, 900, 1500])
    assert second == pytest.approx([1125, 450, 1800])
    assert np.isnan(third).all()


@pytest.mark.parametrize(
    ("duration_s", "seconds", "hours"),
    [
        (1500, 1500.2, 1),
        (3600, 3600.4, 1),
        (3600, 3641.0, 2),
        (9000, 9000.0, 3),
        (7200, 11000.0, 4),
    ],
)
def test_the_hours_of_a_replay_add_up_to_all_of_its_energy(duration_s, seconds, hours):
    """Shorter and longer than an hour, with what is drained behind; bins of 7 s fit no hour."""
    edges = [0.0, *np.arange(7.0, seconds - 1, 7.0), seconds]
    joules = np.random.default_rng(0).uniform(100, 900, (len(edges) - 1, 3))
    summary = latency.summary(
        [Request("x", 2)], {0: Completion(5, 2, 1.0, "")}, duration_s, seconds
    )
    bins = [
        {"start_s": begin, "seconds": end - begin, "energy_j": dict(zip(WATTS, each, strict=True))}
        for (begin, end), each in zip(pairwise(edges), joules, strict=True)
    ]
    more = {"energy_per_request_j": 1.0, "drain_energy_j": dict.fromkeys(WATTS, 0.0)}
    text = json.dumps({**summary, **more, "disturbed_share": 0.0, "bins": bins})
    axes = {**{axis: ["x"] for axis in CELL_AXES}, "session": [1]}
    group = Replays(axes, {"x": ENTRY})
    cell = Cell(*["x"] * len(CELL_AXES))
    group.add(cell, 1, Decoder(recorded.Replay).decode(text), Path("nowhere"))
    found = hourly.by_hour(group.dataset())
    assert found.sizes["elapsed"] == hours
    assert found.values.sum() == pytest.approx(joules.sum())
    assert (found.squeeze() > 0).all()


def test_a_series_that_is_shorter_than_the_replay_says_nothing(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("time,g/kWh\n2024-01-01T00:00:00Z,1\n2024-01-01T01:00:00Z,1\n")
    tree = xr.DataTree.from_dict({"/replay": over_hours([1, 1, 1])})
    zones = {"DE": {"series": {"path": str(path)}, "basis": "direct"}}
    assert hourly.account(tree, zones, {"here": 1.0}, tmp_path).emissions.isnull().all()
    assert not hourly.account(xr.DataTree(), zones, {"here": 1.0}, tmp_path)
    assert not hourly.account(tree, {"BE": {}}, {"here": 1.0}, tmp_path)


# ---------------------------------------------------------------- keeping house
@pytest.mark.parametrize(
    ("given", "asked"), [(None, 280), (60, 280), ("4h", 280), ("4h40m", "4h40m"), ("1d", "1d")]
)
def test_a_job_asks_for_the_time_that_the_longest_replay_needs(study_data, tmp_path, given, asked):
    """Four hours, ten minutes to finish what arrived, half an hour for the rest."""
    found = asking(study_data, interval_s=6)
    path = tmp_path / "site.yaml"
    runtime = {} if given is None else {"runtime": given}
    site = {"hardware": {label: {"mem_mb": 1, **runtime} for label in ("here", "there")}}
    path.write_text(json.dumps(site))
    assert sites.load(str(path), found).hardware("here")["runtime"] == asked


def test_a_study_without_replays_asks_for_what_its_site_says(study_data, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps({"hardware": {"here": {"runtime": 10}, "there": {}}}))
    found = sites.load(str(path), study.from_data(study_data, "s.yaml"))
    assert found.hardware("here") == {"runtime": 10}
    assert found.hardware("there") == {}


def test_what_lies_beside_a_record_is_listed_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(unused, "ROOT", tmp_path)
    folder = tmp_path / "results/energy/a/1"
    folder.mkdir(parents=True)
    names = {f"{'0' * 16}{end}" for end in (".json", ".requests.parquet", ".samples.gz")}
    names |= {f"{'f' * 16}.disturbed.json", f"{'f' * 16}.requests.parquet"}  # without its record
    for name in (*names, "notes.txt"):
        (folder / name).write_text("x")
    assert {each.path.name for each in unused.unused([], "results")} == names


def test_a_record_that_is_taken_over_keeps_its_requests(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    duplicate_beside(old, new)
    assert list(tmp_path.iterdir()) == []
    table.write(old.with_suffix(REQUESTS), table.rows(ASKED, FOUND))
    duplicate_beside(old, new)
    duplicate_beside(old, new)  # taken back by deleting new.json alone, and taken over again
    old.with_suffix(REQUESTS).unlink()
    assert within(new.with_suffix(REQUESTS), {"total_s": 4.0}) == 1

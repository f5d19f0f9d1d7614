"""A replay as a job runs it: the window, its bins of time, its requests, and what ends it."""

import re
import signal
import time
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers import serving
from joulegrid.engines import Completion, Request, transformers
from joulegrid.errors import Disturbed, InputError, OutOfMemory, Terminated
from joulegrid.jobs import outcomes
from joulegrid.jobs import requests as table
from joulegrid.jobs.run import terminable
from joulegrid.metering import bins, latency, open_loop, session
from joulegrid.metering.meter import Meter
from joulegrid.metering.points import Measured
from joulegrid.metering.replay import Recording
from joulegrid.metering.samples import Equipment, Host, Sample, Zone
from joulegrid.workloads import Point, arrivals

PROTOCOL = {"disturbed": "accept"}
CAST = {"method": "cast", "dtype": "float32"}
ENGINE = {"method": "transformers", "batch_size": 2}
WORKLOAD = {"duration_s": 0.4, "drain_s": 60, "bin_s": 60}
# Of replays that are longer in draining than that, on however fast a machine
SHORT_DRAIN_S = 0.2


class Server:
    """An engine that takes some seconds for each request, one at a time."""

    def __init__(self, seconds):
        self.seconds = seconds

    def begun(self):
        return {}

    def run(self, requests, at_once=None, report=None):
        began, done = time.perf_counter(), []
        for number, request in enumerate(requests):
            time.sleep(max(request.arrival_s - (time.perf_counter() - began), 0.0))
            started = time.perf_counter() - began
            time.sleep(self.seconds)
            now = time.perf_counter() - began
            done.append(Completion(3, 2, now, "", first_token_s=now, started_s=started))
            report({number: done[-1]})
        return done


def measured(engine, requests, protocol=PROTOCOL, **workload):
    """A replay, and the window of it."""
    replay, point = open_loop.Replay(requests), Measured(Point(tuple(requests)))
    spec = {"workload": WORKLOAD | workload, "protocol": protocol}
    meter = Meter("machine", {"device": "cpu"})
    open_loop.measure(replay, point, engine, meter, spec)
    return replay, point.windows[0]


def every(interval_s, count):
    return [Request("x", 2, arrival_s=n * interval_s) for n in range(count)]


@pytest.mark.alone
def test_idling_between_requests_is_part_of_the_window():
    replay, window = measured(Server(0.01), every(0.1, 3), duration_s=2)
    assert 2 <= window["seconds"] < 30, "nothing is left to wait for"
    assert (window["runs"], window["tokens_read"], window["tokens_written"]) == (1, 9, 6)
    facts = replay.facts
    assert (facts["finished"], facts["unfinished"], facts["backlog"]) == (3, 0, 0)
    assert facts["utilisation"] < 0.5
    assert facts["energy_per_request_j"] == pytest.approx(sum(window["energy_j"].values()) / 3)
    assert sum(part["seconds"] for part in facts["bins"]) == pytest.approx(window["seconds"])


@pytest.mark.alone
def test_a_rate_that_the_machine_cannot_serve_is_recorded_and_given_up():
    """Ten requests at once of 0.1 s each: six fit before 0.6 s are over."""
    replay, window = measured(Server(0.1), every(0.0, 10), drain_s=SHORT_DRAIN_S)
    facts = replay.facts
    assert replay.overdue
    assert window["seconds"] >= 0.6
    assert facts["finished"] + facts["unfinished"] == facts["arrived"] == 10
    assert 4 <= facts["unfinished"] < 10
    assert facts["total_s"]["p95"] is None
    assert facts["backlog"] >= facts["unfinished"]
    assert len(latency.fell_behind(facts)) == 2


@pytest.mark.parametrize(("batch", "overdue"), [(4, False), (3, True)])
def test_a_batch_that_ends_late_is_kept_as_a_whole(batch, overdue):
    """All of a static batch end at one time, after the last second of the replay."""

    class Batches(Server):
        def run(self, requests, at_once=None, report=None):
            time.sleep(0.7)
            found = {n: Completion(3, 2, 0.7, "", 0.1, 0.0) for n in range(batch)}
            report(found)
            return list(found.values())

    replay, window = measured(Batches(0), every(0.0, 4), drain_s=SHORT_DRAIN_S)
    assert sorted(replay.found) == list(range(batch))
    assert (window["requests"], replay.facts["unfinished"]) == (batch, 4 - batch)
    assert replay.overdue is overdue
    (said,) = latency.late(replay.facts, SHORT_DRAIN_S)
    assert re.match(r"draining took [\d.]+ s, longer than drain_s \(0\.2 s\)", said)
    assert float(said.split()[2]) >= 0.3
    assert latency.late(replay.facts, 60.0) == []


def test_nothing_finished_is_an_error():
    requests = [Request("x", 2, arrival_s=0.0)]

    class Mute(Server):
        def run(self, requests, at_once=None, report=None):
            time.sleep(0.01)
            return []

    with pytest.raises(InputError, match=r"none of 1 requests was finished within \d+ s"):
        measured(Mute(0), requests)


def test_sigterm_keeps_what_was_done():
    class Dying(Server):
        def run(self, requests, at_once=None, report=None):
            super().run(requests[:2], at_once, report)
            signal.raise_signal(signal.SIGTERM)

    told = r"ended by SIGTERM after \d+ of 0\.4 s"
    with terminable(), pytest.raises(Disturbed, match=told) as end:
        measured(Dying(0.01), every(0.05, 5))
    assert "2 of 5 requests were finished; the next run tries again" in str(end.value)
    assert end.value.windows[0]["tokens_written"] == 4
    assert end.value.facts["replay"]["finished"] == 2


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            InputError("vLLM failed while running: EngineDeadError\nthe log ends with\nKilled"),
            Disturbed,
            r"failed after \d+ of 30 s: 2 of 5 requests were finished; .* again: vLLM failed",
        ),
        (
            OutOfMemory("vLLM: CUDA out of memory", is_last=True),
            OutOfMemory,
            r"^vLLM: CUDA out of memory \(after \d+ of 30 s: 2 of 5 requests were finished\)$",
        ),
        (KeyError("7"), Disturbed, "tries again: '7'"),
    ],
)
def test_an_engine_that_dies_leaves_what_was_measured_until_then(error, kind, message, capsys):
    class Dying(Server):
        def run(self, requests, at_once=None, report=None):
            super().run(requests[:2], at_once, report)
            raise error

        def begun(self):
            return {1: 0.02, 2: 0.04}

    with pytest.raises(kind, match=message) as end:
        measured(Dying(0.02), every(0.01, 5), duration_s=30)
    found = end.value
    if kind is OutOfMemory:
        record = outcomes.finding(found)
        assert (record["status"], record["reason"]) == ("oom", str(found))
        windows, facts = record["kept"]["windows"], record["kept"]["replay"]
    else:
        windows, facts = found.windows, found.facts["replay"]
    (window,) = windows
    assert (window["tokens_written"], facts["finished"], facts["in_progress"]) == (4, 2, 1)
    assert window["seconds"] > 0.03
    assert sum(window["energy_j"].values()) > 0
    assert ("Traceback" in capsys.readouterr().err) == isinstance(error, KeyError)


def test_sigterm_waits_until_what_was_measured_is_worked_out(monkeypatch):
    real = bins.split

    def split(*given):
        signal.raise_signal(signal.SIGTERM)
        return real(*given)

    monkeypatch.setattr(bins, "split", split)
    requests = every(0.1, 2)
    replay, point = open_loop.Replay(requests), Measured(Point(tuple(requests)))
    meter = Meter("machine", {"device": "cpu"})
    spec = {"workload": WORKLOAD, "protocol": PROTOCOL}
    with terminable(), pytest.raises(Terminated):
        open_loop.measure(replay, point, Server(0.01), meter, spec)
    assert replay.counts
    assert replay.facts["finished"] == 2
    assert point.windows[0]["seconds"] >= 0.4


# ---------------------------------------------------------------- a model
@pytest.fixture(autouse=True)
def _no_reference(monkeypatch):
    """What takes seconds on a busy machine and is no matter here."""
    monkeypatch.setattr(session, "reference_seconds", lambda: 1.0)


def spec_of(**workload):
    """A session of the tiny model, two requests at a time."""
    return {
        "quantization": CAST,
        "hardware": {"device": "cpu", "threads": 1},
        "engine": ENGINE,
        "workload": {
            "method": "replay",
            "prompts": {"path": "config/prompts/questions.jsonl"},
            "duration_s": 2.5,
            "drain_s": 600,
            "bin_s": 1,
            "new_tokens": 8,
            "stop": "natural",
            "chat": False,
            **workload,
        },
        "protocol": {"idle_seconds": 0, "tracking": "machine", "disturbed": "accept", "seed": 0},
    }


def test_a_model_that_keeps_up(tiny, tmp_path):
    path = tmp_path / "x.requests.parquet"
    record = session.measure(spec_of(rate_per_s=3), tiny, requests=path)
    facts, (window,) = record["replay"], record["windows"]
    found = pq.read_table(path)
    arrival, done, first, begun = (
        found[name].to_numpy() for name in ("arrival_s", "done_s", "first_token_s", "started_s")
    )
    assert arrival.tolist() == arrivals.poisson(3, 2.5, 0)
    assert (arrival <= begun).all()
    assert (begun < first).all()
    assert (first < done).all()
    assert facts["finished"] == len(arrival)
    for kind, values in {"total_s": done - arrival, "queueing_s": begun - arrival}.items():
        expected = np.percentile(values, [50, 95, 99])
        assert list(facts[kind].values()) == pytest.approx(expected), kind
    assert window["seconds"] >= 2.5
    assert window["tokens_written"] == sum(found["tokens_written"].to_pylist())
    assert window["padding"] == sum(found["padding"].to_pylist())
    assert len(facts["bins"]) >= 2, "draining may take more"
    (point,) = record["points"]
    assert point["new_tokens"] == 8
    assert point["lengths"]["tokens_read"] == found["tokens_read"].to_pylist()


def test_requests_of_an_earlier_try_are_gone_where_its_own_are_not_kept(
    tiny, tmp_path, monkeypatch
):
    """They would be read as those of the record."""

    def fails(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.requests.parquet"
    table.write(path, table.rows([Request("of an earlier try", 3)], {}))
    monkeypatch.setattr(pq, "write_table", fails)
    record = session.measure(spec_of(rate_per_s=3), tiny, requests=path)
    assert "x.requests.parquet is not kept: No space left on device" in record["warnings"]
    assert not path.exists()


def test_a_model_that_falls_behind(tiny, tmp_path, monkeypatch):
    """Two requests take 50 ms at least, on however fast a machine; ten times as many come."""
    path, real = tmp_path / "x.requests.parquet", transformers.generate

    def generate(*arguments):
        time.sleep(0.05)
        return real(*arguments)

    monkeypatch.setattr(transformers, "generate", generate)
    spec = spec_of(rate_per_s=400, duration_s=1, drain_s=0)
    record = session.measure(spec, tiny, requests=path)
    facts = record["replay"]
    assert facts["unfinished"] > facts["finished"] > 0
    assert facts["arrived"] == facts["finished"] + facts["unfinished"]
    assert facts["total_s"]["p95"] is None
    assert any("fell behind" in text for text in record["warnings"])
    assert record["idle"]["end"] is None
    done = pq.read_table(path)["done_s"]
    assert len(done) - done.null_count == facts["finished"]
    assert facts["in_progress"] + facts["waiting"] == facts["backlog"]
    finished = done.drop_null().to_pylist()
    assert finished.count(max(finished)) == 2, "all of the batch that came too late"


def test_a_model_that_is_killed_in_between(tiny, tmp_path, monkeypatch):
    """SIGTERM comes with the third request; what two had done is there."""
    path, real, left = tmp_path / "x.requests.parquet", transformers.generate, [3]

    def generate(*arguments):
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(transformers, "generate", generate)
    monkeypatch.setattr(open_loop, "warm", lambda *_: [])
    spec = {**spec_of(rate_per_s=4, arrivals="constant"), "engine": {**ENGINE, "batch_size": 1}}
    with pytest.raises(
        Disturbed, match=r"2 of 10 requests were finished; the next run tries again"
    ):
        session.measure(spec, tiny, requests=path)
    found = pq.read_table(path)
    assert found["done_s"].null_count == 8
    assert found["started_s"].null_count == 7, "the third had begun"


def test_nothing_is_tokenized_in_the_window(tiny, tmp_path, monkeypatch, capsys):
    before, during = serving.said_before_and_during(
        transformers, tiny, CAST, ENGINE, tmp_path, monkeypatch, capsys
    )
    assert before.count("tokenizing") == 2  # a prompt that arrives again is the same
    assert "tokenizing" not in during


# ---------------------------------------------------------------- bins of time
def recorded(watts, busy=None):
    """A meter and a sample each second of a package that takes so many W, and of the share of its
    one CPU that others used.
    """
    joules = np.cumsum([0, *watts])
    foreign = np.cumsum([0.0, *(busy or [0.0] * len(watts))])
    stream = [
        # no host stands still: this job takes a thousandth of the CPU
        Sample(
            float(t),
            Host(foreign[t] + t / 1000, foreign[t] + t / 1000, t / 1000),
            {"package-0": int(j * 1e6)},
        )
        for t, j in enumerate(joules)
    ]
    equipment = Equipment(1, 1, {"package-0": Zone("package", 2**60)})
    return Meter("machine", {"device": "cpu"}, Recording(equipment, stream)), stream


def test_energy_by_bins_is_all_of_it():
    meter, stream = recorded([10.0] * 60 + [30.0] * 60 + [20.0] * 30)
    found = bins.split(meter, stream, 140.0, 60.0)
    assert [part["start_s"] for part in found] == [0.0, 60.0, 120.0, 140.0]
    assert [part["energy_j"]["cpu"] for part in found] == [600.0, 1800.0, 400.0, 200.0]
    assert (
        sum(part["energy_j"]["cpu"] for part in found) == meter.reading(stream, {}).energy_j["cpu"]
    )
    assert bins.disturbed_share(found) == 0


def test_a_rest_that_counters_cannot_tell_belongs_to_the_bin_before():
    meter, stream = recorded([10.0] * 62)
    late = replace(stream[-1], t_s=60.4)
    assert bins.edges(60.4, 60.0, 30.0) == [0.0, 30.0, 60.4]
    found = bins.split(meter, [*stream[:61], late], 60.0, 30.0)
    assert [part["seconds"] for part in found] == [30.0, pytest.approx(30.4)]


def test_bins_of_a_replay_that_was_ended_reach_to_its_end():
    assert bins.edges(45.0, 14400.0, 20.0) == [0.0, 20.0, 40.0, 45.0]


def sampled(seconds, phase):
    """A sample each second from `phase` on, and at both ends: 10 W for an hour, then 30 W."""
    times = sorted({0.0, *np.arange(phase, seconds, 1.0).tolist(), seconds})
    equipment = Equipment(1, 1, {"package-0": Zone("package", 2**60)})
    counted = [round(1e6 * (10 * t + 20 * max(t - 3600, 0))) for t in times]
    stream = [
        Sample(5.0 + t, Host(0.0, 0.0, 0.0), {"package-0": uj})
        for t, uj in zip(times, counted, strict=True)
    ]
    return Meter("machine", {"device": "cpu"}, Recording(equipment, stream)), stream


@pytest.mark.parametrize("phase", [0.3, 0.7])
def test_bins_and_drain_are_where_they_should_be_however_samples_lie(phase):
    """Between two samples a counter is taken to rise evenly: off by a second of 20 W at most."""
    meter, stream = sampled(3612.0, phase)
    found = bins.split(meter, stream, 3600.0, 900.0)
    assert [part["start_s"] for part in found] == [0.0, 900.0, 1800.0, 2700.0, 3600.0]
    assert [part["energy_j"]["cpu"] for part in found[:3]] == pytest.approx([9000.0] * 3)
    drain_j = bins.behind(found, 3600.0)["cpu"]
    assert drain_j == pytest.approx(12 * 30, abs=10)
    assert drain_j == found[-1]["energy_j"]["cpu"]
    whole = meter.reading(stream, {}).energy_j["cpu"]
    assert sum(part["energy_j"]["cpu"] for part in found) == pytest.approx(whole)


def test_a_drain_that_is_too_short_for_a_bin_has_its_share_of_the_last():
    meter, stream = sampled(3600.5, 0.3)
    found = bins.split(meter, stream, 3600.0, 900.0)
    assert [part["start_s"] for part in found] == [0.0, 900.0, 1800.0, 2700.0]
    last = found[-1]["energy_j"]["cpu"]
    assert bins.behind(found, 3600.0)["cpu"] == pytest.approx(last * 0.5 / 900.5)


@pytest.mark.parametrize(("minutes", "counts"), [(1, True), (2, False)])
def test_a_long_replay_counts_with_a_few_disturbed_minutes(minutes, counts):
    """Half an hour; 5 % of it may be disturbed."""
    busy = [0.0] * 600 + [0.5] * 60 * minutes + [0.0] * (1200 - 60 * minutes)
    meter, stream = recorded([10.0] * 1800, busy)
    found = bins.split(meter, stream, 1800.0, 60.0)
    assert sum("disturbed" in part for part in found) == minutes
    assert bins.disturbed_share(found) == pytest.approx(minutes / 30)
    reasons = bins.disturbances(found)
    if counts:
        assert reasons == []
    else:
        assert reasons == [
            "7% of the time was disturbed, such as: other processes used 50% of the CPUs"
        ]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_disturbed_replay_counts_where_that_is_accepted(monkeypatch, accepted):
    monkeypatch.setattr(bins, "disturbances", lambda parts: ["a busy neighbour"])
    protocol = {"disturbed": "accept" if accepted else "refuse"}
    if accepted:
        _, window = measured(Server(0.01), every(0.1, 2), protocol)
        assert window["counts"]
        assert window["disturbed"] == ["a busy neighbour"]
    else:
        with pytest.raises(Disturbed, match="the machine was disturbed: a busy neighbour") as end:
            measured(Server(0.01), every(0.1, 2), protocol)
        assert end.value.facts["replay"]["finished"] == 2


# ---------------------------------------------------------------- requests
def test_requests_are_kept_without_their_texts(tmp_path):
    done = {1: Completion(5, 3, 2.0, "secret", 1.5, None, padding=2)}
    path = tmp_path / "x.requests.parquet"
    table.write(path, table.rows([Request("secret", 3), Request("secret", 3, arrival_s=1.0)], done))
    found = pq.read_table(path)
    assert found.column_names == list(table.COLUMNS)
    assert found.to_pylist()[0] == {**dict.fromkeys(table.COLUMNS), "request": 0, "arrival_s": 0.0}
    assert found.to_pylist()[1] == {
        "request": 1,
        "arrival_s": 1.0,
        "started_s": None,
        "first_token_s": 1.5,
        "done_s": 2.0,
        "tokens_read": 5,
        "tokens_written": 3,
        "padding": 2,
    }
    assert b"secret" not in path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["x.requests.parquet"]


def test_requests_that_cannot_be_written_leave_nothing_half(tmp_path, monkeypatch):
    def fails(_, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fails)
    with pytest.raises(OSError, match="No space"):
        table.write(tmp_path / "x.requests.parquet", [])
    assert not list(tmp_path.iterdir())

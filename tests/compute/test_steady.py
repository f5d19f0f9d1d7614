"""A closed loop is measured only while its batch is full: which time that is, what lies in it, and
its energy out of samples of counters.
"""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from joulegrid.engines import Completion, Request
from joulegrid.metering import energy, session
from joulegrid.metering.closed_loop import ClosedLoop, counted_in
from joulegrid.metering.cut import cut
from joulegrid.metering.meter import Meter
from joulegrid.metering.replay import Recording
from joulegrid.metering.samples import Board, Equipment, Gpu, Host, Sample, Zone
from joulegrid.workloads import Point, steady

DATA = Path(__file__).resolve().parents[1] / "data/samples"
PROMPTS = {"path": "config/prompts/questions.jsonl"}
SPEC = {
    "quantization": {"method": "cast", "dtype": "float32"},
    "hardware": {"device": "cpu", "threads": 1},
    "engine": {"method": "transformers", "batch_size": 2},
    "workload": {
        "method": "steady",
        "prompts": PROMPTS,
        "count": 3,
        "concurrency": 2,
        "new_tokens": 6,
        "stop": "fixed",
        "chat": False,
    },
    "protocol": {
        "min_seconds": 0.1,
        "precision": 0.9,
        "max_windows": 3,
        "idle_seconds": 0,
        "tracking": "machine",
        "disturbed": "accept",
        "phases": True,
        "seed": 0,
    },
    "session": 1,
}
STEP_S = 0.01


def served(lengths, at_once):
    """Continuous batching in steps of 10 ms, each a token of all that run; the completions, and the
    time of every token.
    """
    waiting, running, done, tokens = list(enumerate(lengths)), {}, {}, []
    now = 0.0
    while waiting or running:
        while waiting and len(running) < at_once:
            number, left = waiting.pop(0)
            running[number] = [left, now, None]
        now += STEP_S
        for number, state in list(running.items()):
            state[0] -= 1
            state[2] = state[2] or now
            tokens.append(now)
            if state[0] == 0:
                _, started, first = running.pop(number)
                done[number] = Completion(7, lengths[number], now, "", first, started)
    return [done[number] for number in range(len(lengths))], np.array(tokens)


class Serving:
    """An engine that plays `served`."""

    def __init__(self, lengths):
        self.lengths = lengths

    def run(self, requests, at_once, report):
        completions, _ = served(self.lengths[: len(requests)], at_once)
        for number, completion in enumerate(completions):
            report({number: completion})
        return completions


def test_the_batch_is_full_from_the_first_tokens_until_the_last_requests_wait_for_none():
    lengths = np.random.default_rng(0).integers(1, 40, 60).tolist()
    loop = ClosedLoop(Serving(lengths), Point((Request("", 40),), at_once=8, steady=True), 60)
    loop.count = 60
    completions, tokens = served(lengths, 8)
    loop()
    begin_s, end_s = loop.full()
    # ML.ENERGY: 8 requests have their first token; 60 - 8 - 1 have finished
    assert sum(c.first_token_s <= begin_s for c in completions) >= 8
    assert sum(c.done_s <= end_s + 1e-9 for c in completions) >= 51
    assert sum(c.done_s < end_s - 1e-9 for c in completions) < 51
    for instant in np.arange(begin_s + STEP_S / 2, end_s, STEP_S):
        assert sum(c.started_s <= instant < c.done_s for c in completions) == 8
    counted = counted_in(completions, begin_s + STEP_S / 2, end_s + STEP_S / 2)
    exact = ((tokens > begin_s + STEP_S / 2) & (tokens <= end_s + STEP_S / 2)).sum()
    assert counted["tokens_written"] == exact == 8 * round((end_s - begin_s) / STEP_S)
    assert counted["tokens_read"] % 7 == 0
    assert (
        counted["requests"]
        == counted["runs"]
        == sum(begin_s + STEP_S / 2 < c.done_s <= end_s + STEP_S / 2 for c in completions)
    )


def test_an_engine_that_says_no_first_token_is_taken_at_its_word_for_the_rest():
    done = [Completion(5, 4, 2.0, "", started_s=0.0, padding=3)]
    assert counted_in(done, 0.0, 0.5)["tokens_written"] == 1
    assert counted_in(done, 0.5, 2.0)["tokens_written"] == 3
    assert counted_in(done, 0.5, 2.0)["tokens_read"] == 0
    assert counted_in(done, 0.4, 0.5) == {
        "runs": 0,
        "requests": 0,
        "tokens_read": 5,
        "tokens_written": 1,
        "padding": 0,
    }
    assert counted_in(done, 0.5, 2.0)["padding"] == 3


@pytest.fixture(scope="module")
def recording():
    return Recording.of(DATA / "a100_step.samples.gz")


def test_parts_of_a_recording_add_up_to_the_whole(recording):
    """Between any instants, of the power of a real A100 over its step of load."""
    stream, equipment = recording.samples, recording.equipment
    (uuid,) = equipment.gpus
    ends = np.linspace(stream[0].t_s, stream[-1].t_s, 8)
    ends[1:-1] += 0.0037  # between two samples
    parts = [
        energy.gpu_j(uuid, equipment, cut(equipment, stream, *pair)).energy_j
        for pair in pairwise(ends)
    ]
    whole = energy.gpu_j(uuid, equipment, stream).energy_j
    assert sum(parts) == pytest.approx(whole, rel=1e-9)
    assert max(parts) > 3 * min(parts)


def test_counters_between_samples_wrap_as_they_do():
    """100 W of a package whose counter starts again, 250 W of a GPU, one CPU of two busy."""

    def sample(t):
        counted = (1_800_000_000 + round(100 * t * 1e6)) % (2_000_000_000 + 1)
        fresh = t - t % 1  # quick samples repeat what they knew of the host
        host = Host(fresh, 2 * fresh, fresh, memory_stall_s=0.0, throttles=0, mhz=2000.0)
        return Sample(t, host, {"p": counted}, {"g": Gpu(round(250e3 * t), 250.0)})

    equipment = Equipment(2, 2, {"p": Zone("package", 2_000_000_000)}, {"g": Board(300.0, True)})
    stream = [sample(t / 10) for t in range(61)]
    part = cut(equipment, stream, 1.234, 4.567)
    assert (part[0].t_s, part[-1].t_s) == (1.234, 4.567)
    assert all(1.234 < s.t_s < 4.567 for s in part[1:-1])
    assert len(part) == 2 + 33
    assert energy.zones_j(equipment, part)["p"] == pytest.approx(333.3, abs=1e-5)
    assert energy.gpu_j("g", equipment, part).energy_j == pytest.approx(833.25, abs=2e-3)
    assert energy.gpu_j("g", equipment, part).power_j == pytest.approx(833.25)
    assert part[-1].host.busy_s - part[0].host.busy_s == pytest.approx(3.333)
    assert part[0].host.mhz == 2000.0


class Metered:
    """A machine that takes 200 W between two instants and 20 W else."""

    equipment = Equipment(1, 1, {"p": Zone("package", 10**15)})

    def __init__(self):
        self.full = [np.inf, np.inf]

    def joules(self, now):
        begin, end = self.full
        return 20 * now + 180 * max(0.0, min(now, end) - begin)

    def read(self, quick=False):
        now = time.monotonic()
        return Sample(now, Host(now, now, now), {"p": round(1e6 * self.joules(now))})


@pytest.mark.alone
def test_the_energy_of_a_part_is_that_of_its_time():
    machine = Metered()
    meter = Meter("machine", {"device": "cpu", "ram_power_w": 10}, machine)

    def work():
        time.sleep(0.25)
        begin = machine.full[0] = time.monotonic()
        time.sleep(0.6)
        end = machine.full[1] = time.monotonic()
        time.sleep(0.25)
        return begin, end

    reading = meter.measure_part(work)
    begin, end = machine.full
    assert reading.seconds == pytest.approx(end - begin)
    # samples are joined by lines, which lie off by a quarter of what the power changes by at most
    times = [sample.t_s for sample in meter.recorded]
    gaps = [b - a for a, b in pairwise(times) if a <= begin <= b or a <= end <= b]
    off = 180 / 4 * sum(gaps) + 0.1
    assert reading.energy_j["cpu"] == pytest.approx(200 * reading.seconds, abs=off)
    assert reading.energy_j["ram"] == pytest.approx(10 * reading.seconds)
    assert reading.codecarbon_j is None


def test_a_steady_session(tiny):
    record = session.measure(SPEC, tiny)
    assert len(record["windows"]) >= 3
    assert "prefill_windows" not in record
    for window in record["windows"]:
        assert window["seconds"] >= 0.1
        assert window["codecarbon_j"] is None
        assert window["energy_j"]["cpu"] > 0
        assert window["requests"] == window["runs"] > 0
        # two at a time, six tokens each: of the first batch all but the first tokens
        assert window["tokens_written"] == 6 * window["requests"] - 2
    (point,) = record["points"]
    assert (point["at_once"], point["status"]) == (2, "ok")
    assert set(point["lengths"]["tokens_written"]) == {6}


def test_a_loop_that_is_full_too_briefly_is_made_longer(capsys):
    meter = Meter("machine", {"device": "cpu"}, Metered())

    class Waiting(Serving):
        def run(self, requests, at_once, report):
            completions, _ = served(self.lengths[: len(requests)], at_once)
            time.sleep(max(c.done_s for c in completions))
            report({0: completions[0]})
            return completions

    loop = ClosedLoop(Waiting([4] * 100), Point((Request("", 4),), at_once=2, steady=True))
    window = loop.window(meter, 0.2)
    assert window["seconds"] >= 0.2
    assert "more requests" in capsys.readouterr().out
    assert loop.count < 30


def test_points_of_a_steady_workload():
    entry = {**SPEC["workload"], "concurrency": [1, 4], "stop": "natural"}
    found = steady.points(entry, 0)
    assert [(p.at_once, p.new_tokens, p.steady) for p in found] == [(1, 6, True), (4, 6, True)]
    assert all(request.stops for point in found for request in point.requests)

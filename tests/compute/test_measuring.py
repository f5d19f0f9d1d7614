"""One energy cell, as a job runs it: the record, the checks before it, and the failures that are
findings.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from conftest import ROOT
from helpers import ending, tiny_model
from joulegrid.engines import Completion
from joulegrid.errors import Disturbed, InputError
from joulegrid.metering import (
    floor,
    plausibility,
    points,
    remarks,
    samples,
    session,
    windows,
)
from joulegrid.metering.meter import Meter, Reading
from joulegrid.metering.replay import Recording
from joulegrid.metering.samples import Board, Equipment, Gpu, Host, Sample
from joulegrid.records import identity
from joulegrid.workloads import batch, prompts

PROMPTS = {"path": "config/prompts/questions.jsonl"}
SPEC = {
    "quantization": {"method": "cast", "dtype": "float32"},
    "hardware": {"device": "cpu", "threads": 1},
    "engine": {"method": "transformers", "batch_size": 2},
    "workload": {"method": "batch", "prompts": PROMPTS, "count": 3, "new_tokens": 5, "chat": True},
    "protocol": {
        "min_seconds": 0.2,
        "precision": 0.5,
        "max_windows": 3,
        "idle_seconds": 0.2,
        "tracking": "machine",
        "disturbed": "accept",
        "phases": False,
        "seed": 0,
    },
    "session": 1,
}


def edited(**changes):
    return {**SPEC, **{key: {**SPEC[key], **value} for key, value in changes.items()}}


def test_what_fills_up_batches_is_counted_apart():
    done = [Completion(3, 4, 1.0, "", padding=2), Completion(5, 4, 1.0, "")]
    counted = {"runs": 1, "requests": 2, "tokens_read": 8, "tokens_written": 8, "padding": 2}
    assert windows.repeat(lambda: done, 0)() == counted


def test_the_record_of_a_session(script, tiny):
    code, log, record = script("measure_energy", SPEC, source=tiny)
    assert code == 0, log
    assert record["status"] == "ok"
    assert record["spec"] == SPEC
    assert record["id"] == identity(SPEC)
    assert record["elapsed_s"] > sum(window["seconds"] for window in record["windows"])
    assert record["kernels"] == {"Linear": 15}
    assert record["settings"] == {
        "attention": "sdpa",
        "cache": "dynamic",
        "compiled": "no",
        "threads": "1",
    }
    assert record["components"]["gpu"]["basis"] == "absent"
    assert record["components"]["cpu"]["basis"] in ("measured", "estimated", "guess")
    assert record["memory_bytes"]["ram"] > record["weights_bytes"] > 0
    counting = [w for w in record["windows"] if w.get("counts") or "disturbed" not in w]
    # twice as many where the machine was disturbed and all of them count
    assert 3 <= len(counting) <= 6
    assert record["reference_s"] > 0
    for when in ("before", "loaded", "end"):
        assert record["idle"][when]["power_w"]["cpu"] > 0
    for window in record["windows"]:
        assert window["seconds"] >= 0.2
        assert window["tokens_written"] == window["runs"] * 3 * 5
        assert window["energy_j"]["gpu"] == 0
        assert window["energy_j"]["cpu"] > 0
        assert set(window["codecarbon_j"]) == {"cpu", "gpu", "ram"}
    (point,) = record["points"]
    assert (point["prompt_tokens"], point["new_tokens"]) == (None, 5)
    assert point["lengths"]["tokens_written"] == [5, 5, 5]
    first, last = record["windows"][0], record["windows"][-1]
    assert sum(point["lengths"]["tokens_read"]) == first["tokens_read"] / first["runs"]
    assert first["tokens_read"] / first["runs"] == last["tokens_read"] / last["runs"]


def test_wattages_that_the_study_knows_are_used_and_said(script, tiny):
    spec = edited(hardware={"ram_power_w": 40, "cpu_power_w": 100})
    code, log, record = script("measure_energy", spec, source=tiny)
    assert code == 0, log
    assert record["components"]["ram"]["method"] == "40 W, given by the study"
    assert record["idle"]["loaded"]["power_w"]["ram"] == pytest.approx(40, rel=0.001)
    assert record["components"]["cpu"]["method"].startswith("100 W at full load, given by the")


def test_phases_tell_prefill_from_decode(script, tiny):
    spec = edited(protocol={"phases": True}, workload={"new_tokens": 20})
    code, log, record = script("measure_energy", spec, source=tiny)
    assert code == 0, log
    prefill = [w for w in record["prefill_windows"] if w.get("counts") or "disturbed" not in w]
    assert all(w["tokens_written"] == w["runs"] * 3 for w in prefill)
    per_run = [
        sum(w["seconds"] for w in found) / sum(w["runs"] for w in found)
        for found in (prefill, record["windows"])
    ]
    assert per_run[0] < per_run[1]


def _no_check(window):
    return None


def test_idle_power_that_drifts_is_said():
    def at(watts):
        return {"power_w": {"cpu": watts, "gpu": 0.0, "ram": 0.0}}

    assert remarks.idle_drift({"loaded": at(10.0), "end": at(10.5)}) == []
    assert remarks.idle_drift({"loaded": at(10.0), "end": None}) == []
    (text,) = remarks.idle_drift({"loaded": at(10.0), "end": at(12.0)})
    assert text == "idle power drifted from 10 W to 12 W during the session"


@pytest.mark.parametrize(
    ("seconds", "runs", "said"),
    [
        ([3.0, 2.0, 2.01], 3, False),
        ([1.0, 2.0] * 5, 10, False),
        ([42.0, 60.0] * 5, 4, True),  # a busy machine
        ([42.0, 60.0, 42.0, 42.0], 4, False),  # settled with the last run
        ([400.0, 401.0], 2, False),  # a slow one
        ([400.0, 300.0], 2, True),
    ],
)
def test_warming_up_ends_when_runs_settle_or_time_is_out(monkeypatch, seconds, runs, said):
    class Clock:
        """A time that runs with the engine only."""

        now, left = 0.0, list(seconds)

        def perf_counter(self):
            return self.now

        def run(self):
            self.now += self.left.pop(0)

    clock = Clock()
    monkeypatch.setattr(points, "time", clock)
    text = "the time of a run had not settled within 180 s of warming up"
    assert points.warm_up(clock.run)[1] == ([text] if said else [])
    assert len(seconds) - len(clock.left) == runs


def test_a_warm_up_that_does_not_end_is_in_the_record(tiny, monkeypatch):
    monkeypatch.setattr(points, "WARM_UP_S", 0.0)
    monkeypatch.setattr(points, "SETTLED", 0.0)
    record = session.measure(edited(protocol={"min_seconds": 0.01, "idle_seconds": 0}), tiny)
    assert "the time of a run had not settled within 0 s of warming up" in record["warnings"]


class Windows:
    """A meter and an engine at once: every window takes the next of some energies."""

    def __init__(self, *joules, disturbed=()):
        self.joules, self.disturbed, self.count = joules, disturbed, 0

    def measure(self, work):
        work()
        joules = self.joules[self.count % len(self.joules)]
        reasons = ["a busy neighbour"] if self.count in self.disturbed else []
        self.count += 1
        energy = {"cpu": joules, "gpu": 0.0, "ram": 0.0}
        return dict.fromkeys(windows.COUNTED, 10), Reading(1.0, energy, energy, reasons, 0.0, None)

    def run(self):
        return [Completion(1, 1, 0.0, "")]


def windows_of(meter, **protocol):
    chosen = {**SPEC["protocol"], "min_seconds": 0.0001, "max_windows": 5, **protocol}
    found = []
    windows.measure_windows(found, meter.run, meter, chosen, _no_check)
    windows.require_clean(found, chosen)
    return found


def test_windows_end_when_the_mean_is_known():
    assert len(windows_of(Windows(10.0, 10.1, 9.9), precision=0.05)) == 3
    assert len(windows_of(Windows(10.0, 20.0), precision=0.05)) == 5


def test_disturbed_windows_are_kept_marked_and_replaced():
    found = windows_of(Windows(10.0, disturbed={0, 2}), precision=0.05)
    assert ["disturbed" in window for window in found] == [True, False, True, False, False]
    assert len(windows.clean(found)) == 3


def test_a_session_that_stays_disturbed_is_refused_with_its_windows():
    with pytest.raises(Disturbed, match="a busy neighbour") as caught:
        windows_of(Windows(10.0, disturbed=range(100)), disturbed="refuse")
    assert len(caught.value.windows) == 10
    accepted = windows_of(Windows(10.0, disturbed=range(100)), disturbed="accept")
    assert all(window["counts"] for window in accepted)


def test_a_reading_that_cannot_be_right_never_counts():
    """Below the floor, above the limit, counter against power: also where disturbance is fine."""

    def wrong(window):
        return "a wrong reading" if window["energy_j"]["cpu"] < 1 else None

    def of(*joules, **protocol):
        chosen = {**SPEC["protocol"], "min_seconds": 0.0001, "max_windows": 3, **protocol}
        meter, found = Windows(*joules, disturbed=range(100)), []
        windows.measure_windows(found, meter.run, meter, chosen, wrong)
        windows.require_clean(found, chosen)
        return found

    found = of(10.0, 0.5, disturbed="accept")
    assert [window.get("counts", False) for window in found] == [True, False] * 3
    assert len(windows.clean(found)) == 3
    for joules in ([0.5], [10.0, 0.5, 0.5]):
        with pytest.raises(Disturbed, match="too few windows can count: a wrong reading") as caught:
            of(*joules, disturbed="accept")
        assert len(caught.value.windows) == 6
    with pytest.raises(Disturbed, match="disturbed: a busy neighbour; a wrong reading"):
        of(0.5, disturbed="refuse")


def test_idle_power_that_cannot_be_right_is_none_and_said():
    stream = [Sample(t * 0.4, Host(0, 0, 0), gpus={"a": Gpu(t * 14960, 65.4)}) for t in range(600)]
    equipment = Equipment(1, 1, gpus={"a": Board(300.0, True)})
    meter = Meter("machine", {"device": "cpu"}, Recording(equipment, stream))
    taken = session.Taken(meter=meter)
    assert session.measure_idle(taken, {"idle_seconds": 0.01}, "at the end") is None
    assert taken.warnings == [
        "no idle power at the end: a wrong reading: GPU a: integrated power differs from the "
        "counter by +75%"
    ]


@pytest.mark.parametrize(
    ("engine", "boards", "slept"),
    [
        (None, {"a": Board(300.0, True)}, [20]),
        ("loaded", {"a": Board(300.0, True)}, [session.SETTLE_S, 20]),
        ("loaded", {}, [20]),
    ],
)
def test_idle_power_of_gpus_that_have_worked_is_read_when_they_have_settled(
    monkeypatch, engine, boards, slept
):
    found = []
    monkeypatch.setattr(session.time, "sleep", found.append)
    stream = [
        Sample(n / 10, Host(0, 0, 0), gpus={uuid: Gpu(n * 6000, 60.0) for uuid in boards})
        for n in range(2)
    ]
    meter = Meter("machine", {"device": "cpu"}, Recording(Equipment(1, 1, gpus=boards), stream))
    taken = session.Taken(meter=meter, engine=engine)
    session.measure_idle(taken, {"idle_seconds": 20}, "at the end")
    assert [seconds for seconds in found if seconds in (session.SETTLE_S, 20)] == slept


def test_prefill_that_is_faster_than_reading_the_weights_is_refused(tiny, monkeypatch):
    """The tiny model's weights at 1 MB/s: each batch reads them once, also for one token."""
    recorded, board = [], Board(300.0, True)
    monkeypatch.setattr(Meter, "equipment", Equipment(1, 1, gpus={"GPU-a": board}))
    monkeypatch.setattr(plausibility, "visible_gpus", lambda: [{"name": "a board"}])
    monkeypatch.setattr(floor, "_bandwidth", lambda gpu: 1e6)
    real = windows.measure_windows

    def measure_windows(found, run, meter, protocol, check):
        recorded.append(check)
        real(found, run, meter, protocol, _no_check)

    monkeypatch.setattr(session, "measure_windows", measure_windows)
    record = session.measure(edited(protocol={"phases": True, "min_seconds": 0.01}), tiny)
    _, prefill = recorded
    step = 0.8 * record["weights_bytes"] / 1e6
    fast = {"runs": 1, "seconds": 1.9 * step, "energy_j": {"gpu": 1e9}}
    assert "a wrong reading" in prefill(fast)  # three prompts, two at a time: two batches
    assert prefill({**fast, "seconds": 2.1 * step}) is None


class Killed:
    """A function that SIGTERM hits when it is called the nth time."""

    def __init__(self, function, nth):
        self.function, self.left = function, nth

    def __call__(self, *arguments):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)
        return self.function(*arguments)


@pytest.fixture
def of_windows(monkeypatch, tiny):
    """A function that measures five short windows of the tiny model, which say what it is told."""

    def measured(reasons=(), stream=None, **protocol):
        real = windows.measure_window

        def measure_window(*arguments):
            window = real(*arguments)
            window.pop("disturbed", None)
            return {**window, **({"disturbed": list(reasons)} if reasons else {})}

        monkeypatch.setattr(windows, "measure_window", measure_window)
        short = {"min_seconds": 0.01, "precision": 1e-9, "max_windows": 5, "idle_seconds": 0.01}
        return session.measure(edited(protocol={**short, **protocol}), tiny, stream)

    return measured


# Of the end of a session: function, which call of it, windows that are finished
ENDS = {
    "a window": (windows, "measure_window", 5, 4),
    "idle at the end": (session, "measure_idle", 3, 5),
    "warm-up of prefill": (session, "warm_up", 2, 5),
    "a window of prefill": (windows, "measure_window", 7, 5),
}


@pytest.mark.parametrize("end", ENDS)
def test_sigterm_keeps_what_is_measured_wherever_it_comes(of_windows, monkeypatch, capsys, end):
    room, name, nth, finished = ENDS[end]
    monkeypatch.setattr(room, name, Killed(getattr(room, name), nth))
    record = of_windows(phases="prefill" in end)
    assert len(record["windows"]) == finished
    assert record["ended_early"] == f"ended by SIGTERM after {finished} windows"
    assert record["ended_early"] in capsys.readouterr().out
    assert record["idle"]["end"] is None
    assert "prefill_windows" not in record
    assert record["memory_bytes"]["ram"] > 0


def test_sigterm_after_prefill_keeps_it(of_windows, monkeypatch):
    monkeypatch.setattr(session, "measure_idle", Killed(session.measure_idle, 3))
    record = of_windows(phases=True)
    assert (len(record["windows"]), len(record["prefill_windows"])) == (5, 5)


def test_windows_of_a_shared_machine_that_sigterm_leaves_count_where_that_is_accepted(
    of_windows, monkeypatch
):
    monkeypatch.setattr(windows, "measure_window", Killed(windows.measure_window, 9))
    with pytest.raises(Disturbed, match="ended by SIGTERM after 8 windows") as caught:
        of_windows(["a busy neighbour"], disturbed="refuse")
    assert len(caught.value.windows) == 8
    monkeypatch.undo()
    monkeypatch.setattr(windows, "measure_window", Killed(windows.measure_window, 9))
    record = of_windows(["a busy neighbour"], disturbed="accept")
    assert [window["counts"] for window in record["windows"]] == [True] * 8
    assert record["ended_early"] == "ended by SIGTERM after 8 windows"


@pytest.mark.parametrize(
    ("room", "name", "nth", "finished"),
    [
        (session, "reference_seconds", 1, 0),
        (session, "measure_idle", 1, 0),
        (session, "warm_up", 1, 0),
        (windows, "measure_window", 1, 0),
        (windows, "measure_window", 3, 2),
    ],
)
def test_sigterm_before_enough_windows_says_so(
    of_windows, monkeypatch, capsys, room, name, nth, finished
):
    monkeypatch.setattr(room, name, Killed(getattr(room, name), nth))
    part = f"after {finished} windows" if finished else "before the first window was finished"
    with pytest.raises(Disturbed, match=f"ended by SIGTERM {part}") as caught:
        of_windows()
    assert len(caught.value.windows) == finished
    assert f"ended by SIGTERM {part}" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["disturbed", "terminated", "lost"])
def test_a_session_that_cannot_count_leaves_its_samples(of_windows, monkeypatch, tmp_path, end):
    """When one wants to look at them: disturbed, killed in its first window, its board lost."""
    path, reasons = tmp_path / "x.samples.gz", ["a busy neighbour"] if end == "disturbed" else []

    def stop(*_):
        if end == "lost":
            raise InputError("GPU-a answers no more")
        signal.raise_signal(signal.SIGTERM)

    if not reasons:
        monkeypatch.setattr(windows, "repeat", lambda *_: stop)
    with pytest.raises(InputError):
        of_windows(reasons, path, disturbed="refuse")
    _, stream = samples.read(path)
    # both ends of idle, loading, idle and ten windows; or the begin of the first one
    assert len(stream) >= (26 if reasons else 7)


def test_a_board_that_is_lost_while_idling_at_the_end_costs_its_idle_power_alone(
    of_windows, monkeypatch
):
    calls, rest = [], time.sleep

    def sleep(seconds):
        if seconds == 0.01:  # not that of another thread
            calls.append(seconds)
            if len(calls) == 3:
                raise InputError("the GPU answers no more")
        rest(seconds)

    monkeypatch.setattr(session.time, "sleep", sleep)
    record = of_windows()
    assert len(record["windows"]) == 5
    assert record["idle"]["loaded"] is not None
    assert record["idle"]["end"] is None
    assert "no idle power at the end: the GPU answers no more" in record["warnings"]
    assert record["memory_bytes"]["ram"] > 0


@pytest.mark.parametrize("disturbed", [False, True])
def test_samples_that_cannot_be_written_cost_nothing_else(of_windows, tmp_path, disturbed, capsys):
    """A disk that is full, a folder that is none: the record, or why there is none, is kept."""
    (tmp_path / "folder").write_text("")
    path = tmp_path / "folder/x.samples.gz"
    if disturbed:
        with pytest.raises(Disturbed, match="a busy neighbour") as caught:
            of_windows(["a busy neighbour"], path, disturbed="refuse")
        assert len(caught.value.windows) == 10
    else:
        record = of_windows([], path)
        assert any("x.samples.gz is not kept" in text for text in record["warnings"])
    assert "x.samples.gz is not kept" in capsys.readouterr().out


# a script that is idle for a minute at one of the times at which it is: a signal ends that
IDLING = """
import runpy, sys
sys.path.insert(0, "scripts")
from joulegrid.metering import session
idle, (long, *sys.argv) = session.measure_idle, sys.argv[1:]

def measure_idle(taken, protocol, when):
    return idle(taken, {**protocol, "idle_seconds": 60} if when == long else protocol, when)

session.measure_idle = measure_idle
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def terminated(spec, tiny, tmp_path, when):
    """Code, log, record and what lies beside of a job that is ended while it is idle then."""
    output = tmp_path / f"{identity(spec)}.json"
    options = ["--spec", json.dumps(spec), "--source", str(tiny), "--output", str(output)]
    command = [sys.executable, "-c", IDLING, when, "scripts/measure_energy.py", *options]
    log = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as job:
        for text in job.stdout:
            log.append(text)
            if text == f"idle for 60 s, {when}\n":
                break
        ending.terminate(job)
        log += job.stdout
    paths = (output, output.with_suffix(".disturbed.json"))
    found = [json.loads(path.read_text()) if path.exists() else None for path in paths]
    return job.returncode, "".join(log), *found


def test_a_job_that_is_killed_while_idling_at_the_end_has_a_record(tiny, tmp_path):
    spec = edited(protocol={"max_windows": 1})
    code, log, record, beside = terminated(spec, tiny, tmp_path, "at the end")
    assert (code, beside) == (0, None), log
    assert record["status"] == "ok"
    assert record["ended_early"].startswith("ended by SIGTERM after ")
    assert record["idle"]["end"] is None


def test_a_job_that_is_killed_before_its_first_window_says_so(tiny, tmp_path):
    code, log, record, beside = terminated(SPEC, tiny, tmp_path, "before loading")
    assert (code, record) == (1, None)
    assert "error: ended by SIGTERM before the first window was finished" in log
    assert "Traceback" not in log
    assert beside["windows"] == []
    assert beside["reason"].startswith("ended by SIGTERM before the first window")


@pytest.mark.alone
def test_windows_of_a_disturbed_session_lie_beside_its_record(script, tiny, tmp_path):
    """Two busy loops beside the job: it fails, says why, and keeps what it measured."""
    spec = edited(protocol={"disturbed": "refuse", "max_windows": 1, "min_seconds": 1})
    loop = f"{sys.executable} -c 'while True: pass' > /dev/null 2>&1 & echo $!"
    pids = [int(subprocess.check_output(["sh", "-c", loop])) for _ in range(2)]
    try:
        code, log, record = script("measure_energy", spec, source=tiny)
    finally:
        for pid in pids:
            os.kill(pid, 9)
    assert (code, record) == (1, None)
    assert "error: the machine was disturbed: " in log
    assert "other processes used" in log
    beside = json.loads((tmp_path / f"{identity(spec)}.disturbed.json").read_text())
    assert len(beside["windows"]) == 2


def test_a_session_that_counts_leaves_its_samples_and_no_windows_of_one_before(
    script, tiny, tmp_path
):
    path = tmp_path / "x.samples.gz"
    beside = tmp_path / f"{identity(SPEC)}.disturbed.json"
    beside.write_text("{}")
    code, log, record = script("measure_energy", SPEC, source=tiny, samples=path)
    assert code == 0, log
    equipment, stream = samples.read(path)
    assert equipment.cpus == record["device"]["cpus"]
    assert len(stream) >= 2 * (len(record["windows"]) + 4)
    assert not beside.exists()


def test_a_spec_that_does_not_belong_to_the_record_is_refused(script, tiny, tmp_path):
    wrong = tmp_path / "0123456789abcdef.json"
    options = ["--spec", json.dumps(SPEC), "--source", str(tiny), "--output", str(wrong)]
    done = subprocess.run(
        [sys.executable, "scripts/measure_energy.py", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"has the id {identity(SPEC)}" in done.stderr
    assert not wrong.exists()


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        (
            {"device": "cpu", "cpu": "Cortex-A72"},
            "wrong CPU: the hardware entry asks for 'Cortex-A72', this job got",
        ),
        (
            {"device": "cpu", "threads": 4096},
            "too few CPUs: the hardware entry asks for 4096 threads, this job got",
        ),
        (
            {"device": "cuda", "gpu": "no such", "gpus": 3},
            "wrong GPU: the hardware entry asks for 3× 'no such'",
        ),
    ],
)
def test_a_wrong_device_is_an_error_before_anything_is_measured(script, tiny, hardware, message):
    code, log, record = script("measure_energy", {**SPEC, "hardware": hardware}, source=tiny)
    assert code == 1
    assert message in log
    assert "Traceback" not in log
    assert record is None


# measure_energy.py with 700 MB of address space beyond what its imports take
LIMITED = """
import resource, runpy, sys
import accelerate, codecarbon, torch, transformers
import transformers.models.llama.modeling_llama
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 700_000_000,) * 2)
sys.argv = sys.argv[1:]
sys.path.insert(0, "scripts")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.alone
def test_out_of_memory_is_a_finding(tiny, tmp_path):
    """A real one: the address space of the process is limited, and the 1.2 GB of weights do not
    fit. Where others hold much memory it is no finding.
    """
    big = tiny_model.make_hollow(tmp_path / "big", 4096, tiny)
    output = tmp_path / f"{identity(SPEC)}.json"
    options = ["--spec", json.dumps(SPEC), "--source", str(big), "--output", str(output)]
    command = [sys.executable, "-c", LIMITED, "scripts/measure_energy.py", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(output.read_text())
    assert record["status"] == "oom"
    assert record["reason"]
    assert record["memory_before"]["free_bytes"] > 0
    assert "windows" not in record


# measure_energy.py where no file may be larger than 1000 bytes: the record is
FULL = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.argv = sys.argv[1:]
sys.path.insert(0, "scripts")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_full_disk_is_one_message_and_leaves_no_half_record(tiny, tmp_path):
    output = tmp_path / f"{identity(SPEC)}.json"
    options = ["--spec", json.dumps(SPEC), "--source", str(tiny), "--output", str(output)]
    command = [sys.executable, "-B", "-c", FULL, "scripts/measure_energy.py", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: File too large: ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["measure_energy", "evaluate_quality", "quantize_weights", "prune_weights"]
)
def test_what_is_made_of_weights_that_did_not_fit_shares_their_finding(script, tmp_path, name):
    made = tmp_path / "made"
    made.mkdir()
    finding = {"status": "oom", "reason": "too big to prune"}
    (made / "made.json").write_text(json.dumps({"schema_version": 2, "files": {}, **finding}))
    paths = {"weights": tmp_path / "weights"} if name.endswith("_weights") else {}
    code, log, record = script(name, {**SPEC, "seed": 0}, source=made, **paths)
    assert code == 0, log
    assert {key: record[key] for key in finding} == finding
    if paths:
        sealed = json.loads((paths["weights"] / "made.json").read_text())
        assert {key: sealed[key] for key in finding} == finding


def test_a_prompt_beyond_the_context_is_a_finding(script, tiny):
    code, log, record = script("measure_energy", edited(workload={"new_tokens": 600}), source=tiny)
    assert code == 0, log
    assert record["status"] == "unsupported"
    assert "the model's context is 512" in record["reason"]


@pytest.mark.parametrize("lost", ["all", "one", "half"])
def test_weights_that_are_gone_are_an_error_that_says_what_to_do(script, tiny, tmp_path, lost):
    folder = tmp_path / "weights"
    shutil.copytree(tiny, folder)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    (folder / "made.json").write_text(
        json.dumps({"schema_version": 2, "status": "ok", "files": sizes})
    )
    weights = folder / "model.safetensors"
    if lost == "all":
        shutil.rmtree(folder)
    elif lost == "one":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:1000])
    code, log, result = script("measure_energy", SPEC, source=folder)
    assert (code, result) == (1, None)
    assert f"{folder}: " in log
    assert "is gone or cut short" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("line", ['{"promt": "x"}', "hello", '{"prompt": 3}'])
def test_a_bad_prompt_line_is_named(tmp_path, line):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "good"}\n' + line + "\n")
    with pytest.raises(InputError, match=r"p\.jsonl:2: "):
        prompts.drawn({"prompts": {"path": str(path)}}, 0)


def test_prompts_are_drawn_with_the_seed():
    entry = {"prompts": PROMPTS, "count": 4, "new_tokens": 3, "chat": False}
    draws = [batch.points(entry, seed)[0].requests for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert {request.new_tokens for request in draws[0]} == {3}


def test_a_file_that_changed_since_the_job_was_planned_is_refused(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "good"}\n')
    with pytest.raises(InputError, match="has changed since this job was planned"):
        prompts.drawn({"prompts": {"path": str(path), "sha256": "0" * 64}}, 0)

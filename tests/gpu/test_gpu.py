"""Counters, protocol and formats on a real board."""

import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

import pytest

from conftest import ROOT
from joulegrid.jobs import devices

torch = pytest.importorskip("torch", reason="torch IS NOT HERE")


def needs(*names):
    """A mark that skips, loudly, where one of these packages is not there."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} NOT HERE")


# What loads a model to run it, and what measures a session
needs_engine = needs("accelerate", "psutil")
needs_session = needs("accelerate", "psutil", "codecarbon")


WORKLOAD = {
    "method": "batch",
    "prompts": {"path": "config/prompts/questions.jsonl"},
    "count": 8,
    "new_tokens": 64,
    "chat": False,
}
PROTOCOL = {
    "min_seconds": 5,
    "precision": 0.05,
    "max_windows": 4,
    "idle_seconds": 3,
    "tracking": "machine",
    "disturbed": "accept",
    "phases": True,
    "seed": 0,
}
BF16 = {"method": "cast", "dtype": "bfloat16"}
# Work on the only board that the child sees, and what it sees
CHILD = """
import json, time
from joulegrid.jobs import devices
import torch
seen = torch.cuda.get_device_properties(0)
matrix = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
began = time.perf_counter()
while time.perf_counter() - began < 3:
    for _ in range(10):
        matrix @ matrix
    torch.cuda.synchronize()
print(json.dumps({"cuda": f"GPU-{seen.uuid}", "count": torch.cuda.device_count(),
                  "nvml": [gpu["uuid"] for gpu in devices.visible_gpus()]}))
"""


def hardware():
    """The entry that this machine fits."""
    gpu = devices.visible_gpus()[0]
    return {"device": "cuda", "gpu": gpu["name"].removeprefix("NVIDIA "), "gpus": 1}


def spec(quantization, **engine):
    options = {"method": "transformers", "batch_size": 8, "sparse_kernels": False, **engine}
    return {
        "quantization": quantization,
        "hardware": hardware(),
        "engine": options,
        "workload": WORKLOAD,
        "protocol": PROTOCOL,
        "session": 1,
    }


def multiply(seconds):
    """Keep the board busy."""
    matrix = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            matrix @ matrix
        torch.cuda.synchronize()


def sampled(uuid, work):
    """(energy of the board, sensors, samples) of `work()`."""
    from joulegrid.metering import energy
    from joulegrid.metering.sensors import MachineSensors, Sampler

    sensors = MachineSensors([uuid])
    with Sampler(sensors) as sampler:
        work()
    return energy.gpu_j(uuid, sensors.equipment, sampler.samples), sensors, sampler.samples


def mean_power(uuid, seconds):
    """W of the board while it multiplies, which takes a little longer than `seconds`."""
    found, _, samples = sampled(uuid, lambda: multiply(seconds))
    return found.energy_j / (samples[-1].t_s - samples[0].t_s)


def per_run(windows, key):
    """What a run of the workload has of something, over windows."""
    runs = sum(window["runs"] for window in windows)
    if key == "gpu":
        return sum(window["energy_j"]["gpu"] for window in windows) / runs
    return sum(window[key] for window in windows) / runs


@needs("accelerate")
def test_what_does_not_fit_is_a_finding(one_billion, table):
    """A batch of which one layer's input alone is larger than the board. What was free is asked for
    before the engine takes any of it, as a job does; this is the first test, since what others had
    left in this process would count as held by others.
    """
    from helpers import tiny_model
    from joulegrid.engines import Request, transformers
    from joulegrid.jobs.outcomes import outcome

    gc.collect()
    torch.cuda.empty_cache()
    free = devices.free_memory(True)
    tokens, new_tokens = 3000, 1000
    token_bytes = 2 * tiny_model.LARGE[one_billion.name][0]  # between two layers, in 16 bits
    count = free["total_bytes"] // (tokens * token_bytes) + 1
    options = {"batch_size": count, "sparse_kernels": False}
    engine = transformers.load(one_billion.folder, BF16, hardware(), options)
    requests = [Request("word", new_tokens, chat=False, prompt_tokens=tokens)] * count
    result = outcome(lambda: {"found": engine.run(requests)}, free)
    table.add("out of memory", "status", result["status"], remark=result.get("reason"))
    table.add("out of memory", "free before", free["free_bytes"] / 1e9, "GB")
    assert result["status"] == "oom"
    assert result["memory_before"]["total_bytes"] > 0


@needs("psutil")
def test_the_board_of_cuda_is_the_one_that_nvml_reads(uuid):
    """Work on CUDA's first board raises the power of the board with its UUID."""
    idle, _, _ = sampled(uuid, lambda: time.sleep(3))
    busy, _, samples = sampled(uuid, lambda: multiply(3))
    assert busy.energy_j > 1.5 * idle.energy_j
    assert max(sample.gpus[uuid].power_w for sample in samples) > 1.5 * idle.energy_j / 3


@needs("psutil")
def test_a_uuid_in_cuda_visible_devices_chooses_that_board(uuid, table):
    """As a scheduler or a user says it: CUDA and NVML take the same board, and it works."""
    said = []

    def work():
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": uuid, "PYTHONPATH": str(ROOT / "scripts")}
        command = [sys.executable, "-c", CHILD]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        said.append(json.loads(done.stdout.splitlines()[-1]))

    idle, _, _ = sampled(uuid, lambda: time.sleep(3))
    _, _, samples = sampled(uuid, work)
    most = max(sample.gpus[uuid].power_w for sample in samples)
    table.add("UUID in CUDA_VISIBLE_DEVICES", "power idle", idle.energy_j / 3, "W")
    table.add("UUID in CUDA_VISIBLE_DEVICES", "most power of that board at work", most, "W")
    assert said == [{"cuda": uuid, "count": 1, "nvml": [uuid]}]
    assert most > 1.5 * idle.energy_j / 3


@needs("psutil")
def test_counter_and_integrated_power_agree(uuid, out, table):
    from joulegrid.metering import samples

    found, sensors, stream = sampled(uuid, lambda: multiply(10))
    samples.write(out / "multiply_10s.samples.gz", sensors.equipment, stream)
    table.add("counter against power, 10 s", "energy", found.energy_j, "J", found.method)
    if not sensors.equipment.gpus[uuid].has_counter:
        pytest.skip("THIS BOARD COUNTS NO ENERGY: nothing to hold its power against")
    assert found.disagreement is not None, "its power was not read, or not often enough"
    table.add("counter against power, 10 s", "power above counter", 100 * found.disagreement, "%")
    assert abs(found.disagreement) < 0.1


@needs("psutil")
def test_how_far_short_windows_are_off(uuid, table):
    """The same work for half a second to ten: two long windows agree, short ones are told."""
    multiply(2)
    means = {}
    for seconds in (0.5, 1, 2, 5, 10):
        watts = [mean_power(uuid, seconds) for _ in range(3)]
        means[seconds] = statistics.fmean(watts)
        spread = f"± {statistics.stdev(watts):.1f} (standard deviation of 3)"
        table.add(f"window of {seconds} s", "power", means[seconds], "W", spread)
    assert means[5] == pytest.approx(means[10], rel=0.1)


@needs("psutil")
def test_an_idle_board_takes_the_same_power_again(uuid, table):
    """After work has cooled down: far below its limit, and as much in the next stretch."""
    time.sleep(10)
    watts, limit = [], None
    for number in range(3):
        found, sensors, _ = sampled(uuid, lambda: time.sleep(5))
        watts.append(found.energy_j / 5)
        limit = sensors.equipment.gpus[uuid].limit_w
        table.add("idle", f"power, stretch {number + 1}", watts[-1], "W", f"limit {limit} W")
    assert max(watts) < 1.25 * min(watts)
    assert limit is None or max(watts) < 0.5 * limit


@needs_session
def test_the_warm_up_ends_when_run_times_have_settled(one_billion, table):
    from joulegrid.engines import Request, transformers
    from joulegrid.metering import points

    options = {"batch_size": 8, "sparse_kernels": False}
    engine = transformers.load(one_billion.folder, BF16, hardware(), options)
    requests = [Request("one two three", 32, chat=False)] * 8
    assert points.warm_up(lambda: engine.run(requests))[1] == []
    times = []
    for number in range(3):
        began = time.perf_counter()
        engine.run(requests)
        times.append(time.perf_counter() - began)
        table.add("after warming up", f"run {number + 1}", times[-1], "s")
    assert max(times) < 1.2 * min(times)


@needs_engine
def test_a_real_reading_is_above_the_floor(model, uuid, table):
    """Seconds and joules of real decoding against those of reading the weights for each step; what
    is a little below the floor is refused.
    """
    from joulegrid.engines import Request, transformers
    from joulegrid.metering import floor

    boards = devices.visible_gpus()
    options = {"batch_size": 8, "sparse_kernels": False}
    engine = transformers.load(model.folder, BF16, hardware(), options)
    step_s = floor.step_seconds(engine.describe()["weights_bytes"], boards)
    if step_s is None:
        pytest.skip(f"{boards[0]['name']} IS NOT IN THE TABLE: no reading of it is held to a floor")
    requests = [Request("one two three", 128, chat=False)] * 8
    engine.run(requests)
    found, sensors, samples = sampled(uuid, lambda: engine.run(requests))
    seconds, steps = samples[-1].t_s - samples[0].t_s, floor.steps(requests, 8)
    limit_w = sensors.equipment.gpus[uuid].limit_w
    window = {"runs": 1, "seconds": seconds, "energy_j": {"gpu": found.energy_j}}
    least_j = steps * step_s * floor.IDLE_SHARE * limit_w
    name = f"floor, {model.name} bf16"
    table.add(name, "seconds read, to those of the floor", seconds / (steps * step_s))
    table.add(name, "joules read, to those of the floor", found.energy_j / least_j)
    assert floor.below(window, steps, step_s, limit_w) is None
    fast = {**window, "seconds": 0.99 * steps * step_s}
    assert "a wrong reading" in floor.below(fast, steps, step_s, limit_w)
    cheap = {**window, "energy_j": {"gpu": 0.99 * least_j}}
    assert "a wrong reading" in floor.below(cheap, steps, step_s, limit_w)


def test_the_reference_work_takes_as_long_again(table):
    pytest.importorskip("numpy", reason="numpy IS NOT HERE")
    from joulegrid.metering import reference

    first, second = reference.gpu_reference_seconds(), reference.gpu_reference_seconds()
    table.add("reference work", "first, second", f"{first[0]:.4g}, {second[0]:.4g}", "s")
    assert len(first) == torch.cuda.device_count()
    assert second[0] == pytest.approx(first[0], rel=0.2)


def test_the_device_check_knows_this_board(table):
    found = devices.check(hardware())
    (board,) = found["gpus"]
    table.add("device check", "board", board["name"], remark=f"driver {board['driver']}")
    table.add("device check", "memory", board["memory_bytes"] / 1e9, "GB")
    with pytest.raises(Exception, match="wrong GPU") as refused:
        devices.check({**hardware(), "gpu": "A3000"})
    table.add("device check", "another board", "refused", remark=refused.value)


@needs_session
@pytest.mark.parametrize(
    "name", ["bfloat16", "float16", "int8", "nf4"], ids=["bf16", "fp16", "int8", "nf4"]
)
def test_a_session_of_every_format(model, out, table, name):
    """Steady windows above the floor of reading the weights, prefill and decode apart."""
    from joulegrid.metering.session import measure
    from joulegrid.metering.windows import clean

    if name in ("int8", "nf4"):
        pytest.importorskip("bitsandbytes", reason="bitsandbytes IS NOT HERE")
    entries = {
        "int8": {"method": "llm-int8", "compute_dtype": "float16"},
        "nf4": {
            "method": "bitsandbytes-4bit",
            "type": "nf4",
            "compute_dtype": "bfloat16",
            "double_quantization": False,
        },
    }
    entry = entries.get(name, {"method": "cast", "dtype": name})
    record = measure(spec(entry), model.folder, out / f"{name}.samples.gz")
    tell_of_session(table, f"{model.name} {name}", record)
    windows = clean(record["windows"])
    watts = per_run(windows, "gpu") / per_run(windows, "seconds")
    assert record["components"]["gpu"]["basis"] == "measured"
    # those that do not count too: a reading below the floor would be among them
    every = [*record["windows"], *record["prefill_windows"]]
    assert not [text for window in every for text in window.get("wrong", ())]
    assert watts > record["idle"]["loaded"]["power_w"]["gpu"]
    assert clean(record["prefill_windows"])


def tell_of_session(table, name, record):
    """Speed, energy and power of a session, prefill and decode apart."""
    from joulegrid.metering.windows import clean

    windows, prefill = clean(record["windows"]), clean(record["prefill_windows"])
    joules, seconds = per_run(windows, "gpu"), per_run(windows, "seconds")
    written, read = per_run(windows, "tokens_written"), per_run(windows, "tokens_read")
    reading = per_run(prefill, "gpu")
    later = written - per_run(windows, "requests")
    table.add(name, "energy", joules / written, "J/token", f"{record['kernels']}")
    table.add(name, "speed", written / seconds, "tokens/s")
    table.add(name, "power", joules / seconds, "W")
    table.add(name, "idle, loaded", record["idle"]["loaded"]["power_w"]["gpu"], "W")
    table.add(name, "prefill", reading / read, "J/prompt token")
    table.add(name, "decode", (joules - reading) / later, "J/generated token")
    table.add(name, "weights", record["weights_bytes"] / 1e9, "GB")
    disturbed = {text for window in record["windows"] for text in window.get("disturbed", ())}
    table.add(name, "windows that count", f"{len(windows)} of {len(record['windows'])}")
    for text in sorted({*disturbed, *record["warnings"]}):
        table.add(name, "said", "", remark=text)


@needs_session
def test_sparse_kernels_load_less_and_multiply_faster_or_not(one_billion, tmp_path, table):
    from joulegrid.compression import making
    from joulegrid.metering.session import measure

    entry = {"method": "magnitude", "pattern": "2:4", "modules": []}
    making.prune(one_billion.folder, tmp_path / "pruned", entry, 0, "cuda")
    cast = {"method": "cast", "dtype": "float16"}
    found = {}
    for sparse in (False, True):
        record = measure(spec(cast, sparse_kernels=sparse), tmp_path / "pruned")
        found[sparse] = record["weights_bytes"]
        tell_of_session(table, f"1b 2:4, {'sparse' if sparse else 'dense'} kernels", record)
    assert found[True] < found[False]

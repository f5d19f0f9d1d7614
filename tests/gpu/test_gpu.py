"""Counters, protocol and formats on a real board."""

import importlib.util
import statistics
import time

import pytest

from joulegrid.jobs import devices
from joulegrid.jobs.outcomes import outcome
from joulegrid.metering import reference

torch = pytest.importorskip("torch")

needs_codecarbon = pytest.mark.skipif(
    importlib.util.find_spec("codecarbon") is None, reason="codecarbon IS NOT HERE"
)
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
    """(energy of the board, samples) of `work()`."""
    from joulegrid.metering import energy
    from joulegrid.metering.sensors import MachineSensors, Sampler

    sensors = MachineSensors([uuid])
    with Sampler(sensors) as sampler:
        work()
    return energy.gpu_j(uuid, sensors.equipment, sampler.samples), sensors, sampler.samples


def mean_power(uuid, seconds):
    """W of the board while it multiplies."""
    return sampled(uuid, lambda: multiply(seconds))[0].energy_j / seconds


def test_the_board_of_cuda_is_the_one_that_nvml_reads(uuid):
    """Work on CUDA's first board raises the power of the board with its UUID."""
    idle, _, _ = sampled(uuid, lambda: time.sleep(3))
    busy, _, samples = sampled(uuid, lambda: multiply(3))
    assert busy.energy_j > 1.5 * idle.energy_j
    assert max(sample.gpus[uuid].power_w for sample in samples) > 1.5 * idle.energy_j / 3


def test_counter_and_integrated_power_agree(uuid, out, table):
    from joulegrid.metering import samples

    found, sensors, stream = sampled(uuid, lambda: multiply(10))
    samples.write(out / "multiply_10s.samples.gz", sensors.equipment, stream)
    table.append(
        f"counter against power over 10 s: {found.energy_j:.1f} J, {found.disagreement:+.2%}"
    )
    assert abs(found.disagreement) < 0.1


def test_how_far_short_windows_are_off(uuid, table):
    """The same work for half a second to ten: two long windows agree, short ones are told."""
    multiply(2)
    means = {}
    for seconds in (0.5, 1, 2, 5, 10):
        watts = [mean_power(uuid, seconds) for _ in range(3)]
        means[seconds] = statistics.fmean(watts)
        table.append(
            f"window of {seconds} s: {means[seconds]:.1f} W ± {statistics.stdev(watts):.1f}"
        )
    assert means[5] == pytest.approx(means[10], rel=0.1)


def test_an_idle_board_takes_the_same_power_again(uuid, table):
    """After work has cooled down: far below its limit, and as much in the next stretch."""
    time.sleep(10)
    watts, limit = [], None
    for _ in range(3):
        found, sensors, _ = sampled(uuid, lambda: time.sleep(5))
        watts.append(found.energy_j / 5)
        limit = sensors.equipment.gpus[uuid].limit_w
    table.append(f"idle: {', '.join(f'{each:.1f}' for each in watts)} W of {limit} W")
    assert max(watts) < 1.25 * min(watts)
    assert limit is None or max(watts) < 0.5 * limit


@needs_codecarbon
def test_the_warm_up_ends_when_run_times_have_settled(one_billion, table):
    from joulegrid.engines import Request, transformers
    from joulegrid.metering import points

    options = {"batch_size": 8, "sparse_kernels": False}
    engine = transformers.load(
        one_billion, {"method": "cast", "dtype": "bfloat16"}, hardware(), options
    )
    requests = [Request("one two three", 32, chat=False)] * 8
    assert points.warm_up(lambda: engine.run(requests))[1] == []
    times = []
    for _ in range(3):
        began = time.perf_counter()
        engine.run(requests)
        times.append(time.perf_counter() - began)
    table.append(f"runs after warming up: {', '.join(f'{each:.3f}' for each in times)} s")
    assert max(times) < 1.2 * min(times)


def test_the_floor_knows_this_board():
    from joulegrid.metering import floor

    boards = devices.visible_gpus()[:1]
    step = floor.step_seconds(10**9, boards)
    if step is None:
        pytest.skip(f"{boards[0]['name']} IS NOT IN THE TABLE: no reading of it is held to a floor")
    assert 1e9 / 10e12 < step < 1e9 / 0.05e12, "between 0.05 and 10 TB/s"
    window = {"runs": 1, "seconds": 99 * step, "energy_j": {"gpu": 1e9}}
    assert "a wrong reading" in floor.below(window, 100, step, 300.0)


def test_the_reference_work_takes_as_long_again():
    first, second = reference.gpu_reference_seconds(), reference.gpu_reference_seconds()
    assert len(first) == torch.cuda.device_count()
    assert second[0] == pytest.approx(first[0], rel=0.2)


def test_the_device_check_knows_this_board():
    found = devices.check(hardware())
    assert len(found["gpus"]) == 1
    with pytest.raises(Exception, match="wrong GPU"):
        devices.check({**hardware(), "gpu": "A3000"})


@needs_codecarbon
@pytest.mark.parametrize(
    "name", ["bfloat16", "float16", "int8", "nf4"], ids=["bf16", "fp16", "int8", "nf4"]
)
def test_a_session_of_every_format(one_billion, out, table, name):
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
    record = measure(spec(entry), one_billion, out / f"{name}.samples.gz")
    windows = clean(record["windows"])
    tokens = sum(window["tokens_written"] for window in windows)
    joules = sum(window["energy_j"]["gpu"] for window in windows)
    seconds = sum(window["seconds"] for window in windows)
    idle = record["idle"]["loaded"]["power_w"]["gpu"]
    table.append(
        f"1B {name}: {joules / tokens:.4f} J/token, {tokens / seconds:.0f} tokens/s, "
        f"{joules / seconds:.0f} W, idle {idle:.0f} W, {record['kernels']}"
    )
    assert record["components"]["gpu"]["basis"] == "measured"
    assert not any("a wrong reading" in str(window.get("disturbed")) for window in windows)
    assert joules / seconds > idle
    assert clean(record["prefill_windows"])


@needs_codecarbon
def test_sparse_kernels_load_less_and_multiply_faster_or_not(one_billion, tmp_path, table):
    from joulegrid.compression import making
    from joulegrid.metering.session import measure
    from joulegrid.metering.windows import clean

    entry = {"method": "magnitude", "pattern": "2:4", "modules": []}
    making.prune(one_billion, tmp_path / "pruned", entry, 0, "cuda")
    cast = {"method": "cast", "dtype": "float16"}
    found = {}
    for sparse in (False, True):
        record = measure(spec(cast, sparse_kernels=sparse), tmp_path / "pruned")
        windows = clean(record["windows"])
        tokens = sum(window["tokens_written"] for window in windows)
        joules = sum(window["energy_j"]["gpu"] for window in windows)
        found[sparse] = record["weights_bytes"]
        table.append(
            f"2:4, sparse kernels {sparse}: {joules / tokens:.4f} J/token, "
            f"{record['weights_bytes'] / 1e9:.2f} GB, {record['kernels']}"
        )
    assert found[True] < found[False]


def test_what_does_not_fit_is_a_finding(one_billion):
    """A batch whose cache is larger than any board."""
    from joulegrid.engines import Request, transformers

    entry = {"method": "cast", "dtype": "bfloat16"}
    options = {"batch_size": 100_000, "sparse_kernels": False}
    engine = transformers.load(one_billion, entry, hardware(), options)
    requests = [Request("word " * 500, 2000, chat=False)] * 20_000
    result = outcome(lambda: {"found": engine.run(requests)}, devices.free_memory(True))
    assert result["status"] == "oom"
    assert result["memory_before"]["total_bytes"] > 0

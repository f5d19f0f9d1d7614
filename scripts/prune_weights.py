"""Prune the weights of a model and save them, verified."""

from pathlib import Path

import torch

from joulegrid.compression import making, verification
from joulegrid.jobs import devices, run, weights
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.metering.cost import metered


def main(arguments, spec):
    """Write the pruned weights, and {bytes, sparsity, cost …}; or why they cannot be made here."""
    made = run.begin("torch", "transformers", "codecarbon")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with weights.new_folder(arguments.weights) as folder:
        result = outcome_from(
            arguments.source,
            lambda: prune(Path(arguments.source), folder, spec, device),
            devices.free_memory(device == "cuda"),
        )
        weights.seal(folder, result)
    run.write_record(arguments.output, spec, made, {"device": devices.describe(), **result})


def prune(source, folder, spec, device):
    """Prune and save, metered: making the weights is part of their balance; then check what was
    saved.
    """
    entry = spec["pruning"]
    run.say(f"pruning {source} on {device}: {entry}")
    facts, cost = metered(
        {"device": device},
        lambda: making.prune(source, folder, entry, spec["seed"] or 0, device),
    )
    peak = devices.peak_memory()
    checked = verification.check_pruned(folder, entry, facts.pop("probe"))
    return {
        **facts,
        **checked,
        "memory_bytes": {"ram": peak},
        "cost": cost,
    }


if __name__ == "__main__":
    run.run(main, "source", "weights", "output")

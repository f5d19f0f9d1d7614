"""Make weights of their own out of a training: adapters merged into the full-precision base."""

from pathlib import Path

import torch

from joulegrid.jobs import devices, run, weights
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.metering.cost import metered
from joulegrid.models.describe import describe
from joulegrid.training.merging import merge


def main(arguments, spec):
    """Write the weights, and {bytes, validation_loss, before, cost …}; or why there are none."""
    made = run.begin("torch", "transformers", "peft", "codecarbon")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    source, base = Path(arguments.source), Path(arguments.base)
    with weights.new_folder(arguments.weights) as folder:
        result = outcome_from(
            source,
            lambda: finish(source, base, folder, spec["training"], device),
            devices.free_memory(device == "cuda"),
        )
        weights.seal(folder, result)
    run.write_record(arguments.output, spec, made, {"device": devices.describe(), **result})


def finish(source, base, folder, entry, device):
    """Merge and save, metered: it is part of what the weights take."""
    run.say(f"merging {source} into {base} on {device}")
    weights.finding_in(base)  # raises where files of the model are gone
    losses, cost = metered({"device": device}, lambda: merge(source, base, folder, entry, device))
    run.say(f"validation loss {losses['before']:.4f} as trained, {losses['validation_loss']:.4f}")
    return {
        **describe(folder),
        **losses,
        "memory_bytes": {"ram": devices.peak_memory()},
        "cost": cost,
    }


if __name__ == "__main__":
    run.run(main, "source", "base", "weights", "output")

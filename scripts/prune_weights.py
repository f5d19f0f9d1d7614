"""Prune the weights of a model and save them, verified."""

from importlib import import_module

import torch
from joulegrid import devices, jobs
from joulegrid.metering import Meter
from joulegrid.models.describe import describe
from joulegrid.records import OK, provenance, read_json, write_json
from joulegrid.weights import fresh_folder, require_weights
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(arguments, spec):
    """Write the pruned weights, and {weights, bytes, sparsity, seconds, energy_j …} of making them."""
    made = provenance(("torch", "transformers", "codecarbon"))
    source = require_weights(read_json(arguments.model), arguments.model)
    method = import_module(f"joulegrid.compression.{spec['pruning']['method']}")
    folder = fresh_folder(arguments.weights)
    torch.manual_seed(spec["seed"])
    meter = Meter("machine", {"device": "cpu"})

    def make():
        jobs.say(f"pruning {source}: {spec['pruning']}")
        model = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
        sparsity = method.prune(model, spec["pruning"])
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        return sparsity

    layers, cost = meter.measure(make)
    method.verify(AutoModelForCausalLM.from_pretrained(folder, dtype="auto"), spec["pruning"])
    jobs.say(
        f"{len(layers)} layers, zeros verified on the saved weights; mean {sum(layers.values()) / len(layers):.4f}"
    )
    record = {
        "spec": spec,
        "status": OK,
        "device": devices.describe(with_gpus=False),
        "weights": str(folder),
        "sparsity": {"layers": layers, "mean": sum(layers.values()) / len(layers)},
        "cost": {"seconds": cost.seconds, "energy_j": cost.energy_j, "basis": meter.basis},
    }
    write_json(arguments.output, {**made, **record, **describe(folder)})


if __name__ == "__main__":
    jobs.run(main, "model", "weights", "output")

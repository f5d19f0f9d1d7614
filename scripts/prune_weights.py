"""Prune the weights of a model and save them, verified."""

from transformers import AutoModelForCausalLM, AutoTokenizer

from joulegrid import devices, jobs
from joulegrid.findings import outcome
from joulegrid.metering import Meter
from joulegrid.methods import implementation
from joulegrid.models.describe import describe
from joulegrid.records import provenance, read_json, write_json
from joulegrid.weights import fresh_folder, require_weights


def main(arguments, spec):
    """Write the pruned weights, and {weights, bytes, sparsity, cost …}; or why they cannot be made here."""
    made = provenance(("torch", "transformers", "codecarbon"))
    source = require_weights(read_json(arguments.model), arguments.model)
    folder = fresh_folder(arguments.weights)
    jobs.say(f"pruning {source}: {spec['pruning']}")
    result = outcome(lambda: prune(source, folder, spec["pruning"]))
    write_json(arguments.output, {**made, "spec": spec, "device": devices.describe(with_gpus=False), **result})


def prune(source, folder, entry):
    """Prune, save, load again and verify; what that cost is that of pruning and saving."""
    method = implementation("compression", entry["method"])
    meter = Meter("machine", {"device": "cpu"})

    def make():
        model = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
        sparsity = method.prune(model, entry)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        return sparsity

    layers, cost = meter.measure(make)
    method.verify(AutoModelForCausalLM.from_pretrained(folder, dtype="auto"), entry)
    mean = sum(layers.values()) / len(layers)
    jobs.say(f"{len(layers)} layers, zeros verified on the saved weights; mean share {mean:.4f}")
    return {
        "weights": str(folder),
        "sparsity": {"layers": layers, "mean": mean},
        "cost": {"seconds": cost.seconds, "energy_j": cost.energy_j, "basis": meter.basis},
        **describe(folder),
    }


if __name__ == "__main__":
    jobs.run(main, "model", "weights", "output")

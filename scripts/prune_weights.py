"""Prune the weights of a model and save them, verified."""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from joulegrid import devices, jobs
from joulegrid.calibration import calibration_tokens, context_of
from joulegrid.compression.modules import flops_per_token, zero_shares
from joulegrid.findings import Unsupported, outcome
from joulegrid.metering import Meter
from joulegrid.methods import implementation
from joulegrid.models.describe import describe
from joulegrid.records import InputError, provenance, read_json, write_json
from joulegrid.weights import fresh_folder, require_weights


def main(arguments, spec):
    """Write the pruned weights, and {weights, bytes, sparsity, cost …}; or why they cannot be made here."""
    made = provenance(("torch", "transformers", "codecarbon"))
    source = require_weights(read_json(arguments.model), arguments.model)
    folder = fresh_folder(arguments.weights)
    jobs.say(f"pruning {source}: {spec['pruning']}")
    result = outcome(lambda: prune(source, folder, spec["pruning"], spec.get("seed", 0)))
    write_json(arguments.output, {**made, "spec": spec, "device": devices.describe(), **result})


def prune(source, folder, entry, seed):
    """Prune, recover, save, load again and compare; the cost is that of all but the comparison."""
    method = implementation("compression", entry["method"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    meter = Meter("machine", {"device": device})
    found = {}

    def make():
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(source, dtype="auto").eval()
        found["flops_before"] = flops_per_token(model)
        drawn = None
        if "calibration" in entry:
            drawn = calibration_tokens(entry["calibration"], tokenizer, seed, context_of(model.config))
            found["calibration"] = {"samples": len(drawn), "distinct_samples": len(drawn.unique(dim=0))}
        found["notes"] = method.prune(model, entry, drawn, device)
        if "recovery" in entry:
            training = implementation("training", entry["recovery"]["method"])
            found["recovery"] = training.recover(model, tokenizer, entry["recovery"], device, seed)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        found["flops"], found["probe"] = flops_per_token(model), probe(model)

    _, cost = meter.measure(make)
    peak = devices.peak_memory()
    sparsity = verify(folder, entry, method, found.pop("probe"))
    jobs.say(f"verified on the saved weights; share of zeros in the linear layers {sparsity['mean']:.4f}")
    return {
        "weights": str(folder),
        "sparsity": sparsity,
        "flops_per_token": {"before": found.pop("flops_before"), "after": found.pop("flops")},
        **found,
        "peak_memory_bytes": peak,
        "cost": {"seconds": cost.seconds, "energy_j": cost.energy_j, "basis": meter.basis},
        **describe(folder),
    }


def probe(model):
    """Logits of a few tokens, by which a saved model is recognized."""
    with torch.inference_mode():
        return model(input_ids=torch.arange(8)[None]).logits.float()


def verify(folder, entry, method, expected):
    """Check the saved weights; the share of zeros of every linear layer and of all together.

    Raises InputError where zeros are missing or the saved model computes something else than the one in memory, and
    Unsupported where transformers builds the architecture with other sizes than its configuration says.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    except RuntimeError as error:
        if "size mismatch" not in str(error) and "mismatched" not in str(error):
            raise
        raise Unsupported("transformers cannot load this architecture with fewer heads or channels") from None
    if hasattr(method, "verify"):
        method.verify(model, entry)
    if not torch.allclose(probe(model), expected, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise InputError(f"{folder}: the saved model gives other logits than the pruned one; prune it again")
    return zero_shares(model)


if __name__ == "__main__":
    jobs.run(main, "model", "weights", "output")

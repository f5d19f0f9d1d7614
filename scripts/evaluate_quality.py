"""Evaluate one quality task on one configuration."""

import math

import torch

from joulegrid import devices, jobs
from joulegrid.engines import transformers as engine
from joulegrid.findings import outcome_from
from joulegrid.methods import implementation
from joulegrid.records import provenance, read_json, write_json

PACKAGES = ("torch", "transformers", "accelerate", "bitsandbytes", "gptqmodel", "compressed-tensors", "lm-eval")


def main(arguments, spec):
    """Write {metric: {value, stderr, higher_is_better}}; or why the configuration cannot run here."""
    made = provenance(PACKAGES)
    checkpoint = read_json(arguments.checkpoint)
    result = outcome_from(checkpoint, arguments.checkpoint, lambda: {"metrics": evaluate(spec, checkpoint)})
    jobs.say(f"{result}")
    write_json(arguments.output, {**made, "spec": spec, "device": devices.describe(), **result})


def evaluate(spec, checkpoint):
    """Load on whatever this machine has (quality does not depend on it) and run the task."""
    task = spec["quality"]
    torch.manual_seed(spec["seed"])
    gpus = torch.cuda.device_count()
    hardware = {"device": "cuda", "gpus": gpus} if gpus else {"device": "cpu"}
    loaded = engine.load(checkpoint, spec["quantization"], hardware, {"batch_size": 1})
    jobs.say(f"loaded: {loaded.describe()}")
    method = implementation("quality", task["method"])
    found = method.evaluate(loaded.model, loaded.tokenizer, task, spec["seed"])
    # A broken model (overflow, say) has no finite perplexity: no number then, and JSON has none for it either
    return {name: {**metric, "value": finite(metric["value"])} for name, metric in found.items()}


def finite(value):
    """The value, or None where it is not a number that can be compared."""
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    jobs.run(main, "checkpoint", "output")

"""Evaluate one quality task on one configuration."""

from functools import partial
from pathlib import Path

from joulegrid.jobs import devices, run
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.quality.cost import metered
from joulegrid.quality.task import evaluate_task

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "gptqmodel",
    "compressed-tensors",
    "lm-eval",
    "codecarbon",
)


def main(arguments, spec):
    """Write {metric: {value, stderr, higher_is_better}}; or why it cannot run here."""
    made = run.begin(*PACKAGES)
    weights = Path(arguments.source)
    gpus = devices.visible_gpus()
    hardware = {"device": "cuda", "gpus": len(gpus)} if gpus else {"device": "cpu"}
    memory = devices.free_memory(bool(gpus))
    work = partial(evaluate_task, spec, weights, hardware)
    result = outcome_from(weights, lambda: metered(hardware, lambda: {"metrics": work()}), memory)
    run.say(f"{result}")
    run.write_record(arguments.output, spec, made, {"device": devices.describe(), **result})


if __name__ == "__main__":
    run.run(main, "source", "output")

"""Evaluate one quality task on one configuration."""

from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.jobs import devices, run
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.metering.meter import Meter
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
    result = outcome_from(weights, lambda: evaluate(spec, weights, hardware), memory)
    run.say(f"{result}")
    run.write_record(arguments.output, spec, made, {"device": devices.describe(), **result})


def evaluate(spec, weights, hardware):
    """The metrics, and what the evaluation took: it is part of what a study costs."""
    found = {}

    def work():
        found["metrics"] = evaluate_task(spec, weights, hardware)

    try:
        meter = Meter("machine", hardware)
        _, cost = meter.measure(work)
    except InputError as error:  # of the meter: the evaluation is worth its record without it
        run.say(f"not metered: {error}")
        if "metrics" not in found:
            work()
        return found
    return {**found, "cost": meter.cost(cost)}


if __name__ == "__main__":
    run.run(main, "source", "output")

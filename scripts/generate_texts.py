"""Let one configuration answer the questions of one quality task."""

from functools import partial
from pathlib import Path

from joulegrid.jobs import devices, run
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.quality.cost import metered
from joulegrid.quality.task import generate_texts

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "gptqmodel",
    "compressed-tensors",
    "codecarbon",
)


def main(arguments, spec):
    """Write the answers, and how many of them a reader must be told of; or why it cannot run."""
    made = run.begin(*PACKAGES)
    weights = Path(arguments.source)
    gpus = devices.visible_gpus()
    hardware = {"device": "cuda", "gpus": len(gpus)} if gpus else {"device": "cpu"}
    memory = devices.free_memory(bool(gpus))
    work = partial(generate_texts, spec, weights, hardware)
    result = outcome_from(weights, lambda: metered(hardware, work), memory)
    run.say(f"counts: {result.get('counts')}")
    run.write_record(arguments.output, spec, made, {"device": devices.describe(), **result})


if __name__ == "__main__":
    run.run(main, "source", "output")

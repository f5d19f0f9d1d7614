"""Measure the energy of one cell in one session."""

from pathlib import Path

from joulegrid.jobs import devices, run
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.metering.session import measure

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "gptqmodel",
    "compressed-tensors",
    "xllamacpp",
    "codecarbon",
)


def main(arguments, spec):
    """Write energy per component (J), seconds and tokens of every window; or why the cell cannot
    run.
    """
    made = run.begin(*PACKAGES)
    device = devices.check(spec["hardware"])
    memory = devices.free_memory(spec["hardware"]["device"] == "cuda")
    weights = Path(arguments.source)
    result = outcome_from(weights, lambda: measure(spec, weights), memory)
    run.write_record(arguments.output, spec, made, {"device": device, **result})


if __name__ == "__main__":
    run.run(main, "source", "output")

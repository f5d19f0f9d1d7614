"""The failures that are findings: a model that does not fit, a combination that an engine or a device cannot run."""

from collections.abc import Callable
from typing import Any

import torch

from joulegrid.jobs import say
from joulegrid.records import OK, OOM, UNSUPPORTED
from joulegrid.weights import finding_of, require_weights


class Unsupported(Exception):
    """The engine or the device cannot run this configuration."""


class OutOfMemory(Exception):
    """The configuration does not fit into the memory of the device."""


# What PyTorch, CUDA and the C library say besides torch.OutOfMemoryError when an allocation fails
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
)


def outcome_from(record: dict, path: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The outcome of `work()` on the weights that `record`, read from `path`, names; or the finding of their making.

    Raises InputError where the weights are gone.
    """
    found = finding_of(record)
    if found is not None:
        return found
    require_weights(record, path)
    return outcome(work)


def outcome(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work()` gives, with status ok; or status oom or unsupported and the reason, where it ends in a finding.

    Every other error is let through: a job that fails for another reason has no result.
    """
    try:
        result = {"status": OK, **work()}
    except Exception as error:
        status = _finding(error)
        if status is None:
            raise
        result = {"status": status, "reason": _first_line(error)}
    say(f"status: {result['status']} {result.get('reason', '')}")
    return result


def _finding(error: Exception) -> str | None:
    """The status that an error stands for, None where it is no finding."""
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError):
        return OOM
    if isinstance(error, Unsupported | NotImplementedError):
        return UNSUPPORTED
    if isinstance(error, RuntimeError | ValueError | OSError):
        if any(sign in str(error) for sign in OOM_SIGNS):
            return OOM
        if any(sign in str(error) for sign in NO_KERNEL):
            return UNSUPPORTED
    return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""The failures that are findings: a model that does not fit, a combination that an engine or a device cannot run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from joulegrid.jobs import say
from joulegrid.records import OK, OOM, UNSUPPORTED


class Unsupported(Exception):
    """The engine or the device cannot run this configuration."""


class OutOfMemory(Exception):
    """The configuration does not fit into the memory of the device."""


class Tokens(NamedTuple):
    """How many tokens a run read and wrote."""

    read: int
    written: int


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
)


def outcome(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work()` gives, with status ok; or status oom or unsupported and the reason, where it ends in a finding.

    Every other error is let through: a job that fails for another reason has no result.
    """
    try:
        with findings():
            result = {"status": OK, **work()}
    except OutOfMemory as finding:
        result = {"status": OOM, "reason": str(finding)}
    except Unsupported as finding:
        result = {"status": UNSUPPORTED, "reason": str(finding)}
    say(f"status: {result['status']} {result.get('reason', '')}")
    return result


@contextmanager
def findings() -> Iterator[None]:
    """Turn the errors of a run that are findings into OutOfMemory and Unsupported."""
    try:
        yield
    except (OutOfMemory, Unsupported):
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(_first_line(error)) from error
    except NotImplementedError as error:
        raise Unsupported(_first_line(error)) from error
    except (RuntimeError, ValueError, OSError) as error:
        if any(sign in str(error) for sign in OOM_SIGNS):
            raise OutOfMemory(_first_line(error)) from error
        if any(sign in str(error) for sign in NO_KERNEL):
            raise Unsupported(_first_line(error)) from error
        raise


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

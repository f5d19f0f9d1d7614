"""The failures that are findings: a model that does not fit, a combination that an engine or a device cannot run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch


class Unsupported(Exception):
    """The engine or the device cannot run this configuration."""


class OutOfMemory(Exception):
    """The configuration does not fit into the memory of the device."""


class Tokens(NamedTuple):
    """How many tokens a run read and wrote."""

    read: int
    written: int


# What PyTorch and the C library say when a plain allocation in main memory fails: there is no exception class for it
CPU_OOM = (
    "DefaultCPUAllocator: can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "unable to mmap",
)
# What PyTorch says of a data type or operation that a device has no kernel for
NO_KERNEL = (
    "not implemented for",
    "is not supported on",
    "No valid quant linear",
    "only supported on",
    "requires GPU",
)


@contextmanager
def findings() -> Iterator[None]:
    """Turn the errors of a run that are findings into OutOfMemory and Unsupported; let all others through."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(_first_line(error)) from error
    except NotImplementedError as error:
        raise Unsupported(_first_line(error)) from error
    except (RuntimeError, ValueError, OSError) as error:
        if any(sign in str(error) for sign in CPU_OOM):
            raise OutOfMemory(_first_line(error)) from error
        if any(sign in str(error) for sign in NO_KERNEL):
            raise Unsupported(_first_line(error)) from error
        raise


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

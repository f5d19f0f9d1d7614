"""What the messages of other programs stand for, where they do not load or make a model.

Plumbing: one more sign of too little memory changes no number that was measured.
"""

import re
from pathlib import Path

from joulegrid.errors import InputError, OutOfMemory, Unsupported

# What llama.cpp says when memory is short
OOM_SIGNS = ("out of memory", "failed to allocate", "unable to allocate", "alloc_buffer")
# How it, and its converter, say that there is no such model in llama.cpp
UNKNOWN = "unknown model architecture"
CANNOT_CONVERT = (
    "NotImplementedError",
    "is not supported",
    "Can not map tensor",
    "Failed to detect model architecture",
)
# How gptqmodel and transformers say it
NOT_SUPPORTED = "not supported"


def of_loading(path: Path, said: list[str]) -> Exception:
    """The error behind what llama.cpp said while loading; what it throws itself tells nothing."""
    told = [re.sub(r"^[\d.]+ E +", "", line) for line in said if re.match(r"[\d.]+ E ", line)]
    memory = [line for line in told if any(sign in line for sign in OOM_SIGNS)]
    if memory:
        return OutOfMemory(memory[0])
    unknown = [line for line in told if UNKNOWN in line]
    if unknown:
        return Unsupported(f"llama.cpp: {unknown[0]}")
    return InputError(
        f"{path}: llama.cpp cannot load it: {told[0] if told else 'it does not say why'}"
    )


def of_converting(code: int, said: list[str]) -> Exception:
    """The error behind the exit code and the last lines of llama.cpp's converter."""
    last = said[-1] if said else "it said nothing"
    if any(sign in last for sign in CANNOT_CONVERT):
        reason = last.removeprefix("NotImplementedError: ")
        return Unsupported(f"llama.cpp's converter: {reason}")
    return RuntimeError(f"llama.cpp's converter failed with exit code {code}: {last}")


def of_library(error: Exception) -> Exception:
    """The finding that a library's error stands for, or the error itself."""
    return Unsupported(str(error)) if NOT_SUPPORTED in str(error) else error

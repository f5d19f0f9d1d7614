"""What the messages of other programs stand for, where they do not load or make a model.

Plumbing: one more sign of too little memory changes no number that was measured.
"""

import re
from pathlib import Path

from joulegrid.errors import Finding, InputError, OutOfMemory, Terminated, Unsupported

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
# What vLLM and PyTorch below it say when weights or a KV cache do not fit
VLLM_OOM = (
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "No available memory for the cache blocks",
    "larger than the available KV cache memory",
    "not enough GPU memory available",
    "is less than desired GPU memory utilization",
    "is less than desired CPU memory utilization",
    "allocation is less than requested memory for kv",
)
# How vLLM says that it does not run such weights, or not on such a device
VLLM_CANNOT = (
    "Unknown quantization method",
    "Unsupported quantization",
    "Unsupported num_bits",
    "is not supported for quantization method",
    "is not supported for the current GPU",
    "Marlin does not support",
    "Unsupported CPU attention configuration",
    "Failed to find a kernel",
    "are not supported for now",
    "does not recognize this architecture",
    "trust_remote_code=True",
    "must be divisible by tensor parallel size",
    "is not divisible by",
    "currently not supported",
    "Cannot find any model weights",
    "NotImplementedError",
)
# The end of a log that is shown where nothing in it is known
LAST_LINES = 15
# A line that says which error it was, as Python ends a traceback
ERROR_LINE = re.compile(r"(?:\] |^)([A-Za-z_.]*(?:Error|Exception)\b.*)$")
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


def of_vllm(error: Exception, said: list[str], when: str) -> Exception:
    """The error behind one of vLLM: its processes tell the reason in the log, not in what is
    raised.

    Parameters
    ----------
    said
        the lines of the log.
    """
    if isinstance(error, Finding | InputError | Terminated):
        return error
    here = f"{type(error).__name__}: {' '.join(str(error).split())}"
    told = [found[1] for line in said if (found := ERROR_LINE.search(line))]
    for finding, signs in ((OutOfMemory, VLLM_OOM), (Unsupported, VLLM_CANNOT)):
        for text in (*told, here):
            if any(sign in text for sign in signs):
                return finding(f"vLLM: {text}")
    last = "\n".join(said[-LAST_LINES:])
    return InputError(
        f"vLLM failed {when}: {here}; {told[-1] if told else 'its log does not say why'}\n"
        f"the log ends with\n{last}"
    )


def after_death(found: Exception) -> InputError:
    """What is asked of an engine of vLLM that died before, of what `found` says."""
    return InputError(
        f"vLLM's engine died of what was asked before ({found}): nothing else was tried; leave the "
        "point that it died of out of the study, or in a workload of its own"
    )

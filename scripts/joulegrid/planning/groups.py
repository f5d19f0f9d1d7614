"""Which cells err alike, so that what was measured of one teaches something of the others: those
that the same code runs on the same boards. It imports nothing that takes time.
"""

from collections.abc import Mapping
from typing import Any

from joulegrid.planning.formats import Format

Group = tuple[str, str, str]  # hardware entry, engine and kernel, with what the study says of both

# Keys of engines that say how much runs at a time, which predictions know, and not by which code
AMOUNTS = frozenset(
    {"batch_size", "slots", "max_num_seqs", "context", "max_model_len", "gpu_memory_utilization"}
)
USUAL = (False, None, "", "auto", "dynamic")  # values that change nothing


def group_of(
    hardware: str, engine: Mapping[str, Any], quantization: Mapping[str, Any], form: Format
) -> Group:
    """The group of a cell.

    Parameters
    ----------
    hardware
        label of the entry.
    engine, quantization
        entries of a study, with their defaults.
    form
        what they come to on its boards.
    """
    levers = [
        name if value is True else f"{name} {value}"
        for name, value in sorted(engine.items())
        if name not in AMOUNTS | {"method"} and value not in USUAL
    ]
    asked = []
    if engine["method"] == "transformers" and quantization.get("kernel", "auto") != "auto":
        asked.append(quantization["kernel"])
    # llama.cpp chooses by itself, and a kernel that is of 32 bits says so
    if engine["method"] != "llamacpp" and form.dtype != "fp32":
        asked += ["float32"] * (quantization.get("compute_dtype") == "float32")
    return hardware, " ".join([engine["method"], *levers]), " ".join([form.kernel, *asked])

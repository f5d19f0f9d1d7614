"""GPTQ (Frantar et al. 2023, arXiv 2210.17323) by gptqmodel.

Weights are rounded column by column, and those that are still to come make up for the errors.
"""

from pathlib import Path

import torch

from joulegrid.compression.quantization import gptqmodel_run
from joulegrid.engines.transformers.loading import gptq


def quantize(
    source: Path, folder: Path, entry: dict, calibration: torch.Tensor, device: str
) -> dict:
    """See `gptqmodel_run.run`."""
    config = gptqmodel_run.gptqmodel.QuantizeConfig(
        bits=entry["bits"],
        group_size=entry["group_size"],
        desc_act=entry["act_order"],
        act_group_aware=False,
        # without a GPU gptqmodel compiles a faster packer, which takes longer than packing
        pack_impl="auto" if device == "cuda" else "original",
    )
    return gptqmodel_run.run(source, folder, calibration, device, config)


def zero_share(folder: Path, entry: dict) -> float:
    """See `gptqmodel_run.zero_share`."""
    dtype = "float32" if entry["bits"] in gptq.BITS_OF_TRANSFORMERS else "bfloat16"
    plain = {**entry, "kernel": "gptq_torch", "compute_dtype": dtype}
    return gptqmodel_run.zero_share(gptq.load(folder, plain, "cpu"))

"""GPTQ (Frantar et al. 2023, arXiv 2210.17323) by gptqmodel: weights rounded column by column, errors compensated."""

from pathlib import Path

from joulegrid.compression import gptqmodel_run
from joulegrid.loading import gptq


def quantize(source: str, entry: dict, folder: Path, device: str, seed: int) -> dict:
    """See `gptqmodel_run.quantize`."""
    config = gptqmodel_run.gptqmodel.QuantizeConfig(
        bits=entry["bits"], group_size=entry["group_size"], desc_act=entry["act_order"], act_group_aware=False
    )
    return gptqmodel_run.quantize(source, entry, folder, device, seed, config)


def zero_share(folder: Path, entry: dict) -> float:
    """See `gptqmodel_run.zero_share`."""
    dtype = "float32" if entry["bits"] in gptq.BITS_OF_TRANSFORMERS else "bfloat16"
    plain = {**entry, "kernel": "gptq_torch", "compute_dtype": dtype}
    return gptqmodel_run.zero_share(gptq.load(folder, plain, "cpu"))

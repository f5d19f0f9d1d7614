"""AWQ (Lin et al. 2024, arXiv 2306.00978) by gptqmodel.

Channels that see large activations are scaled up before all weights are rounded to 4 bits, with one
scale and zero point per group.
"""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from joulegrid.compression.modules import linear_layers
from joulegrid.compression.quantization import gptqmodel_run
from joulegrid.engines.transformers.loading import awq
from joulegrid.errors import Unsupported

OUTPUTS = 64  # gptqmodel searches the clipping of that many outputs at a time


def quantize(
    source: Path, folder: Path, entry: dict, calibration: torch.Tensor, device: str
) -> dict:
    """See `gptqmodel_run.run`.

    Raises
    ------
    Unsupported
        where the size of a layer does not fit the format.
    """
    check(source, entry)
    config = gptqmodel_run.gptqmodel.QuantizeConfig(
        bits=entry["bits"], group_size=entry["group_size"], method="awq", format="gemm", sym=False
    )
    return gptqmodel_run.run(source, folder, calibration, device, config)


def check(source: Path, entry: dict) -> None:
    """Refuse a model whose layers AWQ cannot have.

    Raises
    ------
    Unsupported
        naming the layer whose size does not fit the format.
    """
    group = entry["group_size"]
    model = AutoModelForCausalLM.from_pretrained(source, device_map="meta")
    for name, layer in linear_layers(model).items():
        if layer.out_features % OUTPUTS:
            raise Unsupported(
                f"{name}: {layer.out_features} outputs are not a multiple of {OUTPUTS}, "
                "as AWQ needs"
            )
        if group > 0 and layer.in_features % group:
            raise Unsupported(
                f"{name}: {layer.in_features} inputs are not a multiple of group_size {group}; "
                "choose one that divides them"
            )


def zero_share(folder: Path, entry: dict) -> float:
    """See `gptqmodel_run.zero_share`."""
    plain = {**entry, "kernel": "torch_awq", "compute_dtype": "float32"}
    return gptqmodel_run.zero_share(awq.load(folder, plain, "cpu"))

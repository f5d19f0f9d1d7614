"""AWQ (Lin et al. 2024, arXiv 2306.00978) by gptqmodel: channels that see large activations are scaled up before all
weights are rounded to 4 bits, with one scale and zero point per group."""

from pathlib import Path

from transformers import AutoModelForCausalLM

from joulegrid.compression import gptqmodel_run
from joulegrid.compression.modules import linear_layers
from joulegrid.findings import Unsupported
from joulegrid.loading import awq

OUTPUTS = 64  # gptqmodel searches the clipping of that many outputs at a time


def quantize(source: str, entry: dict, folder: Path, device: str, seed: int) -> dict:
    """See `gptqmodel_run.quantize`.

    Raises Unsupported where the size of a layer does not fit the format.
    """
    check(source, entry)
    config = gptqmodel_run.gptqmodel.QuantizeConfig(
        bits=entry["bits"], group_size=entry["group_size"], method="awq", format="gemm", sym=False
    )
    return gptqmodel_run.quantize(source, entry, folder, device, seed, config)


def check(source: str, entry: dict) -> None:
    for name, layer in linear_layers(AutoModelForCausalLM.from_pretrained(source, device_map="meta")).items():
        if layer.out_features % OUTPUTS:
            raise Unsupported(f"{name}: {layer.out_features} outputs are not a multiple of {OUTPUTS}, as AWQ needs")
        if entry["group_size"] > 0 and layer.in_features % entry["group_size"]:
            raise Unsupported(
                f"{name}: {layer.in_features} inputs are not a multiple of group_size {entry['group_size']}; choose "
                "one that divides them"
            )


def zero_share(folder: Path, entry: dict) -> float:
    """See `gptqmodel_run.zero_share`."""
    return gptqmodel_run.zero_share(
        awq.load(folder, {**entry, "kernel": "torch_awq", "compute_dtype": "float32"}, "cpu")
    )

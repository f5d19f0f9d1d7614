"""What GPTQ and AWQ share: quantizing with gptqmodel, and reading back what it did."""

import csv
import math
import os
import re
from contextlib import chdir
from pathlib import Path

# Its default pool asks for more workers than a small machine has
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")

import gptqmodel
import torch
from torch import nn

from joulegrid.errors import InputError
from joulegrid.jobs import failures
from joulegrid.jobs.run import say

LOG = "quant_log.csv"


def run(
    source: Path,
    folder: Path,
    calibration: torch.Tensor,
    device: str,
    config: gptqmodel.QuantizeConfig,
) -> dict:
    """Quantize the model in `source` into `folder`, layer by layer.

    Parameters
    ----------
    calibration
        token ids, shape (samples, tokens).

    Returns
    -------
    What `describe` says.

    Raises
    ------
    Unsupported
        where gptqmodel does not know the architecture.
    InputError
        where the loss of a layer is no number.
    """
    samples = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in calibration.tolist()]
    try:
        model = gptqmodel.GPTQModel.load(str(source.resolve()), config, device=device)
    except TypeError as error:
        raise failures.of_library(error) from None
    folder = folder.resolve()
    with chdir(folder):  # gptqmodel writes a folder of logs where it is
        model.quantize(samples, batch_size=4)
        model.save(str(folder))
    return describe(folder)


def describe(folder: Path) -> dict:
    """Read gptqmodel's log: a loss for every layer, or the word fallback.

    Returns
    -------
    `error_mean`, the mean of gptqmodel's loss over all layers, and `fallback_layers`, those that
    were rounded to nearest because their Hessian could not be used.

    Raises
    ------
    InputError
        where the loss of a layer is no number.
    """
    with open(folder / LOG, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    fallback = [f"{row['layer']}.{row['module']}" for row in rows if "fallback" in row["loss"]]
    numbers = re.compile(r"[-+.\deE]+|nan|-?inf")
    losses = [float(row["loss"]) for row in rows if numbers.fullmatch(row["loss"])]
    if not all(map(math.isfinite, losses)):
        raise InputError(
            "the quantization error of a layer is no number: "
            "the model overflows on the calibration text"
        )
    for name in fallback:
        say(f"{name}: rounded to nearest, its Hessian could not be used")
    mean = sum(losses) / len(losses) if losses else None
    return {"error_mean": mean, "fallback_layers": fallback}


def quantized_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Find the layers that hold packed weights, by name."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "qweight")}


def dequantized(layer: nn.Module, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Read the weights (outputs, inputs) of a quantized layer on a CPU by feeding unit vectors."""
    units = torch.eye(layer.in_features, dtype=dtype)
    with torch.inference_mode():
        columns = torch.cat([layer(piece[None])[0] for piece in units.split(1024)])
        if layer.bias is not None:
            columns -= layer.bias
    return columns.T


def zero_share(model: nn.Module) -> float:
    """Count the zeros among the dequantized weights of all quantized layers, as a share.

    Rounding makes zeros, and error compensation fills zeros that pruning had made.
    """
    zeros = weights = 0
    for layer in quantized_layers(model).values():
        direct = getattr(layer, "dequantize_weight", None)
        values = direct() if direct else dequantized(layer, model.dtype)
        zeros += int((values == 0).sum())
        weights += values.numel()
    return zeros / weights

"""What GPTQ and AWQ share: quantizing with gptqmodel, and reading back what it did."""

import csv
import math
import os
import re
from contextlib import chdir
from pathlib import Path

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # its default pool asks for more workers than a small machine has

import gptqmodel
import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer

from joulegrid.calibration import calibration_tokens, context_of
from joulegrid.findings import Unsupported
from joulegrid.jobs import say
from joulegrid.records import InputError


def quantize(source: str, entry: dict, folder: Path, device: str, seed: int, config: gptqmodel.QuantizeConfig) -> dict:
    """Quantize the model in `source` into `folder`, layer by layer.

    Returns
    -------
    What to record: how many calibration samples; `error_mean`, the mean of gptqmodel's loss over all layers; and
    `fallback_layers`, those that were rounded to nearest because their Hessian could not be used.

    Raises
    ------
    Unsupported
        where gptqmodel does not know the architecture.
    InputError
        where the loss of a layer is no number.
    """
    context = context_of(AutoConfig.from_pretrained(source))
    tokens = calibration_tokens(entry["calibration"], AutoTokenizer.from_pretrained(source), seed, context)
    samples = [{"input_ids": row.tolist(), "attention_mask": [1] * len(row)} for row in tokens]
    try:
        model = gptqmodel.GPTQModel.load(str(Path(source).resolve()), config, device=device)
    except TypeError as error:
        raise Unsupported(str(error)) if "not supported" in str(error) else error from None
    with chdir(folder):  # gptqmodel writes a folder of logs where it is
        model.quantize(samples, batch_size=4)
        model.save(str(folder))
    drawn = {"samples": len(tokens), "distinct_samples": len(tokens.unique(dim=0))}
    return {"calibration": drawn, **_outcome(folder)}


def _outcome(folder: Path) -> dict:
    """From the log that gptqmodel saves: a loss for every layer, or the word fallback."""
    with open(folder / "quant_log.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    fallback = [f"{row['layer']}.{row['module']}" for row in rows if "fallback" in row["loss"]]
    losses = [float(row["loss"]) for row in rows if re.fullmatch(r"[-+.\deE]+|nan|-?inf", row["loss"])]
    if not all(map(math.isfinite, losses)):
        raise InputError("the quantization error of a layer is no number: the model overflows on the calibration text")
    for name in fallback:
        say(f"{name}: rounded to nearest, its Hessian could not be used")
    return {"error_mean": sum(losses) / len(losses) if losses else None, "fallback_layers": fallback}


def dequantized(layer: nn.Module, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The weights (outputs × inputs) that a quantized layer on the CPU multiplies with: its output for unit vectors."""
    units = torch.eye(layer.in_features, dtype=dtype)
    with torch.inference_mode():
        columns = torch.cat([layer(piece[None])[0] for piece in units.split(1024)])
        if layer.bias is not None:
            columns -= layer.bias
    return columns.T


def quantized_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that hold packed weights, by name."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "qweight")}


def zero_share(model: nn.Module) -> float:
    """The share of zeros among the dequantized weights of all quantized layers.

    Rounding makes zeros, and error compensation fills zeros that pruning had made.
    """
    zeros = weights = 0
    for layer in quantized_layers(model).values():
        direct = getattr(layer, "dequantize_weight", None)
        values = direct() if direct else dequantized(layer, model.dtype)
        zeros += int((values == 0).sum())
        weights += values.numel()
    return zeros / weights

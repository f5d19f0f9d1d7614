"""GPTQ (Frantar et al. 2023, arXiv 2210.17323) by gptqmodel: weights rounded column by column, errors compensated."""

import os
from contextlib import chdir
from pathlib import Path

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # its default pool asks for more workers than a small machine has

import gptqmodel
import optimum  # noqa: F401, transformers loads GPTQ weights through it
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTQConfig

from joulegrid.calibration import calibration_texts


def load_options(entry: dict) -> dict:
    """Arguments of from_pretrained for weights that `quantize` saved."""
    return {
        "dtype": getattr(torch, entry["compute_dtype"]),
        "quantization_config": GPTQConfig(bits=entry["bits"], backend=entry["kernel"]),
    }


def quantize(source: str, entry: dict, folder: Path, device: str, seed: int) -> dict:
    """Quantize the model in `source` into `folder`.

    Returns
    -------
    What to record: the number of calibration samples and their tokens.
    """
    texts = calibration_texts(entry["calibration"], AutoTokenizer.from_pretrained(source), seed)
    config = gptqmodel.QuantizeConfig(bits=entry["bits"], group_size=entry["group_size"], desc_act=entry["act_order"])
    model = gptqmodel.GPTQModel.load(str(Path(source).resolve()), config, device=device)
    with chdir(folder):  # gptqmodel writes a folder of logs where it is
        model.quantize(texts, batch_size=4)
        model.save(str(folder))
    return {"calibration_samples": len(texts), "calibration_tokens": entry["calibration"]["tokens"]}


def zero_share(folder: Path, entry: dict) -> float:
    """The share of zeros among the dequantized weights of all quantized layers, as they were saved.

    Rounding makes zeros, and error compensation fills zeros that pruning had made.
    """
    options = load_options({**entry, "kernel": "gptq_torch", "compute_dtype": "float32"})
    model = AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", **options)
    layers = [module.dequantize_weight() for module in model.modules() if hasattr(module, "dequantize_weight")]
    return sum(int((weight == 0).sum()) for weight in layers) / sum(weight.numel() for weight in layers)

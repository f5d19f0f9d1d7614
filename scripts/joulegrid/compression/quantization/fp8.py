"""FP8 W8A8 (E4M3, Micikevicius et al. 2022, arXiv 2209.05433).

One scale per output channel of the weights, activations scaled per token while they run; no
calibration. Stored in the compressed-tensors format, which vLLM and transformers run.
"""

from pathlib import Path

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import (
    QuantizationConfig,
    apply_quantization_config,
    preset_name_to_scheme,
)
from safetensors import safe_open
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from joulegrid.compression.modules import linear_layers
from joulegrid.errors import Unsupported
from joulegrid.models.files import weight_files

FORMAT = "float-quantized"
LARGEST = torch.finfo(torch.float8_e4m3fn).max  # 448


def quantize(
    source: Path, folder: Path, entry: dict, calibration: torch.Tensor | None, device: str
) -> dict:
    """Quantize the linear layers of all decoder blocks; nothing to note.

    Raises
    ------
    Unsupported
        where weights are not finite.
    """
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    layers = linear_layers(model)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    scheme = preset_name_to_scheme("FP8_DYNAMIC", ["Linear"])
    config = QuantizationConfig(
        config_groups={"linear": scheme},
        ignore=[name for name in linear if name not in layers],
        format=FORMAT,
    )
    apply_quantization_config(model, config)
    for name, layer in layers.items():
        _set_scale(layer, name)
    compressor = ModelCompressor.from_pretrained_model(model, quantization_format=FORMAT)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(str(folder))
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return {}


def _set_scale(layer: nn.Module, name: str) -> None:
    scale = layer.weight.data.float().abs().amax(dim=1, keepdim=True) / LARGEST
    if not torch.isfinite(scale).all():
        raise Unsupported(f"{name}: its weights are not finite numbers")
    # a channel of zeros has no scale; the smallest normal number of the type keeps it zero
    smallest = torch.finfo(layer.weight_scale.dtype).tiny
    layer.weight_scale.data.copy_(scale.clamp(min=smallest))


def zero_share(folder: Path, entry: dict) -> float:
    """Count the zeros among the stored FP8 weights, as a share."""
    zeros = weights = 0
    for path in weight_files(folder):
        with safe_open(path, "pt") as stream:
            for tensor in map(stream.get_tensor, stream.keys()):
                if tensor.dtype == torch.float8_e4m3fn:
                    zeros += int((tensor.view(torch.uint8) & 0x7F == 0).sum())
                    weights += tensor.numel()
    return zeros / weights

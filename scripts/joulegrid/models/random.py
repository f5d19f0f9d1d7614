"""A model of random weights, made from a configuration: energy, memory and speed of a study can be
tried before anything is downloaded. What it writes means nothing.

Weights are drawn from bits of PCG64, whose stream numpy keeps the same in all versions and on all
machines, by a table of normal quantiles: no library's own drawing, which differs with the
instructions of the CPU, has a part in it.
"""

import hashlib
import json
import shutil
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.core_model_loading import revert_weight_conversion
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from joulegrid.errors import InputError
from joulegrid.jobs.run import say
from joulegrid.models.content import TOKENIZER, content_hash
from joulegrid.records import ROOT

# The ids of the shipped tokenizer. A model has more tokens than that: it reads none of the others,
# and what it writes of them is no text
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
# Types of weights, and integers of their size
BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
# A file of weights holds about so much; so many weights are drawn at once
SHARD_BYTES, CHUNK = 2_000_000_000, 1 << 22
# Sixteen bits choose one of the quantiles, and a word has four times as many
QUANTILES, PER_WORD = 1 << 16, 4


def fetch(entry: dict, folder: Path) -> None:
    """Make the model of `entry["random"]["config"]` in `folder`, with the shipped tokenizer.

    Matrices are normal with the standard deviation that the configuration names
    (`initializer_range`, 0.02 where it does not); norms and biases are what transformers begins
    with. In memory there is one file of weights at a time.

    Raises
    ------
    InputError
        where transformers knows no causal language model of that configuration.
    """
    told = entry["random"]
    if content_hash(ROOT / TOKENIZER) != told["tokenizer"]:
        raise InputError(
            f"{TOKENIZER}: the files have changed since this job was planned; run snakemake again"
        )
    for path in sorted((ROOT / TOKENIZER).glob("tokenizer*")):
        shutil.copyfile(path, folder / path.name)
    config = {**told["config"], **SPECIAL}
    _write(folder / "config.json", config)
    model = _without_weights(folder)
    _write(folder / "config.json", {**config, "architectures": [type(model).__name__]})
    _save(model, entry["seed"], folder)


def _without_weights(folder: Path) -> Any:
    """The model on the device `meta`, which holds shapes and no numbers."""
    try:
        config = AutoConfig.from_pretrained(folder)
        dtype = config.dtype or torch.bfloat16
        if dtype not in BITS:
            raise ValueError(f"its dtype is {dtype}")
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, dtype=dtype)
    # whatever is wrong with a configuration that somebody wrote, transformers says it in many ways
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"the configuration makes no causal language model: {said[0]}; expected what "
            "config.json of a text model holds that transformers knows by itself"
        ) from None


def _save(model: Any, seed: int, folder: Path) -> None:
    """Draw and write one file of weights after the other, and the index of them."""
    layout = _layout(model)
    files = split_torch_state_dict_into_shards(layout, max_shard_size=SHARD_BYTES)
    table = _quantiles(_spread(model.config), model.dtype)
    for file, names in files.filename_to_tensors.items():
        say(f"{file}: {len(names)} tensors")
        save_file(  # nothing else holds these tensors: the next file begins with free memory
            {name: _drawn(layout[name], table, seed, name) for name in names},
            folder / file,
            metadata={"format": "pt"},
        )
    if files.is_sharded:
        index = {"metadata": files.metadata, "weight_map": files.tensor_to_filename}
        _write(folder / SAFE_WEIGHTS_INDEX_NAME, index)


def _spread(config: Any) -> float:
    return getattr(config.get_text_config(), "initializer_range", None) or 0.02


def _layout(model: Any) -> dict[str, torch.Tensor]:
    """Every tensor by its name in the files: matrices on the device `meta`, the rest with its
    values.
    """
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    known = {**model.state_dict(), **_vectors(model)}
    return revert_weight_conversion(model, {k: v for k, v in known.items() if k not in tied})


def _vectors(model: Any) -> dict[str, torch.Tensor]:
    """Parameters of fewer than two dimensions, as transformers begins with them; those of a module
    that also has matrices are biases, which begin with zeros.
    """
    found: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        thin = {key: tensor for key, tensor in own.items() if tensor.dim() < 2}
        if thin and len(thin) == len(own):
            module.to_empty(device="cpu", recurse=False)
            model._init_weights(module)
            thin = {key: getattr(module, key).detach() for key in thin}
        else:
            thin = {key: torch.zeros(t.shape, dtype=t.dtype) for key, t in thin.items()}
        found |= {f"{name}.{key}": tensor for key, tensor in thin.items()}
    return found


def _quantiles(spread: float, dtype: torch.dtype) -> torch.Tensor:
    """The quantiles of a normal distribution in the middles of equal parts."""
    normal = NormalDist(0, spread)
    values = [normal.inv_cdf((part + 0.5) / QUANTILES) for part in range(QUANTILES)]
    return torch.tensor(values, dtype=torch.float64).to(dtype)


def _drawn(wanted: torch.Tensor, quantiles: torch.Tensor, seed: int, name: str) -> torch.Tensor:
    """A tensor of the shape of `wanted`, drawn with a seed of its own: what it holds depends on the
    seed, its name and its size alone. `wanted` itself where it has values.
    """
    if not wanted.is_meta:
        return wanted
    own = hashlib.sha256(f"{seed} {name}".encode()).digest()
    bits, count = np.random.PCG64(int.from_bytes(own, "little")), wanted.numel()
    table = quantiles.view(BITS[quantiles.dtype]).numpy()
    values = np.empty(count, table.dtype)
    for begin in range(0, count, CHUNK):
        part = values[begin : begin + CHUNK]
        words = bits.random_raw(-(-part.size // PER_WORD)).astype("<u8").view("<u2")
        np.take(table, words[: part.size], out=part)
    return torch.from_numpy(values).view(quantiles.dtype).reshape(wanted.shape)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")

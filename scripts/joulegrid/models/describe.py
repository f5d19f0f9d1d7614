"""Describe a model folder from its config.json and the headers of its safetensors; nothing is loaded."""

import json
import math
from pathlib import Path
from typing import Any

from joulegrid.records import InputError

# The names that architectures give to the longest sequence they were made for
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")


def describe(folder: Path) -> dict[str, Any]:
    """Facts about the model in `folder`.

    Returns
    -------
    parameters (count, tied weights once), bytes (of the weight files), dtypes, architecture, context_length (tokens,
    None where the config does not say).

    Raises
    ------
    InputError
        where config.json or safetensors are missing, or a weight file is damaged.
    """
    config = _config(folder)
    files = weight_files(folder)
    headers = [header(path) for path in files]
    tensors = [t for head in headers for name, t in head.items() if name != "__metadata__"]
    text = config.get("text_config", {})
    return {
        "architecture": (config.get("architectures") or [config.get("model_type")])[0],
        "parameters": sum(math.prod(t["shape"]) for t in tensors),
        "bytes": sum(path.stat().st_size for path in files),
        "dtypes": sorted({t["dtype"] for t in tensors}),
        "context_length": next((c[k] for c in (config, text) for k in CONTEXT_KEYS if k in c), None),
    }


def stored_bytes(folder: Path) -> int:
    """The size of the weight files: of model.gguf, or of the safetensors."""
    single = folder / "model.gguf"
    return sum(path.stat().st_size for path in ([single] if single.is_file() else weight_files(folder)))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that transformers loads: those of the index, or model.safetensors.

    Pickled weights can run code when they are loaded and are not accepted.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_json(index)["weight_map"].values()))
        lost = [name for name in names if not (folder / name).is_file()]
        if lost:
            raise InputError(f"{folder}: {index.name} names {lost[0]}, which is not there; fetch the model again")
        return [folder / name for name in names]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    found = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".gguf"))
    beside = f" (found {', '.join(found[:3])})" if found else ""
    raise InputError(f"{folder}: no model.safetensors there{beside}; joulegrid loads safetensors only")


def header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: name -> dtype, shape, data_offsets."""
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("the header is longer than the file")
            return json.loads(stream.read(length))
    except ValueError as error:
        raise InputError(f"{path}: not a safetensors file ({error}); fetch the model again") from None


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json there; expected a model folder as transformers saves it")
    return _json(folder / "config.json")


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None

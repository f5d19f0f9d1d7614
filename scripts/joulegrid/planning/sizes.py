"""The sizes of a study's models, and how long its prompts are, as far as files here tell."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from joulegrid.planning.architecture import (
    Architecture,
    from_config,
    known_config,
    known_models,
)
from joulegrid.records import ROOT
from joulegrid.study.architectures import config_of
from joulegrid.study.frozen import prompts_in
from joulegrid.study.shelf import Shelf
from joulegrid.study.specs import Specs

# Kinds of models whose published weights are in 4 or 8 bits already
QUANTIZED = frozenset({"gpt_oss", "deepseek_v3"})
# Assumed where only a run can tell
BYTES_PER_TOKEN = 4.0  # of English prompts
TEMPLATE_TOKENS = 30.0  # of a chat template


class Models:
    """What is known here of the models of a study, by their labels; of one that was fetched what
    its folder says. Whoever plans, pilots or asks for resources sees the same.

    Parameters
    ----------
    shelf
        where models were fetched to.
    """

    def __init__(self, specs: Specs, shelf: Shelf) -> None:
        entries = specs.study.data["model"]

        @cache
        def config(label: str) -> dict[str, Any] | None:
            made = ROOT / shelf.weights(specs.model(label))
            return config_of_model(entries[label], made.parent)

        @cache
        def sizes(label: str) -> Architecture | None:
            known = config(label)
            return None if known is None else from_config(known)

        self.config, self.sizes = config, sizes


def by_label(data: Mapping[str, Any]) -> Callable[[str], Architecture | None]:
    """The sizes of a model of a study by its label, as far as known before it is fetched."""
    return cache(lambda label: architecture_of(data["model"][label]))


def architecture_of(entry: dict[str, Any], made: Path | None = None) -> Architecture | None:
    """The sizes of a model of a study; None where nothing here tells them. `made` is the folder
    that it was fetched to.
    """
    config = config_of_model(entry, made)
    return None if config is None else from_config(config)


def config_of_model(entry: dict[str, Any], made: Path | None = None) -> dict[str, Any] | None:
    """What is known of a model of a study: its config.json, where that is in its folder, in the
    hub's cache or in the folder `made` that it was fetched to, or what the table of public models
    says.
    """
    config = config_in(entry) or (_read(made) if made else None)
    return known_config(str(entry["hub"])) if config is None and "hub" in entry else config


def counted(entry: dict[str, Any]) -> Architecture | None:
    """The sizes of a model whose kind was compared with real ones; None of others, and of weights
    that are quantized as they come.
    """
    config = config_of_model(entry)
    if config is None or "quantization_config" in config or _kind(config) not in _kinds():
        return None
    return from_config(config)


def _kind(config: Mapping[str, Any]) -> Any:
    return config.get("text_config", config).get("model_type", config.get("model_type"))


@cache
def _kinds() -> frozenset[str]:
    """Kinds of models whose count of parameters was compared with transformers' own."""
    compared = {_kind(m["config"]) for m in known_models().values() if m["parameters"]}
    return frozenset(compared - QUANTIZED)


def config_in(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The config.json of a model of a study, None where it is not here."""
    if "random" in entry:
        return config_of(entry["random"])
    folder = folder_of(entry)
    return _read(folder) if folder else None


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the folder itself is named where it is resolved
        return None
    return config if isinstance(config, dict) else None


def folder_of(entry: dict[str, Any]) -> Path | None:
    """Where the files of a model lie, or would in the hub's cache; None of what is made first."""
    if "path" in entry:
        return ROOT / str(entry["path"])
    if "hub" not in entry:
        return None
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    name = "models--" + str(entry["hub"]).replace("/", "--")
    return home / "hub" / name / "snapshots" / str(entry["revision"])


def cut(model: Architecture, pruning: Mapping[str, Any]) -> Architecture:
    """The sizes behind a pruning that takes whole layers out; of others those before."""
    if pruning["method"] != "layers":
        return model
    gone = len(pruning["drop"]) if "drop" in pruning else round(pruning["ratio"] * model.layers)
    left = 1 - gone / model.layers
    return replace(
        model,
        parameters=model.parameters - (1 - left) * (model.linear + model.routed),
        linear=left * model.linear,
        routed=left * model.routed,
        layers=model.layers - gone,
        attention_layers=round(left * model.attention_layers),
        windowed_layers=round(left * model.windowed_layers),
        state_bytes=left * model.state_bytes,
    )


def prompts_of(workload: dict[str, Any]) -> tuple[int, float]:
    """How many prompts a workload has, and their mean bytes."""
    found = prompts_in(workload["prompts"])
    mean = sum(len(prompt.encode()) for prompt in found) / len(found)
    return workload.get("count", len(found)), mean


def tokens_of(size: float, chat: bool) -> float:
    """The tokens of a prompt of so many bytes, and of its chat template."""
    return size / BYTES_PER_TOKEN + (TEMPLATE_TOKENS if chat else 0.0)

"""What a study asks of a text or a model that it cannot give, known before anything is sent.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

import json
import math
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.models.context import context_of
from joulegrid.records import ROOT
from joulegrid.study.architectures import config_of
from joulegrid.study.frozen import prompts_in
from joulegrid.study.points import least


def of_texts(data: dict[str, Any]) -> list[str]:
    """More prompts, samples or tokens than a file has."""
    return [*_too_many_prompts(data), *_too_many_samples(data), *_too_many_tokens(data)]


def _too_many_prompts(data: dict[str, Any]) -> list[str]:
    lines = []
    for label, workload in data["workload"].items():
        repeats = workload["method"] == "lengths"
        if repeats or "count" not in workload or "prompts" not in workload:
            continue
        try:
            there = len(prompts_in(workload["prompts"]))
        except (OSError, InputError):  # the file itself is named where it is resolved
            continue
        if workload["count"] > there:
            count = workload["count"]
            lines.append(
                f"workload.{label}.count: got {count}; {workload['prompts']} has {there} prompts"
            )
    return lines


def _too_many_samples(data: dict[str, Any]) -> list[str]:
    """A token is at least one byte: more samples than that allows cannot be drawn, whatever the
    tokenizer.
    """
    lines = []
    for key, asked in _drawn(data).items():
        path = ROOT / asked["text"]
        samples = asked.get("samples") or asked["steps"] * asked["batch_size"]
        if path.is_file() and samples > path.stat().st_size - asked["tokens"] + 1:
            lines.append(
                f"{key}: {asked['text']} cannot give {samples} different pieces of "
                f"{asked['tokens']} tokens; name a longer text, or fewer or shorter samples"
            )
    return lines


def _too_many_tokens(data: dict[str, Any]) -> list[str]:
    """More tokens of a text than it has bytes, and the one that a tokenizer may put before it."""
    lines = []
    for label, task in data["quality"].items():
        path = ROOT / task.get("text", "")
        if "tokens" in task and path.is_file() and task["tokens"] > path.stat().st_size + 1:
            lines.append(
                f"quality.{label}.tokens: got {task['tokens']}; {task['text']} has "
                f"{path.stat().st_size} bytes, and no token is less than one"
            )
    return lines


def _drawn(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By their keys, the parts of entries that draw samples from a text."""
    return {
        f"{axis}.{label}.{use}": entry[use]
        for axis in ("pruning", "quantization")
        for label, entry in data[axis].items()
        for use in ("calibration", "recovery")
        if use in entry
    }


def of_models(data: dict[str, Any]) -> list[str]:
    """Pieces of text that are longer than a model's context, where the model's folder says how long
    that is.
    """
    lines = []
    asked = {
        f"quality.{label}.window": task["window"]
        for label, task in data["quality"].items()
        if "window" in task
    }
    asked |= {f"{key}.tokens": part["tokens"] for key, part in _drawn(data).items()}
    asked |= {
        f"training.{label}.sequence_length": entry["sequence_length"]
        for label, entry in data["training"].items()
        if "sequence_length" in entry
    }
    known = {model: context_of_entry(entry) for model, entry in data["model"].items()}
    for model, context in known.items():
        lines += [_too_long(key, n, model, context) for key, n in asked.items() if n > context]
    # of several models those that have no room are unsupported cells
    widest = max(known, key=lambda model: known[model])
    for label, workload in data["workload"].items():
        lines += [
            _too_long(f"workload.{label}.{key}", tokens, widest, known[widest])
            for key in ("prompt_tokens", "new_tokens")
            if key in workload and (tokens := least(workload[key])) > known[widest]
        ]
    return lines


def _too_long(key: str, tokens: int, model: str, context: float) -> str:
    return f"{key}: got {tokens}; the context of the model {model} is {context} tokens"


def context_of_entry(entry: dict[str, Any]) -> float:
    """The longest sequence of a model whose configuration is here, tokens; infinite where that does
    not say.
    """
    try:
        if "random" in entry:
            return context_of(config_of(entry["random"])) or math.inf
        config = Path(ROOT, entry["path"], "config.json") if "path" in entry else None
        found = context_of(json.loads(config.read_text(encoding="utf-8"))) if config else None
        return found or math.inf
    except (OSError, ValueError, InputError):  # the model itself is named where it is resolved
        return math.inf

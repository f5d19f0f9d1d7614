"""What a study asks of a text or a model that it cannot give, known before anything is sent.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

import json
from pathlib import Path
from typing import Any

from joulegrid.models.context import context_of
from joulegrid.records import ROOT
from joulegrid.study.points import least
from joulegrid.texts.files import decode, parse_prompts


def of_texts(data: dict[str, Any]) -> list[str]:
    """More prompts, samples or tokens than a file has."""
    return [*_too_many_prompts(data), *_too_many_samples(data), *_too_many_tokens(data)]


def _too_many_prompts(data: dict[str, Any]) -> list[str]:
    lines = []
    for label, workload in data["workload"].items():
        path = ROOT / workload.get("prompts", "")
        if workload["method"] == "lengths":  # repeats them
            continue
        if "count" not in workload or not path.is_file():
            continue
        try:
            there = len(
                parse_prompts(decode(path.read_bytes(), workload["prompts"]), workload["prompts"])
            )
        except Exception:  # the file itself is named where it is resolved
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
        f"workload.{label}.{key}": least(workload[key])
        for label, workload in data["workload"].items()
        for key in ("prompt_tokens", "new_tokens")
        if key in workload
    }
    for model, entry in data["model"].items():
        context = _context_in(ROOT / entry["path"]) if "path" in entry else None
        lines += [
            f"{key}: got {tokens}; the context of the model {model} is {context} tokens"
            for key, tokens in asked.items()
            if context and tokens > context
        ]
    return lines


def _context_in(folder: Path) -> int | None:
    """The longest sequence of the model in a folder; None where that does not say."""
    try:
        return context_of(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):  # the folder itself is named where it is resolved
        return None

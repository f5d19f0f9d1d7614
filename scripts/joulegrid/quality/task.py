"""One quality task on one configuration: load it, run the task."""

import math
from pathlib import Path
from typing import Any

import torch

from joulegrid.engines import transformers as engine
from joulegrid.jobs.implementation import implementation
from joulegrid.jobs.run import say
from joulegrid.records import Spec


def evaluate_task(
    spec: Spec, weights: Path, hardware: dict[str, Any], beside: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Every metric of the task: value, standard error, which way it is better, and the samples
    behind it where it is a mean over some.

    Parameters
    ----------
    hardware
        what this machine has: quality does not depend on it.
    beside
        where to write what was answered to each document of an lm-eval task, if anywhere.
    """
    task = spec["quality"]
    loaded = _loaded(spec, weights, hardware)
    method = implementation("quality", task["method"])
    found = method.evaluate(loaded.model, loaded.tokenizer, task, spec["seed"], beside)
    return {name: {**metric, "value": finite(metric["value"])} for name, metric in found.items()}


def generate_texts(spec: Spec, weights: Path, hardware: dict[str, Any]) -> dict[str, Any]:
    """The answers of the task, of which metrics are computed in jobs of their own; see
    `generation.generate`.
    """
    loaded = _loaded(spec, weights, hardware)
    method = implementation("quality", spec["quality"]["method"])
    return method.generate(loaded.model, loaded.tokenizer, spec["quality"], spec["seed"])


def _loaded(spec: Spec, weights: Path, hardware: dict[str, Any]) -> Any:
    torch.manual_seed(spec["seed"])
    loaded = engine.load(weights, spec["quantization"], hardware, {"batch_size": 1})
    say(f"loaded: {loaded.describe()}")
    return loaded


def finite(value: float) -> float | None:
    """The value, or None: a broken model (overflow, say) has no perplexity, and JSON has no number
    for it.
    """
    return value if math.isfinite(value) else None

"""Tasks of lm-evaluation-harness, through its Python interface."""

import math
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from joulegrid.records import ROOT, InputError


def evaluate(model: Any, tokenizer: Any, entry: dict, seed: int) -> dict[str, dict]:
    """The chosen metrics of one lm-eval task, with lm-eval's own standard errors.

    Raises
    ------
    InputError
        where lm-eval knows no such task, or the task has no such metric.
    """
    own = entry.get("folder")
    manager = TaskManager(include_path=str(ROOT / own) if own else None, include_defaults=own is None)
    if entry["task"] not in manager.all_tasks:
        place = own or "the tasks of lm-eval"
        raise InputError(f"quality.task: no task {entry['task']!r} in {place}; `lm-eval ls tasks` lists those it ships")
    answer = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=entry["batch_size"]),
        tasks=[entry["task"]],
        task_manager=manager,
        num_fewshot=entry["fewshot"],
        limit=entry.get("limit"),
        log_samples=False,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    results, better = answer["results"][entry["task"]], answer["higher_is_better"][entry["task"]]
    return {name: _metric(name, results, better) for name in entry["metrics"]}


def _metric(name: str, results: dict, better: dict) -> dict:
    """One metric out of lm-eval's results, whose keys are NAME,FILTER."""
    found = {key.split(",")[0]: value for key, value in results.items() if isinstance(value, int | float)}
    if name not in found:
        known = sorted(key for key in found if not key.endswith("_stderr"))
        raise InputError(f"quality.metrics: the task has no metric {name!r}; it has {', '.join(known)}")
    stderr = found.get(f"{name}_stderr")
    known = stderr is not None and math.isfinite(stderr)
    return {
        "value": float(found[name]),
        "stderr": float(stderr) if known else None,
        "higher_is_better": bool(better.get(name, True)),
    }

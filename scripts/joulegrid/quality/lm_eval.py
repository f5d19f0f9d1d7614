"""Tasks of lm-evaluation-harness, through its Python interface."""

import math
from collections.abc import Sequence
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from joulegrid.errors import InputError
from joulegrid.quality.samples import behind
from joulegrid.records import ROOT


def evaluate(model: Any, tokenizer: Any, entry: dict, seed: int) -> dict[str, dict]:
    """The chosen metrics of one lm-eval task, with lm-eval's own standard errors.

    Raises
    ------
    InputError
        where lm-eval knows no such task, or the task has no such metric.
    """
    own = entry.get("folder")
    include = str(ROOT / own["path"]) if own else None
    manager = TaskManager(include_path=include, include_defaults=own is None)
    if entry["task"] not in manager.all_tasks:
        raise InputError(
            f"quality.task: no task {entry['task']!r} in "
            f"{own['path'] if own else 'the tasks of lm-eval'}; "
            "`lm-eval ls tasks` lists those it ships"
        )
    answer = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=entry["batch_size"]),
        tasks=[entry["task"]],
        task_manager=manager,
        num_fewshot=entry["fewshot"],
        limit=entry.get("limit"),
        log_samples=True,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    results = answer["results"][entry["task"]]
    better = answer["higher_is_better"].get(entry["task"], {})
    samples = [
        # of a group, those of its tasks one after the other
        {**sample, "doc_id": (n, sample["doc_id"])}
        for n, task in enumerate(tasks_in(entry["task"], answer["group_subtasks"]))
        for sample in answer["samples"][task]
    ]
    return {
        name: metric_of(name, results, better, entry["directions"], samples)
        for name in entry["metrics"]
    }


def tasks_in(name: str, groups: dict[str, list[str]]) -> list[str]:
    """The tasks of a group, also of groups in it; of a task itself."""
    inner = groups.get(name) or []
    return [task for each in inner for task in tasks_in(each, groups)] or [name]


def metric_of(
    wanted: str,
    results: dict[str, Any],
    better: dict[str, Any],
    directions: dict[str, str],
    samples: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """One metric out of lm-eval's results.

    Parameters
    ----------
    wanted
        NAME, or NAME,FILTER where the task gives it after several filters.
    results
        NAME,FILTER -> value and NAME_stderr,FILTER -> standard error, as lm-eval names them.
    better, directions
        NAME -> whether higher is better, as lm-eval says it, and as the study does.

    Raises
    ------
    InputError
        where there is no such metric, several filters give it, or nobody says which way it is
        better.
    """
    name, _, chosen = wanted.partition(",")
    found = {
        key: value
        for key, value in results.items()
        if "," in key and isinstance(value, int | float)
    }
    filters = sorted(key.split(",", 1)[1] for key in found if key.split(",", 1)[0] == name)
    if name.endswith("_stderr"):
        filters = []
    if not filters or (chosen and chosen not in filters):
        raise InputError(
            f"quality.metrics: the task has no metric {wanted!r}; it has "
            + ", ".join(sorted(k for k in found if not k.split(",")[0].endswith("_stderr")))
        )
    if not chosen and len(filters) > 1:
        raise InputError(
            f"quality.metrics: {name!r} is given by several filters: choose "
            + " or ".join(f"{name},{each}" for each in filters)
        )
    chosen = chosen or filters[0]
    direction = directions.get(wanted) or {True: "higher", False: "lower"}.get(better.get(name))  # type: ignore[arg-type]
    if direction is None:
        raise InputError(
            f"quality.metrics: lm-eval does not say which way {name!r} is better; say it in the "
            "study: "
            f"directions: {{{wanted!r}: higher}} or lower"
        )
    stderr, value = found.get(f"{name}_stderr,{chosen}"), float(found[f"{name},{chosen}"])
    documents = [s for s in samples if s["filter"] == chosen and name in s]
    each = [s[name] for s in sorted(documents, key=lambda s: s["doc_id"])]
    return {
        "value": value,
        "stderr": float(stderr) if stderr is not None and math.isfinite(stderr) else None,
        "higher_is_better": direction == "higher",
        "samples": behind(value, each) if each else None,
    }

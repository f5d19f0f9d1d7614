"""What no schema can check in a study: names that point nowhere, values that do not go together,
cells that are not there.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

import re
from typing import Any

from joulegrid.records import ROOT
from joulegrid.study import guides, judges, limits, questions, replays, selection, trainings
from joulegrid.study.grid import CELL_AXES, Cell, Configuration
from joulegrid.study.methods import GENERATION, METHODS, Weights, method, metrics_of, tasks_of
from joulegrid.study.validation import nearest


def of_entries(data: dict[str, Any]) -> list[str]:
    """What is wrong with the entries of a study and the names in it."""
    return [
        *_dangling_names(data),
        *_prunings(data),
        *_quantizations(data),
        *trainings.problems(data),
        *_quality_tasks(data),
        *_engines(data),
        *_no_gpus(data),
        *_machines(data),
        *replays.of_replays(data),
        *limits.of_texts(data),
        *limits.of_models(data),
        *questions.of_tasks(data),
        *guides.of_tasks(data),
        *judges.of_tasks(data),
        *selection.of_names(data),
    ]


def of_grid(data: dict[str, Any], cells: list[Cell]) -> list[str]:
    """What is wrong with the cells that the grid leaves."""
    if not cells:
        return ["grid: include and exclude leave no cell; loosen one of them"]
    configurations = list(dict.fromkeys(cell.configuration for cell in cells))
    return [
        *_without_weights(data, configurations),
        *_without_baseline(data, cells),
        *guides.of_grid(data, configurations),
        *judges.of_grid(data, configurations),
        *selection.of_grid(data, cells),
    ]


def _dangling_names(data: dict[str, Any]) -> list[str]:
    lines = []
    for kind in ("include", "exclude"):
        for position, rule in enumerate(data["grid"][kind]):
            for axis, labels in rule.items():
                for label in [labels] if isinstance(labels, str) else labels:
                    if label not in data[axis]:
                        place = f"grid.{kind}.{position}.{axis}"
                        lines.append(f"{place}: no {axis} {label!r}; {nearest(label, data[axis])}")
    for axis, label in data["ranking"]["baseline"].items():
        if label not in data[axis]:
            lines.append(
                f"ranking.baseline.{axis}: no {axis} {label!r}; {nearest(label, data[axis])}"
            )
    known = metric_names(data)
    for name in data["ranking"]["metrics"]:
        if name not in known and name not in data["quality"]:
            lines.append(f"ranking.metrics: no metric {name!r}; {nearest(name, known)}")
    return [*lines, *_about_judges(data)]


def _about_judges(data: dict[str, Any]) -> list[str]:
    """Metrics in the ranking that say how a judge judges: the baseline has none of them, and
    nothing could be compared.
    """
    lines = []
    for label, task in data["quality"].items():
        known = method("quality", task)
        ranked = [name for name in known.metrics if name not in known.of_no_configuration]
        lines += [
            f"ranking.metrics: {label}.{name} says how the judge judges, and the baseline has none "
            f"of it; expected {' or '.join(f'{label}.{each}' for each in ranked)}"
            for name in sorted(known.of_no_configuration)
            if f"{label}.{name}" in data["ranking"]["metrics"]
        ]
    return lines


def _engines(data: dict[str, Any]) -> list[str]:
    """Compiled code without the cache that it needs."""
    return [
        f"engine.{label}.compile: got true with cache: dynamic; expected cache: static beside it"
        for label, entry in data["engine"].items()
        if entry.get("compile") and entry["cache"] == "dynamic"
    ]


def _no_gpus(data: dict[str, Any]) -> list[str]:
    """The energy of GPUs is compared where there is none."""
    without = all(entry["device"] == "cpu" for entry in data["hardware"].values())
    if data["ranking"]["energy"] != "gpu" or not without:
        return []
    return [
        "ranking.energy: got 'gpu', but no hardware of the study has one; expected all or "
        "measured, or a hardware entry with device: cuda"
    ]


def _machines(data: dict[str, Any]) -> list[str]:
    """What is accounted of machines that the study does not have, or of GPUs without a number."""
    lines = []
    for kind in ("embodied", "water"):
        lines += [
            f"carbon.{kind}.{label}: no hardware {label!r}; {nearest(label, data['hardware'])}"
            for label in data["carbon"].get(kind, {})
            if label not in data["hardware"]
        ]
    for label, entry in data["carbon"].get("embodied", {}).items():
        device = data["hardware"].get(label, {}).get("device")
        if device == "cuda" and not {"gpu_kg", "preset"} & set(entry):
            lines.append(
                f"carbon.embodied.{label}: the key 'gpu_kg' is missing; expected kg CO2e of making "
                "one GPU, this hardware has some"
            )
    return lines


def metric_names(data: dict[str, Any]) -> list[str]:
    """Every metric that the study's quality tasks yield, as TASK.METRIC."""
    names = []
    for label, task in data["quality"].items():
        names += [f"{label}.{name}" for name in metrics_of(task)]
    return names


def ranking_metrics(data: dict[str, Any]) -> list[str]:
    """The metrics that count in the ranking, as TASK.METRIC, sorted; a bare TASK in the study means
    all of its but those that are no quality by themselves.
    """
    chosen = data["ranking"]["metrics"] or list(data["quality"])
    unranked = _unranked(data)
    return [
        name
        for name in sorted(metric_names(data))
        if name in chosen or (_task_of(name, data) in chosen and name not in unranked)
    ]


def _unranked(data: dict[str, Any]) -> set[str]:
    beside = {
        f"{label}.{name}"
        for label, task in data["quality"].items()
        for name in method("quality", task).beside
    }
    return beside | {
        f"{label}.{name}"
        for label, task in tasks_of(GENERATION, data).items()
        for kind in task["metrics"]
        for name in METHODS["metric"][kind].metrics
        if not METHODS["metric"][kind].ranked
    }


def _task_of(name: str, data: dict[str, Any]) -> str:
    """The task of a TASK.METRIC; labels may hold dots themselves."""
    return next(
        task
        for task in sorted(data["quality"], key=len, reverse=True)
        if name.startswith(f"{task}.")
    )


def _prunings(data: dict[str, Any]) -> list[str]:
    lines = []
    for label, entry in data["pruning"].items():
        if "pattern" in entry:
            kept, group = map(int, entry["pattern"].split(":"))
            if not 0 < kept < group:
                lines.append(
                    f"pruning.{label}.pattern: got {kept}:{group}; expected N:M with 0 < N < M"
                )
            if entry.get("scope") == "global":
                lines.append(
                    f"pruning.{label}.scope: got global; an N:M pattern is the same in all layers"
                )
        importance = entry.get("importance")
        if importance in ("activation", "taylor") and "calibration" not in entry:
            lines.append(
                f"pruning.{label}: the key 'calibration' is missing; importance: {importance} "
                "needs a text "
                "(importance: magnitude does without, and is wrong on many models)"
            )
        if importance == "magnitude" and "calibration" in entry:
            lines.append(
                f"pruning.{label}.calibration: importance: magnitude reads no text; drop it"
            )
    return lines


def _quantizations(data: dict[str, Any]) -> list[str]:
    lines = []
    for label, entry in data["quantization"].items():
        if entry.get("bits") in (5, 6, 7) and entry["compute_dtype"] == "float32":
            lines.append(
                f"quantization.{label}.compute_dtype: got float32; {entry['bits']} bits run in "
                "bfloat16 or "
                "float16 only"
            )
        lines += [
            f"quantization.{label}.models: no model {model!r}; {nearest(model, data['model'])}"
            for model in entry.get("models", ())
            if model not in data["model"]
        ]
    return lines


def _quality_tasks(data: dict[str, Any]) -> list[str]:
    lines = []
    for label, task in data["quality"].items():
        if task.get("stride", 0) > task.get("window", 0):
            lines.append(
                f"quality.{label}.stride: {task['stride']} is more than the window of "
                f"{task['window']}, so that "
                "tokens would be skipped; expected at most the window"
            )
        folder = ROOT / task.get("folder", "")
        if "folder" in task and folder.is_dir():
            texts = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.yaml"))]
            names = [
                n
                for t in texts
                for n in re.findall(r"^(?:task|group):[ ]*([\w.-]+)", t, re.MULTILINE)
            ]
            if task["task"] not in names:
                hint = nearest(task["task"], names)
                lines.append(
                    f"quality.{label}.task: no task {task['task']!r} in {task['folder']}; {hint}"
                )
        lines += [
            f"quality.{label}.directions: no metric {name!r}; {nearest(name, task['metrics'])}"
            for name in task.get("directions", ())
            if name not in task["metrics"]
        ]
    return lines


def _without_weights(data: dict[str, Any], configurations: list[Configuration]) -> list[str]:
    """Configurations whose ready-made weights the study does not name, or that change them before
    they are quantized.
    """
    lines = []
    for model, training, pruning, label in configurations:
        entry = data["quantization"][label]
        if method("quantization", entry).weights != Weights.FETCHED:
            continue
        if model not in entry["models"]:
            lines.append(
                f"quantization.{label}.models: no weights for {model}; add them, or exclude it "
                "from the grid"
            )
        for axis, name in (("training", training), ("pruning", pruning)):
            if data[axis][name]["method"] != "none":
                lines.append(
                    f"quantization.{label}: ready-made weights cannot be combined with {axis}: "
                    f"{name}; exclude it: "
                    f"grid.exclude: [{{{axis}: {name}, quantization: {label}}}]"
                )
                break
    return list(dict.fromkeys(lines))


def _without_baseline(data: dict[str, Any], cells: list[Cell]) -> list[str]:
    """Places none of whose cells is the baseline: nothing could be compared there."""
    baseline = data["ranking"]["baseline"]
    places = [axis for axis in CELL_AXES if axis not in baseline]
    position = {axis: CELL_AXES.index(axis) for axis in CELL_AXES}
    there = {
        tuple(cell[position[axis]] for axis in places)
        for cell in cells
        if all(cell[position[axis]] == label for axis, label in baseline.items())
    }
    if there:
        return []  # a place without a baseline is said in the tables; none at all is a mistake
    named = ", ".join(f"{axis}: {label}" for axis, label in baseline.items())
    return [
        f"ranking.baseline: {named} is excluded from the grid; pick another baseline or keep that "
        "cell"
    ]

"""Read a study: validate it, resolve the files and numbers it names, and check what no schema can."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from joulegrid.records import ROOT, InputError, digest, read_yaml, sha256_file
from joulegrid.study import grid
from joulegrid.study.grid import CELL_AXES, Cell, Configuration
from joulegrid.study.validation import check, nearest


@dataclass(frozen=True)
class Study:
    """A validated study. `data` is the study file with defaults; `resolved` adds what its files contain (hashes)."""

    data: dict[str, Any]
    source: str
    resolved: dict[str, dict[str, Any]] = field(repr=False)

    @property
    def name(self) -> str:
        return self.data["study"]

    @cached_property
    def cells(self) -> list[Cell]:
        axes = {axis: self.data[axis] for axis in CELL_AXES}
        return grid.cells(axes, **self.data["grid"])

    @cached_property
    def configurations(self) -> list[Configuration]:
        return list(dict.fromkeys(cell.configuration for cell in self.cells))

    def labels(self, axis: str) -> list[str]:
        return list(self.data[axis])

    def baseline(self, model: str) -> Configuration:
        """The configuration that relative numbers of `model` are taken against."""
        return Configuration(model, **self.data["ranking"]["baseline"])


def load(paths: Sequence[str | Path], overrides: dict | None = None) -> Study:
    """Read and validate a study file.

    Parameters
    ----------
    paths
        YAML files; a later one is merged over the earlier.
    overrides
        what `snakemake --config` gave, merged over the files.

    Raises
    ------
    InputError
        with one line per thing that is wrong.
    """
    data: dict = {}
    for path in paths:
        part = read_yaml(path)
        if not isinstance(part, dict):
            raise InputError(f"{path}: expected a study, a mapping of keys such as study, model, quantization")
        data = _merged(data, part)
    source = ", ".join([*map(_shown, paths), *(["--config"] if set(overrides or ()) - {"site"} else [])])
    return from_data(_merged(data, _typed(overrides or {})), source)


def from_data(data: dict, source: str) -> Study:
    """The same from data that is already read."""
    data = check("study", data, source)
    problems = [*_dangling_rules(data), *_impossible(data)]
    resolved, missing = _resolve_files(data)
    if problems or missing:
        raise InputError("\n".join(f"{source}: {line}" for line in [*problems, *missing]))
    data["ranking"]["metrics"] = ranking_metrics(data)  # one form, however the study puts it
    study = Study(data, source, resolved)
    if not study.cells:
        raise InputError(f"{source}: grid: include and exclude leave no cell; loosen one of them")
    lost = _without_checkpoint(study)
    if lost:
        raise InputError("\n".join(f"{source}: {line}" for line in lost))
    absent = [m for m in dict.fromkeys(c.model for c in study.cells) if study.baseline(m) not in study.configurations]
    if absent:
        raise InputError(
            f"{source}: ranking.baseline: {study.baseline(absent[0]).path} is excluded from the grid, so that "
            f"{', '.join(absent)} cannot be compared; pick another baseline or keep that configuration"
        )
    return study


def _without_checkpoint(study: Study) -> list[str]:
    """Configurations whose ready-made checkpoint the study does not name, or that change it before it is quantized."""
    lines = []
    for model, training, pruning, label in study.configurations:
        entry = study.data["quantization"][label]
        if entry["method"] != "prequantized":
            continue
        if model not in entry["models"]:
            lines.append(
                f"quantization.{label}.models: no checkpoint for {model}; add one, or exclude it from the grid"
            )
        changed = [
            f"{axis}: {name}"
            for axis, name in (("training", training), ("pruning", pruning))
            if study.data[axis][name]["method"] != "none"
        ]
        if changed:
            lines.append(
                f"quantization.{label}: ready-made weights cannot be combined with {changed[0]}; exclude it: "
                f"grid.exclude: [{{{changed[0]}, quantization: {label}}}]"
            )
    return list(dict.fromkeys(lines))


def _typed(value: Any) -> Any:
    """What `--config` gave, with numbers as numbers: Snakemake passes those inside a mapping as texts."""
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    return float(value) if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d*", value) else value


def _merged(base: dict, over: dict) -> dict:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def _shown(path: str | Path) -> str:
    path = Path(path).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _dangling_rules(data: dict) -> list[str]:
    """Names that point at no entry of an axis."""
    lines = []
    for kind in ("include", "exclude"):
        for position, rule in enumerate(data["grid"][kind]):
            for axis, labels in rule.items():
                for label in [labels] if isinstance(labels, str) else labels:
                    if label not in data[axis]:
                        lines.append(
                            f"grid.{kind}.{position}.{axis}: no {axis} {label!r}; {nearest(label, data[axis])}"
                        )
    for axis, label in data["ranking"]["baseline"].items():
        if label not in data[axis]:
            lines.append(f"ranking.baseline.{axis}: no {axis} {label!r}; {nearest(label, data[axis])}")
    for metric in data["ranking"]["metrics"]:
        if metric not in metric_names(data) and metric not in data["quality"]:
            lines.append(f"ranking.metrics: no metric {metric!r}; {nearest(metric, metric_names(data))}")
    return lines


def metric_names(data: dict) -> list[str]:
    """Every metric that the study's quality tasks yield, as TASK.METRIC."""
    names = []
    for label, task in data["quality"].items():
        metrics = ["perplexity"] if task["method"] == "perplexity" else task["metrics"]
        names += [f"{label}.{metric}" for metric in metrics]
    return names


def ranking_metrics(data: dict) -> list[str]:
    """The metrics that count in the ranking, as TASK.METRIC, sorted; a bare TASK in the study means all of its."""
    chosen = data["ranking"]["metrics"] or list(data["quality"])
    return [name for name in sorted(metric_names(data)) if name in chosen or name.rsplit(".", 1)[0] in chosen]


def _impossible(data: dict) -> list[str]:
    """Values that are each allowed but not together."""
    lines = []
    for label, pruning in data["pruning"].items():
        if "pattern" in pruning:
            kept, group = map(int, pruning["pattern"].split(":"))
            if not 0 < kept < group:
                lines.append(f"pruning.{label}.pattern: got {kept}:{group}; expected N:M with 0 < N < M")
            if pruning.get("scope") == "global":
                lines.append(f"pruning.{label}.scope: got global; an N:M pattern is the same in all layers")
        if pruning.get("importance") == "activation" and "calibration" not in pruning:
            lines.append(f"pruning.{label}: the key 'calibration' is missing; importance: activation needs a text")
        if pruning.get("importance") == "magnitude" and "calibration" in pruning:
            lines.append(f"pruning.{label}.calibration: importance: magnitude reads no text; drop it")
    for label, quantization in data["quantization"].items():
        if quantization.get("bits") in (5, 6, 7) and quantization["compute_dtype"] == "float32":
            lines.append(
                f"quantization.{label}.compute_dtype: got float32; {quantization['bits']} bits run in bfloat16 or "
                "float16 only"
            )
        if quantization["method"] == "prequantized":
            lines += [
                f"quantization.{label}.models: no model {model!r}; {nearest(model, data['model'])}"
                for model in quantization["models"]
                if model not in data["model"]
            ]
    for label, task in data["quality"].items():
        if task["method"] == "perplexity" and task["stride"] > task["window"]:
            lines.append(
                f"quality.{label}.stride: {task['stride']} is more than the window of {task['window']}, so that "
                "tokens would be skipped; expected at most the window"
            )
    return [*lines, *_too_many_prompts(data), *_unknown_tasks(data)]


def _too_many_prompts(data: dict) -> list[str]:
    lines = []
    for label, workload in data["workload"].items():
        path = ROOT / workload["prompts"]
        if "count" in workload and path.is_file():
            with open(path, "rb") as stream:
                there = sum(1 for line in stream if line.strip())
            if workload["count"] > there:
                lines.append(
                    f"workload.{label}.count: got {workload['count']}; {workload['prompts']} has {there} prompts"
                )
    return lines


def _unknown_tasks(data: dict) -> list[str]:
    """Tasks that no YAML file of their own folder defines. (What lm-eval ships is known on the nodes only.)"""
    lines = []
    for label, task in data["quality"].items():
        if "folder" in task:
            texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / task["folder"]).rglob("*.yaml"))]
            names = [n for text in texts for n in re.findall(r"^(?:task|group):[ ]*([\w.-]+)", text, re.MULTILINE)]
            if names and task["task"] not in names:
                hint = nearest(task["task"], names)
                lines.append(f"quality.{label}.task: no task {task['task']!r} in {task['folder']}; {hint}")
    return lines


def _resolve_files(data: dict) -> tuple[dict[str, dict], list[str]]:
    """Hashes of the files that a study names, by `axis.label`, and a line for each that is not there."""
    resolved, missing = {}, []
    wanted = [(f"workload.{k}", "prompts", v["prompts"]) for k, v in data["workload"].items()]
    wanted += [(f"quality.{k}", "text", v["text"]) for k, v in data["quality"].items() if "text" in v]
    wanted += [(f"quality.{k}", "folder", v["folder"]) for k, v in data["quality"].items() if "folder" in v]
    wanted += [
        (f"{axis}.{k}", f"{use}.text", v[use]["text"])
        for axis in ("pruning", "quantization")
        for k, v in data[axis].items()
        for use in ("calibration", "recovery")
        if use in v
    ]
    wanted += [
        (f"quantization.{k}.models.{model}", "path", source["path"])
        for k, v in data["quantization"].items()
        for model, source in v.get("models", {}).items()
        if "path" in source
    ]
    wanted += [(f"model.{k}", "path", v["path"]) for k, v in data["model"].items() if "path" in v]
    for entry, key, name in wanted:
        path = ROOT / name
        kind = "folder" if key in ("path", "folder") else "file"
        if not (path.is_dir() if kind == "folder" else path.is_file()):
            near = [str(p.relative_to(ROOT)) for p in path.parent.glob("*") if p.parent.is_relative_to(ROOT)]
            missing.append(f"{entry}.{key}: no such {kind} {name!r}; {nearest(name, sorted(near))}")
        elif key == "path":
            resolved[entry] = {"files": _folder_stamp(path)}
        elif key == "folder":
            files = sorted(p for p in path.rglob("*") if p.is_file())
            resolved[entry] = {"sha256": digest([[str(p.relative_to(path)), sha256_file(p)] for p in files])}
        elif "." in key:
            resolved.setdefault(entry, {})[key.replace(".text", "_sha256")] = sha256_file(path)
        else:
            resolved[entry] = {"sha256": sha256_file(path)}
    return resolved, missing


def _folder_stamp(path: Path) -> str:
    """Identity of a local model: names, sizes and times of its files. Hashing 60 GB at every dry-run would not do."""
    files = sorted(p for p in path.iterdir() if p.is_file())
    return digest([[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files])

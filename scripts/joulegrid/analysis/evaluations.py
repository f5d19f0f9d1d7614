"""What evaluations say of configurations: the groups quality and samples."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import samples
from joulegrid.analysis.judgments import Arenas
from joulegrid.analysis.reading import Records
from joulegrid.analysis.recorded.quality import Evaluation, Metric, Texts
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import DIRECTION, NOT_MEANINGFUL, QUALITY
from joulegrid.study.answering import engine_of
from joulegrid.study.checks import metric_names
from joulegrid.study.grid import Configuration
from joulegrid.study.job import Job
from joulegrid.study.methods import ARENA, GENERATION, METHODS
from joulegrid.study.specs import Specs


def groups(specs: Specs, records: Records, labels: dict[str, list[str]]) -> dict[str, xr.Dataset]:
    """The group quality, and the samples of every task that has some; `labels` are those of the
    axes of configurations.
    """
    study = specs.study
    metrics = sorted(metric_names(study.data))
    table = Table({**labels, "metric": metrics}, QUALITY)
    higher = dict.fromkeys(metrics, 1)
    answered: dict[str, dict[str, samples.Found]] = {}
    names = {
        task: metric_names({"quality": {task: entry}})
        for task, entry in study.data["quality"].items()
    }
    arenas = Arenas(specs, records)
    for configuration in study.configurations:
        for task, row in _evaluations(specs, records, configuration, names, arenas):
            found: dict[str, Metric] = row.pop("metrics", {})
            for name in row.pop("names"):
                metric = found.get(name)
                if metric is None:
                    table.add((*configuration, name), row)
                    continue
                higher[name] = int(metric.higher_is_better)
                if study.method("model", configuration.model) == "random":
                    table.add((*configuration, name), {**row, "reason": NOT_MEANINGFUL})
                    continue
                values = {"quality": metric.value, "stderr": metric.stderr}
                table.add((*configuration, name), {**row, **values})
                if metric.samples is not None:
                    answers = answered.setdefault(task, {}).setdefault(name, {})
                    answers[configuration] = metric.samples
    dataset = table.dataset()
    flags = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": " ".join(DIRECTION)}
    directions = np.array([higher[m] for m in metrics], "i1")
    about = {"long_name": "which way the metric is better", **flags}
    dataset["direction"] = ("metric", directions, about)
    found_samples = {f"/samples/{task}": samples.group(labels, answered[task]) for task in answered}
    return {"/quality": dataset, **found_samples}


def _evaluations(
    specs: Specs,
    records: Records,
    configuration: Configuration,
    names: dict[str, list[str]],
    arenas: Arenas,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Task and row of every record of metrics of a configuration; `names` are those that it should
    have.
    """
    for task, entry in specs.study.data["quality"].items():
        if entry["method"] == ARENA:
            yield task, arenas.row(configuration, task)
            continue
        if entry["method"] != GENERATION:
            yield task, _evaluation(specs.quality(configuration, task), records, task, names[task])
            continue
        made = specs.texts(configuration, task)
        texts = records.row(made, Texts, partial(_notes, engine=engine_of(made.parts)))
        for metric in entry["metrics"]:
            job = specs.scores(configuration, task, metric)
            own = [f"{task}.{name}" for name in METHODS["metric"][metric].metrics]
            row = _evaluation(job, records, task, own)
            yield task, {**row, "notes": texts.get("notes")}


def _notes(record: Texts, engine: str | None) -> dict[str, Any]:
    by = f"answered by {engine}" if engine else ""
    return {"notes": "; ".join(filter(None, (by, record.counts.notes)))}


def _evaluation(job: Job, records: Records, task: str, names: list[str]) -> dict[str, Any]:
    """The row of a record of metrics, and their names."""
    extract = partial(_metrics, task=task, names=names)
    return {**records.row(job, Evaluation, extract), "names": names}


def _metrics(record: Evaluation, task: str, names: list[str]) -> dict[str, Any]:
    """Every metric of a task, by the name it has in the dataset; and how they were computed."""
    found = {name: record.metrics[name.removeprefix(f"{task}.")] for name in names}
    return {"metrics": found, "signature": record.signature}

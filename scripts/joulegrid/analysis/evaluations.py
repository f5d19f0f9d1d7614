"""What evaluations say of configurations: the groups quality, samples, answering and judging."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import answering, judging, samples
from joulegrid.analysis.answering import Answers
from joulegrid.analysis.judgments import Arenas
from joulegrid.analysis.reading import Records
from joulegrid.analysis.recorded.quality import Evaluation, Metric
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import DIRECTION, NOT_MEANINGFUL, QUALITY
from joulegrid.study.checks import metric_names
from joulegrid.study.grid import Configuration
from joulegrid.study.job import Job
from joulegrid.study.methods import ARENA, GENERATION, METHODS
from joulegrid.study.specs import Specs

# Begins the signature of a metric of lm-eval: the digest of the documents follows
DOCUMENTS = "documents "
# Data that changed on the hub, or another cache
UNLIKE = (
    "its documents are not the same for all configurations (`documents` of the records): values "
    "cannot be compared, and no sample is paired"
)
# A record holds no NaN: JSON has no word for it
NO_NUMBER = "it came out as no number: the model computes none, or values beyond all bounds"


def groups(specs: Specs, records: Records, labels: dict[str, list[str]]) -> dict[str, xr.Dataset]:
    """The group quality, the samples of every task that has some, what answering and judging took;
    `labels` are those of the axes of configurations.
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
    arenas, written = Arenas(specs, records), Answers(records)
    rows = [
        (configuration, task, row)
        for configuration in study.configurations
        for task, row in _evaluations(specs, records, configuration, names, arenas, written)
    ]
    unlike = _unlike(rows)
    for configuration, task, row in rows:
        found: dict[str, Metric] = row.pop("metrics", {})
        if task in unlike and found:
            row["notes"] = "; ".join(filter(None, (row.get("notes"), f"{task}: {UNLIKE}")))
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
            why = {"reason": metric.reason} if metric.reason else {}
            table.add((*configuration, name), {**row, **values, **why})
            if metric.samples is not None and task not in unlike:
                answers = answered.setdefault(task, {}).setdefault(name, {})
                answers[configuration] = metric.samples
    dataset = table.dataset()
    flags = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": " ".join(DIRECTION)}
    directions = np.array([higher[m] for m in metrics], "i1")
    about = {"long_name": "which way the metric is better", **flags}
    dataset["direction"] = ("metric", directions, about)
    found_samples = {f"/samples/{task}": samples.group(labels, answered[task]) for task in answered}
    several = {
        "/answering": answering.group(specs, labels, written),
        "/judging": judging.group(specs, labels, arenas.judged),
    }
    known = {path: group for path, group in several.items() if group is not None}
    return {"/quality": dataset, **found_samples, **known}


def _unlike(rows: list[tuple[Configuration, str, dict[str, Any]]]) -> set[str]:
    """The tasks of which configurations were asked other documents than others."""
    asked: dict[str, set[str]] = {}
    for _, task, row in rows:
        found = {metric.documents for metric in row.get("metrics", {}).values()}
        asked.setdefault(task, set()).update(found - {""})
    return {task for task, digests in asked.items() if len(digests) > 1}


def _evaluations(
    specs: Specs,
    records: Records,
    configuration: Configuration,
    names: dict[str, list[str]],
    arenas: Arenas,
    written: Answers,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Task and row of every record of metrics of a configuration; `names` are those that it should
    have.
    """
    for task, entry in specs.study.data["quality"].items():
        if entry["method"] == ARENA:
            yield task, arenas.row(configuration, task)
            continue
        if entry["method"] != GENERATION:
            yield task, row_of(specs.quality(configuration, task), records, task, names[task])
            continue
        texts = written.row(specs.texts(configuration, task))
        for metric in entry["metrics"]:
            job = specs.scores(configuration, task, metric)
            own = [f"{task}.{name}" for name in METHODS["metric"][metric].metrics]
            row = row_of(job, records, task, own)
            notes = "; ".join(filter(None, (texts.get("notes"), row.get("notes"))))
            yield task, {**row, "notes": notes}


def row_of(job: Job, records: Records, task: str, names: list[str]) -> dict[str, Any]:
    """The row of a record of metrics, and their names."""
    extract = partial(_metrics, task=task, names=names)
    return {**records.row(job, Evaluation, extract), "names": names}


def _metrics(record: Evaluation, task: str, names: list[str]) -> dict[str, Any]:
    """Every metric of a task, by the name it has in the dataset; how they were computed, and what a
    reader must know of them.
    """
    found = {name: record.metrics[name.removeprefix(f"{task}.")] for name in names}
    for metric in found.values():
        if metric.value is None:
            metric.reason = NO_NUMBER
    notes = "; ".join(f"{task}: {told}" for told in _told(found))
    signature = record.signature or next(
        (DOCUMENTS + metric.documents for metric in found.values() if metric.documents), ""
    )
    return {"metrics": found, "signature": signature, "notes": notes}


def _told(found: dict[str, Metric]) -> Iterator[str]:
    """What of prompts and texts was not read."""
    if too_long := max((metric.too_long for metric in found.values()), default=0):
        yield f"{too_long} prompts longer than the context, read from their end"
    for cut in {metric.cut for metric in found.values() if metric.cut is not None}:
        if cut.answers or cut.references:
            yield (
                f"{cut.answers} answers and {cut.references} references longer than the "
                f"{cut.longest} tokens that the encoder reads, cut there"
            )

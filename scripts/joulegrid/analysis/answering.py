"""The group answering: what generating the answers of a task took, and what their guide took."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import metered
from joulegrid.analysis.reading import Records
from joulegrid.analysis.recorded.quality import Texts
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import (
    COMPONENTS,
    ID,
    PER_COMPONENT,
    RECORD_STATUS,
    Variable,
    text,
)
from joulegrid.study.answering import engine_of
from joulegrid.study.grid import CONFIGURATION_AXES, short_name
from joulegrid.study.job import Job
from joulegrid.study.methods import GENERATION, tasks_of
from joulegrid.study.specs import Specs

# dims: model, training, pruning, quantization, task
ANSWERING = {
    "status": RECORD_STATUS,
    "id": ID,
    "answers": Variable("answers to the questions of the task"),
    "tokens_read": Variable("prompt tokens of all answers"),
    "tokens_written": Variable("generated tokens of all answers"),
    "energy": Variable(
        "energy of the machine while the answers were made",
        "J",
        PER_COMPONENT,
        comment="loading the weights included, idling too; once, in no session: tasks of one "
        "configuration can be compared, for all else there is the group energy",
    ),
    "duration": Variable("wall time of that", "s"),
    "basis": metered.BASIS_OF,
    "guide": text("id of the record of the texts that stand in the prompts", "empty without"),
    "guide_answers": Variable("answers in that record"),
    "guide_tokens_written": Variable("generated tokens of all of them"),
    "guide_energy": Variable(
        "energy of the machine while they were made",
        "J",
        PER_COMPONENT,
        comment="once for all configurations that use them, and in none of their energies",
    ),
    "reason": text("why there is no number"),
}
Row = dict[str, Any]


class Answers:
    """The rows of records of answers, each read once."""

    def __init__(self, records: Records):
        self.records = records
        self._read: dict[str, Row] = {}

    def row(self, job: Job) -> Row:
        """The variables of the group, and `notes` of what a reader must know of the answers."""
        if job.path not in self._read:
            extract = partial(_row, engine=engine_of(job.parts))
            self._read[job.path] = self.records.row(job, Texts, extract)
        return self._read[job.path]


def _row(record: Texts, engine: str | None) -> Row:
    by = f"answered by {engine}" if engine else ""
    return {
        "notes": "; ".join(filter(None, (by, record.counts.notes))),
        "answers": len(record.answers),
        "tokens_read": sum(answer.tokens_read for answer in record.answers),
        "tokens_written": sum(answer.tokens_written for answer in record.answers),
        **metered.row_of(record.cost),
    }


def group(specs: Specs, labels: dict[str, list[str]], answers: Answers) -> xr.Dataset | None:
    """The group, None where a study generates no answers; `labels` are those of the axes of
    configurations.
    """
    tasks = sorted(tasks_of(GENERATION, specs.study.data))
    if not tasks:
        return None
    table = Table({**labels, "task": tasks}, ANSWERING, {"component": COMPONENTS})
    for configuration in specs.study.configurations:
        for task in tasks:
            row = answers.row(specs.texts(configuration, task))
            guide = specs.guide(configuration, task)
            told = _of_guide(answers.row(guide)) if guide else {}
            table.add((*configuration, task), {**row, **told})
    return table.dataset()


def _of_guide(row: Row) -> Row:
    names = ("answers", "tokens_written", "energy")
    return {"guide": row.get("id"), **{f"guide_{name}": row.get(name) for name in names}}


def frame(answering: xr.Dataset) -> list[Row]:
    """A row for the answers of every configuration to every task that were metered: names, tokens
    read and written and J per answer, the guide's J per answer of its own, None without one, and
    how the energy was obtained.
    """
    rows = []
    varying = [a for a in CONFIGURATION_AXES if answering.sizes[a] > 1] or ["quantization"]
    metered_there = answering.energy.sum("component", skipna=False).notnull()
    order = (*CONFIGURATION_AXES, "task")
    for index in np.argwhere(metered_there.transpose(*order).values):
        one = answering.isel(dict(zip(order, index, strict=True)))
        count = float(one.answers)
        guide = float(one.guide_energy.sum(skipna=False)) / float(one.guide_answers)
        rows.append(
            {
                "configuration": short_name([str(one[axis].values) for axis in varying]),
                "task": str(one.task.values),
                "answers": int(count),
                "read": float(one.tokens_read) / count,
                "written": float(one.tokens_written) / count,
                "joules": float(one.energy.sum()) / count,
                "guide": None if np.isnan(guide) else guide,
                "basis": metered.bases(one),
            }
        )
    return rows

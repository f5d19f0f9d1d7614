"""Merge the records of all jobs into one xarray DataTree with the axes as dimensions.

Cells that were excluded, are missing or failed to fit are NaN, and the status beside each measured
variable says which it is.
"""

import json
from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import evaluations, facts, trained
from joulegrid.analysis.points import Sweeps, lengths_of
from joulegrid.analysis.reading import Missing, Records
from joulegrid.analysis.recorded import Ways
from joulegrid.analysis.recorded.making import Made, Model
from joulegrid.analysis.recorded.session import Session
from joulegrid.analysis.replays import Replays
from joulegrid.analysis.sessions import session_row
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import (
    COMPONENTS,
    COST,
    ENERGY,
    KINDS,
    LENGTHS,
    QUANTILES,
    STATUS,
    WEIGHTS,
)
from joulegrid.records import nameless, written_by
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES, Cell, Configuration
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.job import Job
from joulegrid.study.methods import ARENA, METHODS, Weights
from joulegrid.study.parts import UNSPECIFIC
from joulegrid.study.shelf import Shelf
from joulegrid.study.specs import Specs
from joulegrid.study.study import Study

# The label of a definition that is one for all cells
ALL_CELLS = "all"


def merge(
    specs: Specs, shelf: Shelf, infeasible: Infeasible = MappingProxyType({})
) -> tuple[xr.DataTree, Missing]:
    """All records of a study as one tree; `infeasible` is what no job was sent for since it is
    known not to fit, and why.

    Returns
    -------
    The tree, with the groups of `describe.GROUPS` that jobs measure, and a row {kind, path, status,
    reason} for each record that is not a measurement.
    """
    records = Records(shelf, infeasible)
    known: dict[str, dict[str, Any]] = {}
    row_of = partial(_row_of, records, known)
    groups = {
        "/": xr.Dataset(attrs=_attributes(specs)),
        **_energy(specs, records),
        **evaluations.groups(specs, records, _labels(specs, CONFIGURATION_AXES)),
        "/training": trained.group(specs, _labels(specs, ("model", "training")), row_of),
        "/weights": _weights(specs, row_of),
    }
    groups["/cost"] = _cost(records)
    models = {
        label: known.get(specs.model(label).path, {}) for label in specs.study.labels("model")
    }
    tree = xr.DataTree.from_dict(groups, name=specs.study.name)
    return facts.along(
        tree, facts.of_study(specs.study, models, groups["/energy"])
    ), records.missing


def _attributes(specs: Specs) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.12",
        "title": f"joulegrid study {specs.study.name}",
        "study": json.dumps(specs.study.data, sort_keys=True),
        "definitions": json.dumps(definitions(specs.study), sort_keys=True),
        **written_by(),
    }


def definitions(study: Study) -> dict[str, dict[str, Any]]:
    """What the labels of a study mean, and how it measures: files by their content, without what
    changes no result.
    """
    found: dict[str, dict[str, Any]] = {
        kind: {label: nameless(study.entry(kind, label)) for label in study.labels(kind)}
        for kind in (*CELL_AXES, "quality")
    }
    # ready-made weights are of one model each: another study may name those of others
    found["ready-made weights"] = {
        f"{label} of {model}": weights
        for label, entry in found["quantization"].items()
        for model, weights in entry.pop("models", {}).items()
    }
    for entry in found["quality"].values():
        if "judge" in entry:  # where it is asked changes nothing
            running = METHODS["quality"][ARENA].running
            entry["judge"] = {k: v for k, v in entry["judge"].items() if k not in running}
    protocol = study.data["protocol"].items()
    return {**found, "protocol": {ALL_CELLS: {k: v for k, v in protocol if k not in UNSPECIFIC}}}


def _labels(specs: Specs, axes: Iterable[str]) -> dict[str, list[str]]:
    """Labels in alphabetical order: the order in the study file means nothing and invalidates
    nothing.
    """
    return {axis: sorted(specs.study.labels(axis)) for axis in axes}


def _energy(specs: Specs, records: Records) -> dict[str, xr.Dataset]:
    """The groups energy and lengths, points where a workload has several, and replay."""
    study = specs.study
    sessions = range(1, study.data["protocol"]["sessions"] + 1)
    cells: dict[str, list[Any]] = {**_labels(specs, CELL_AXES)}
    axes = {**cells, "session": list(sessions)}
    table = Table(axes, ENERGY, {"component": COMPONENTS})
    lengths = Table(cells, LENGTHS, {"quantile": QUANTILES})
    sweeps = Sweeps(axes, study.data["workload"])
    replays = Replays(axes, study.data["workload"])
    ways: dict[str, set[Ways]] = {label: set() for label in axes["hardware"]}
    measured: list[dict[str, Any]] = []  # rows of the points of one session
    told: dict[Cell, dict[str, Any]] = {}

    def extract(record: Session) -> dict[str, Any]:
        row = session_row(record)
        if cell.workload in sweeps.counts:
            measured.extend(sweeps.rows(cell, record))
        if cell not in told and record.points:
            told[cell] = lengths_of(record)
        if record.replay is not None:
            replays.add(cell, session, record.replay, records.beside(specs.energy(cell, session)))
        ways[cell.hardware].add(record.components)
        return row

    for cell in study.cells:
        for session in sessions:
            measured.clear()
            if (why := study.unsupported(cell)) is not None:
                row = {"status": STATUS.index("unsupported"), "reason": why}
            else:
                row = records.row(specs.energy(cell, session), Session, extract)
            table.add((*cell, session), row)
            if cell.workload in sweeps.counts:
                sweeps.add(cell, session, row, measured)
        if cell in told:
            lengths.add(cell, told[cell])
    dataset = table.dataset()
    texts = [[_said(ways[label], c) for c in COMPONENTS] for label in axes["hardware"]]
    about = {"long_name": "how the energy of the component was obtained"}
    dataset["method"] = (("hardware", "component"), texts, about)
    several = {"/points": sweeps.dataset(), "/replay": replays.dataset()}
    known = {name: group for name, group in several.items() if group is not None}
    return {"/energy": dataset, "/lengths": lengths.dataset(), **known}


def _said(ways: set[Ways], component: str) -> str:
    """All ways in which the energy of a component was obtained."""
    found = {(how.basis, how.method) for how in map(attrgetter(component), ways)}
    return "; ".join(f"{basis}: {method}" for basis, method in sorted(found))


def _row_of(records: Records, known: dict[str, dict[str, Any]], job: Job) -> dict[str, Any]:
    """The row of a job that makes weights; `known` has those that were read, by their paths."""
    if job.path not in known:  # many configurations are made from one model
        shape, more = trained.SHAPES.get(job.kind, (Model if job.kind == "models" else Made, None))
        known[job.path] = records.row(
            job,
            shape,
            lambda record: {**_made(record), **(more(record) if more else {})},
            trained.of_ended,
        )
    return known[job.path]


def _weights(specs: Specs, row_of: Callable[[Job], dict[str, Any]]) -> xr.Dataset:
    """The group weights."""
    table = Table(_labels(specs, CONFIGURATION_AXES), WEIGHTS)
    for configuration in specs.study.configurations:
        chain = [row_of(job) for job in specs.made_from(configuration)]
        if all(row["status"] == STATUS.index("ok") for row in chain):
            table.add(configuration, _summary(specs, configuration, chain))
    return table.dataset()


def _made(record: Made) -> dict[str, Any]:
    """What a record of a model or of weights says of them."""
    cost = record.cost
    return {
        "parameters": record.parameters,
        "size": record.bytes,
        "sparsity": record.sparsity.mean if record.sparsity else None,
        "making_time": cost.seconds if cost else 0.0,
        "making_energy": cost.joules if cost else 0.0,
        "making_disturbed": cost.disturbed or [] if cost else [],
    }


def _cost(records: Records) -> xr.Dataset:
    """What the jobs of the study took, kind by kind."""
    kinds = [kind for kind in KINDS if records.spent.get(kind)]
    rows = {kind: np.array(records.spent[kind]) for kind in kinds}
    found = {
        "jobs": [float(len(rows[kind])) for kind in kinds],
        "duration": [rows[kind][:, 0].sum() for kind in kinds],
        "energy": [_known_sum(rows[kind][:, 1]) for kind in kinds],
    }
    return xr.Dataset(
        {name: ("kind", np.array(found[name], "f8"), v.attrs) for name, v in COST.items()},
        coords={"kind": np.array(kinds, "O")},
    )


def _known_sum(joules: np.ndarray) -> float:
    """The sum of what is known, NaN where nothing is."""
    known = joules[np.isfinite(joules)]
    return float(known.sum()) if known.size else np.nan


def _summary(
    specs: Specs, configuration: Configuration, chain: list[dict[str, Any]]
) -> dict[str, Any]:
    """One row of the group weights, out of those of all that a configuration is made from."""
    name = specs.study.method("quantization", configuration.quantization)
    how, last = METHODS["quantization"][name].weights, chain[-1]
    known = how != Weights.FETCHED  # what it cost others is not known
    return {
        # packed integers hold several weights each: the model that they were made from has the
        # count
        "parameters": [row["parameters"] for row in chain if row["parameters"]][-1],
        "id": last["id"],
        "size": last["size"],
        # 8 and 4 bits that are made while loading add zeros, nobody counts them
        "sparsity": last["sparsity"] if how != Weights.LOADED or name == "cast" else None,
        "making_time": sum(row["making_time"] for row in chain) if known else None,
        "making_energy": sum(row["making_energy"] for row in chain) if known else None,
        "making_disturbed": "; ".join(text for row in chain for text in row["making_disturbed"]),
        "accepted": next((row["accepted"] for row in chain if row["accepted"]), None),
    }

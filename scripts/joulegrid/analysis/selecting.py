"""Which trained models go on: candidates ranked by R(w) as all cells are, see `comparison`; and the
dataset of a study that selects.
"""

import json
from types import MappingProxyType
from typing import Any

import pandas as pd
import xarray as xr

from joulegrid.analysis import comparison, dataset, ranked
from joulegrid.analysis.reading import Missing
from joulegrid.errors import InputError
from joulegrid.records import SCHEMA_VERSION
from joulegrid.study import selection
from joulegrid.study.grid import CELL_AXES, Cell
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.selection import Trained
from joulegrid.study.shelf import MARKERS, RESULTS, Shelf, jobs_of
from joulegrid.study.specs import Specs

NUMBERS = ("score", "score_ci95", "efficiency", "quality", "energy_per_token")
NONE: Infeasible = MappingProxyType({})
OPEN = "The selection is open: a record that it is decided by is not there yet."


def select(
    specs: Specs, shelf: Shelf, chosen: dict[str, Any], infeasible: Infeasible = NONE
) -> dict[str, Any]:
    """Rank the candidates of a study and say who goes on, and why.

    Only the candidates and the baselines of their places are compared, so that nothing else changes
    what goes on. Of equal scores the one that the study's grid has first is before the other. What
    has no rank (a finding, a metric that is missing, a requirement that is not met) never goes on.

    Parameters
    ----------
    chosen
        how to rank, see `comparison.compare`.
    infeasible
        cells that no job was sent for, see `dataset.merge`.

    Returns
    -------
    What is written as selection.json: the choices, `candidates` with their numbers, `goes_on` and
    `why`, and `said`, a sentence for each group.

    Raises
    ------
    InputError
        where a record that it is decided by is missing or damaged.
    """
    study = specs.study
    loops, asked = study.loops, study.data["selection"]
    assert loops is not None, "the study selects"
    compared = Specs(study.of_cells(loops.compared(chosen["baseline"])))
    tree, missing = dataset.merge(compared, shelf, infeasible)
    _refuse(missing)
    table = ranked.table(tree, comparison.compare(tree, chosen))
    rows = {Cell(*(row[axis] for axis in CELL_AXES)): row for _, row in table.iterrows()}
    candidates, said = [], []
    for group in loops.groups:
        found = _ranked([(each, rows[loops.candidates[each]]) for each in group], loops.count)
        candidates += [
            {**entry, "cell": loops.candidates[entry["model"], entry["training"]]._asdict()}
            for entry in found
        ]
        said.append(_sentence(found, loops.count, asked["per"]))
    return {
        "schema_version": SCHEMA_VERSION,
        "weight": chosen["weight"],
        "count": loops.count,
        "per": asked["per"],
        "metrics": chosen["metrics"],
        "normalisation": chosen["normalisation"],
        "energy": chosen["energy"],
        "baseline": chosen["baseline"],
        "candidates": candidates,
        "said": said,
    }


def _refuse(missing: Missing) -> None:
    """Records that are not there, or damaged, decide nothing."""
    lost = [row for row in missing if row["status"] == "missing"]
    if lost:
        lines = "\n".join(f"{row['path']}: {row['status']} {row['reason']}" for row in lost[:20])
        raise InputError(
            f"{lines}\nthe selection is decided by these {len(lost)} records; delete what is "
            "damaged and run snakemake again"
        )


def _ranked(members: list[tuple[Trained, pd.Series]], count: int) -> list[dict[str, Any]]:
    """The entries of a group, best first, those without a rank last."""
    able = [(each, row) for each, row in members if not pd.isna(row["rank"])]
    able.sort(key=lambda pair: -pair[1]["score"])
    unable = [(each, row) for each, row in members if pd.isna(row["rank"])]
    found = []
    for place, (each, row) in enumerate(able, start=1):
        last = able[min(count, len(able)) - 1]
        found.append(_entry(each, row, place <= count, _why(place, row, last, len(members), count)))
    return found + [_entry(each, row, False, _why_not(row)) for each, row in unable]


def _entry(trained: Trained, row: pd.Series, goes_on: bool, why: str) -> dict[str, Any]:
    numbers = {name: None if pd.isna(row[name]) else float(row[name]) for name in NUMBERS}
    model, training = trained
    return {"model": model, "training": training, **numbers, "goes_on": goes_on, "why": why}


def _why(
    place: int, row: pd.Series, last: tuple[Trained, pd.Series], members: int, count: int
) -> str:
    """In words; a candidate that shares the rank of the last that goes on is not worse than it as
    far as sessions and samples tell.
    """
    said = f"place {place} of {members}"
    if place > count:
        said += f", {count} go on" if count > 1 else ", 1 goes on"
        same = row["model"] == last[1]["model"] and row["rank"] == last[1]["rank"]
        if same:
            said += f"; sessions and samples do not tell it from {last[0][1]}, which goes on"
    return said


def _why_not(row: pd.Series) -> str:
    """Why there is no rank."""
    reason = f": {row['reason']}" if row["status"] != "ok" and row["reason"] else ""
    return f"no rank: {row['note'] or 'it has no R'}{reason}"


def _sentence(found: list[dict[str, Any]], count: int, per: str) -> str:
    """Of a group, who goes on."""
    there = [entry for entry in found if entry["goes_on"]]
    several = len({entry["model"] for entry in found}) > 1
    names = [f"{e['model']} {e['training']}" if several else e["training"] for e in there]
    of = f"of {found[0]['model']} " if per == selection.PER_MODEL or not several else ""
    head = f"{of}{len(there)} of {len(found)} trained models go on"
    text = f"{head}: {', '.join(names)}" if names else head
    if len(there) < count:
        text += f", because no more have a rank; {count} were asked for"
    return f"{text[0].upper()}{text[1:]}."


def merged(
    specs: Specs,
    shelf: Shelf,
    content: dict[str, Any] | None,
    infeasible: Infeasible = NONE,
) -> tuple[xr.DataTree, Missing]:
    """The dataset of a study that selects: the first loop, the second one of what goes on, and what
    an earlier selection left of the rest. Nobody asks for the records that lack there: they are not
    among those that are missing.

    Parameters
    ----------
    content
        what `select` said; None while the selection is open.
    infeasible
        cells that no job was sent for, see `dataset.merge`.
    """
    study = specs.study
    loops = study.loops
    assert loops is not None, "the study selects"
    found = content or {"open": True, "count": loops.count, "candidates": [], "said": [OPEN]}
    chosen = selection.goes_on(found)
    asked = loops.cells(chosen)
    wanted = {f"{RESULTS}/{job.path}.json" for job in jobs_of(specs, asked)}
    others = [cell for each in loops.second if each not in chosen for cell in loops.second[each]]
    kept, lacking = _left(specs, shelf, others, wanted)
    cells = {*asked, *kept}
    narrowed = Specs(study.of_cells(cell for cell in study.cells if cell in cells))
    tree, missing = dataset.merge(narrowed, shelf, infeasible)
    tree.attrs["selection"] = json.dumps(found, sort_keys=True)
    return tree, [row for row in missing if row["path"] not in lacking]


def _left(
    specs: Specs, shelf: Shelf, cells: list[Cell], wanted: set[str]
) -> tuple[list[Cell], set[str]]:
    """Those of the cells of which something was measured or evaluated beside the `wanted` records,
    and the records that they lack.
    """
    kept: list[Cell] = []
    lacking: set[str] = set()
    for cell in cells:
        if specs.study.unsupported(cell) is not None:
            continue
        own = [(job, f"{RESULTS}/{job.path}.json") for job in jobs_of(specs, [cell])]
        there = {path: shelf.record(job) is not None for job, path in own if path not in wanted}
        if any(there.get(path) for job, path in own if job.kind not in MARKERS):
            kept.append(cell)
            lacking |= {path for path, known in there.items() if not known}
    return kept, lacking

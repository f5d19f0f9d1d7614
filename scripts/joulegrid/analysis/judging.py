"""The group judging: what asking judges took, apart from every energy that is compared."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import metered
from joulegrid.analysis.recorded.quality import Judgments
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import (
    COMPONENTS,
    ID,
    PER_COMPONENT,
    RECORD_STATUS,
    Variable,
    text,
)
from joulegrid.study.grid import Configuration
from joulegrid.study.judges import is_baseline
from joulegrid.study.methods import ARENA, tasks_of
from joulegrid.study.specs import Specs

# dims: model, training, pruning, quantization, task
JUDGING = {
    "status": RECORD_STATUS,
    "id": ID,
    "replies": Variable("replies of the judge", comment="two for each question"),
    "metered": Variable(
        "replies that came while the energy of the judge's machine was metered",
        comment="0 of a judge elsewhere, whose energy is not known; replies that were there "
        "already, as of a job that was ended, are none of them",
    ),
    "energy": Variable(
        "energy of the machine while a judge on it gave these replies",
        "J",
        PER_COMPONENT,
        comment="idling included; in no energy of cells, NaN of a judge elsewhere",
    ),
    "duration": Variable("wall time of that", "s"),
    "basis": metered.BASIS_OF,
    "tokens_read": Variable("tokens that the judge read for all replies, as its endpoint counts"),
    "tokens_written": Variable("tokens of all replies, as its endpoint counts"),
    "price": Variable("USD that all replies cost, where the study has prices"),
    "judge": text("name of the judge at its endpoint"),
    "reason": text("why there is no number"),
}
Row = dict[str, Any]
# Of questions: a judge whose verdicts agree for fewer follows the order more than the answers
MAJORITY = 0.5


def row_of(record: Judgments) -> Row:
    """What a record says, by the names of the group's variables."""
    usage, judge = record.usage, record.judge
    return {
        "replies": judge.replies if judge else 2 * len(record.judgments),
        "metered": judge.metered if judge else 0,
        "tokens_read": usage.tokens_read,
        "tokens_written": usage.tokens_written,
        "price": usage.cost_usd,
        **metered.row_of(record.cost),
    }


def group(
    specs: Specs, labels: dict[str, list[str]], judged: Callable[[Configuration, str], Row]
) -> xr.Dataset | None:
    """The group, None where a study has no judge.

    Parameters
    ----------
    labels
        of the axes of configurations.
    judged
        the row of a configuration and a task; not asked of a baseline.
    """
    tasks = tasks_of(ARENA, specs.study.data)
    if not tasks:
        return None
    table = Table({**labels, "task": sorted(tasks)}, JUDGING, {"component": COMPONENTS})
    for configuration in specs.study.configurations:
        for task, entry in tasks.items():
            if not is_baseline(entry, configuration):
                row = judged(configuration, task)
                name = entry["judge"]["model"]
                table.add((*configuration, task), {**row, "judge": name})
    return table.dataset()


def sentences(judging: xr.Dataset, quality: xr.Dataset) -> list[str]:
    """What every judge took, and how far its verdicts of both orders agree, in words; none where a
    study has no judge.
    """
    tasks = judging.task.values if "task" in judging.dims else ()
    return [
        " ".join(_sentences(str(task), judging.sel(task=task), quality))
        for task in tasks
        if float(judging.replies.sel(task=task).sum())
    ]


def _sentences(task: str, one: xr.Dataset, quality: xr.Dataset) -> list[str]:
    """Of one task, over all configurations."""
    total = one[["replies", "metered", "duration", "tokens_read", "tokens_written"]].sum()
    replies, told_of = int(total.replies), int(total.metered)
    name = next(name for name in one.judge.values.ravel() if name)
    told = [f"{task}: {replies} replies of {name}."]
    if told_of:
        joules = float(one.energy.sum())
        told.append(
            f"It computed on this machine, which took {joules:.4g} J ({metered.bases(one)}) in "
            f"{float(total.duration):.3g} s for {_of(told_of, replies)}, {joules / told_of:.3g} J "
            "each; that is in no energy of a configuration."
        )
    else:
        told.append("What energy they took is not known.")
    if float(total.tokens_read):
        told.append(
            f"Read were {total.tokens_read.item():,.0f} tokens, written "
            f"{total.tokens_written.item():,.0f}."
        )
    if one.price.notnull().any():
        told.append(f"They cost {float(one.price.sum()):.3g} USD.")
    return [*told, *_unreadable(task, quality), *_agreement(task, quality)]


def _of(some: int, replies: int) -> str:
    return "them" if some == replies else f"{some} of them"


def _unreadable(task: str, quality: xr.Dataset) -> list[str]:
    """The share of replies that say nothing, which no score holds."""
    shares = _known(f"{task}.unreadable", quality)
    if not shares.any():
        return []
    return [f"{shares.mean():.0%} of its replies have no verdict and are left out."]


def _agreement(task: str, quality: xr.Dataset) -> list[str]:
    """How far verdicts of both orders agree: the mean over configurations, and the range; and what
    that is worth.
    """
    shares, first = (_known(f"{task}.{name}", quality) for name in ("agreement", "first_preferred"))
    if not shares.size:
        return []
    low, high = f"{shares.min():.0%}", f"{shares.max():.0%}"
    several = f" ({low} to {high} by configuration)" if low != high else ""
    told = [
        "With the answers swapped it names the same winner, or both times none, for "
        f"{shares.mean():.0%} of the questions{several}."
    ]
    if first.size:
        told.append(f"Of its winners {first.mean():.0%} stood first.")
    if shares.mean() < MAJORITY:
        told.append("For most the order decides, so that win rates say little.")
    return told


def _known(metric: str, quality: xr.Dataset) -> np.ndarray:
    """The values of a metric that there are, over all configurations."""
    if metric not in quality.metric.values:
        return np.zeros(0)
    values: np.ndarray = quality.quality.sel(metric=metric).values
    return values[np.isfinite(values)]

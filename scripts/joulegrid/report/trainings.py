"""The figure and the table of fine-tuning: what its epochs took, and what the losses were."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.study.grid import short_name

LOSSES = {"training_loss": "training", "validation_loss": "validation"}
# What the figure needs of its frame
DRAWN = ["line", "epoch", "joules", *LOSSES, "basis", "note"]
HEIGHT = 300  # pixels


def epoch_frame(tree: xr.DataTree) -> pd.DataFrame:
    """One row per epoch that was trained, and one per training for what was before the first
    (epoch 0): `joules` of training so far, `own` and `seconds` of the epoch, losses in nats per
    token, the `basis` of the energy, and a `note`; without rows where nothing was trained.
    """
    rows: list[dict[str, Any]] = []
    if "training" in tree.children:
        group = tree["training"].to_dataset()
        several = group.sizes["model"] > 1
        for model in group.model.values:
            for training in group.training.values:
                one = group.sel(model=model, training=training)
                name = short_name([*([model] if several else []), training])
                rows += [{"line": name, **row} for row in _epochs(one)]
    return pd.DataFrame(rows, columns=[*DRAWN, "own", "seconds"])


def _epochs(one: xr.Dataset) -> list[dict[str, Any]]:
    """The rows of one training."""
    trained = one.isel(epoch=np.flatnonzero(one.validation_loss.notnull().values))
    if not trained.sizes["epoch"]:
        return []
    own = trained.energy.sum("component").values
    rows = [
        {
            "epoch": int(epoch),
            "joules": float(own[: n + 1].sum()),
            "own": float(own[n]),
            "seconds": float(trained.duration[n]),
            **{name: float(trained[name][n]) for name in LOSSES},
            "basis": _basis(trained.isel(epoch=n)),
            "note": _note(trained.isel(epoch=n)),
        }
        for n, epoch in enumerate(trained.epoch.values)
    ]
    if not np.isfinite(one.initial_loss):  # of one that diverged later it is not known
        return rows
    before = {"epoch": 0, "joules": 0.0, "validation_loss": float(one.initial_loss)}
    return [{**before, "basis": rows[0]["basis"], "note": "before training"}, *rows]


def _basis(epoch: xr.Dataset) -> str:
    """How the energy of the components that have some was obtained."""
    meanings = np.array(epoch.basis.attrs["flag_meanings"].split())
    told = meanings[epoch.basis.values][epoch.energy.values > 0]
    return " and ".join(sorted(set(told.tolist()) - {"absent"}))


def _note(epoch: xr.Dataset) -> str:
    told = {
        "disturbed": epoch.disturbed,
        "read wrongly": epoch.wrong,
        "shared with a shorter training": epoch.shared,
    }
    return ", ".join(what for what, value in told.items() if value == 1)


def chart(frame: pd.DataFrame, width: int) -> alt.Chart:
    """Losses over the energy of training so far, a point per epoch.

    Parameters
    ----------
    frame
        `DRAWN` of `epoch_frame`.
    """
    ids = [name for name in DRAWN if name not in LOSSES]
    points = frame.melt(ids, [*LOSSES], "of", "loss").dropna(subset=["loss"])
    below = alt.Legend(orient="bottom")
    return (
        alt.Chart(points.assign(of=points.of.map(LOSSES)))
        .mark_line(point=True)
        .encode(
            x=alt.X("joules:Q", title="energy of training so far (J)", axis=alt.Axis(format="~s")),
            y=alt.Y("loss:Q", title="loss (nats per token)", scale=alt.Scale(zero=False)),
            color=alt.Color("line:N", title=None, legend=below),
            strokeDash=alt.StrokeDash("of:N", legend=None),
            shape=alt.Shape("of:N", title=None, legend=below),
            tooltip=[
                "line",
                "epoch",
                "of",
                alt.Tooltip("loss:Q", format=".4f"),
                alt.Tooltip("joules:Q", format=".4g", title="J so far"),
                "basis",
                "note",
            ],
        )
        .properties(width=width, height=HEIGHT, title="Energy of fine-tuning against loss")
    )


def table(tree: xr.DataTree) -> list[dict[str, Any]]:
    """The rows of `epoch_frame` as the page shows them: None where there is no number."""
    frame = epoch_frame(tree)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]

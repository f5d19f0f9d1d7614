"""How steady the machines were over the study: the same fixed work, timed before every session, and
windows that others disturbed.
"""

import re
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import xarray as xr

# What a machine is called behind the name of its host, and the time that its work took
REFERENCES = {"": "reference_time", " (GPU)": "reference_gpu_time"}
# Of more sessions a point of the figure is the median of several that follow each other
MOST_POINTS = 300
WINDOWS = ["undisturbed", "disturbed windows replaced", "disturbed windows count"]
DRAWN = ["machine", "started", "change", "seconds", "sessions", "windows"]
NUMBER = re.compile(r"\d+(\.\d+)?")
HEIGHT = 220  # pixels
LEAST_REACH = 0.05  # of the axis in both directions: noise shall not look like drift


def session_frame(energy: xr.Dataset) -> pd.DataFrame:
    """One row per session and piece of reference work, in the order of time: which `machine` it
    ran on, the `seconds` that it took, its `change` against the median of the machine, when the
    session `started` (UTC), and the worst that befell its `windows`.
    """
    names = ["host", "started", "disturbed", "replaced", *REFERENCES.values()]
    flat = energy[names].reset_coords(drop=True).drop_attrs().to_dataframe()
    parts = [
        flat.assign(machine=flat.host + what, seconds=flat[name])
        for what, name in REFERENCES.items()
    ]
    frame = pd.concat(parts).dropna(subset=["seconds"]).sort_values("started", kind="stable")
    median = frame.groupby("machine").seconds.transform("median")
    befell = np.select([frame.disturbed > 0, frame.replaced > 0], [2, 1], 0)
    return frame.assign(
        change=frame.seconds / median - 1, sessions=1, windows=[WINDOWS[code] for code in befell]
    )[DRAWN].reset_index(drop=True)


def speeds(energy: xr.Dataset) -> list[dict[str, Any]]:
    """For each machine how long the reference work took: least, median and most in s, and how much
    longer it took at the end of the study than at its begin.
    """
    groups = session_frame(energy).groupby("machine")
    return [{"host": machine, **_spread(rows.seconds.to_numpy())} for machine, rows in groups]


def _spread(times: np.ndarray) -> dict[str, Any]:
    third = max(len(times) // 3, 1)
    drift = np.median(times[-third:]) / np.median(times[:third]) - 1
    spread = {"least": times.min(), "median": np.median(times), "most": times.max()}
    return {"sessions": len(times), **spread, "drift": drift}


def warnings(energy: xr.Dataset) -> list[str]:
    """What the meter warned of, and in how many sessions, of texts that differ in numbers alone
    one; and where the machine was disturbed.
    """
    found: dict[str, list[str]] = {}
    for told in energy.warnings.values.ravel():
        for text in dict.fromkeys(" ".join(part.split()) for part in str(told).split("; ")):
            if text:
                found.setdefault(NUMBER.sub("#", text), []).append(text)
    lines = [f"{texts[0]} ({_counted(texts)})" for texts in found.values()]
    disturbed = int((energy.disturbed > 0).sum())
    if disturbed:
        lines.append(f"{disturbed} sessions count although the machine was disturbed")
    replaced = int(energy.replaced.sum())
    if replaced:
        lines.append(f"{replaced} windows were disturbed and measured again")
    return sorted(lines)


def making(weights: xr.Dataset) -> list[str]:
    """Which weights were made while the machine was disturbed, and how: what making them took is
    not measured again, and is not known where the meter was read wrongly.
    """
    flat = weights.making_disturbed.reset_coords(drop=True).to_series()
    unknown = np.isnan(weights.making_energy.values.ravel())
    return [
        f"made while disturbed: {', '.join(filter(None, labels))}: {text}"
        + ("; what making it took is not known" if lost else "")
        for labels, text, lost in zip(flat.index, flat, unknown, strict=True)
        if text
    ]


def _counted(texts: list[str]) -> str:
    sessions = f"{len(texts)} session{'s' if len(texts) > 1 else ''}"
    return sessions if len(set(texts)) == 1 else f"with other numbers too: {sessions}"


def chart(frame: pd.DataFrame, width: int) -> alt.LayerChart | None:
    """The reference work over the time of the study, a line for each machine; None where there is
    nothing to compare.

    Parameters
    ----------
    frame
        of `session_frame`.
    """
    if not len(frame) or frame.groupby("machine").size().max() < 2:
        return None
    points = pd.concat(_thinned(rows) for _, rows in frame.groupby("machine"))
    reach = [min(-LEAST_REACH, points.change.min()), max(LEAST_REACH, points.change.max())]
    befell = points.windows.nunique() > 1 or points.windows.iloc[0] != WINDOWS[0]
    below = alt.Legend(orient="bottom")
    base = alt.Chart(points).encode(
        x=alt.X("started:T", title="begin of the session (UTC)", scale=alt.Scale(type="utc")),
        y=alt.Y(
            "change:Q",
            title="against the median",
            axis=alt.Axis(format="+.0%"),
            scale=alt.Scale(domain=reach, padding=8),
        ),
        color=alt.Color("machine:N", title=None, legend=below),
    )
    marks = base.mark_point(filled=True, size=60).encode(
        shape=alt.Shape(
            "windows:N",
            title=None,
            sort=WINDOWS,
            scale=alt.Scale(domain=WINDOWS, range=["circle", "triangle-up", "cross"]),
            legend=below if befell else None,
        ),
        tooltip=[
            "machine",
            alt.Tooltip("started:T", title="begin", format="%Y-%m-%d %H:%M"),
            alt.Tooltip("seconds:Q", format=".3f", title="reference work, s"),
            alt.Tooltip("change:Q", format="+.1%", title="against the median"),
            "sessions",
            "windows",
        ],
    )
    drawn = base.mark_line(opacity=0.4) + marks
    return drawn.properties(width=width, height=HEIGHT, title="Drift of the machines")


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST_POINTS` of a machine, each of as many sessions: when the first of them began,
    their median, and the worst that befell one of them.
    """
    if len(rows) <= MOST_POINTS:
        return rows
    group = np.arange(len(rows)) * MOST_POINTS // len(rows)
    worst = rows.windows.map(WINDOWS.index)
    found = rows.assign(worst=worst).groupby(group)
    return found.agg(
        machine=("machine", "first"),
        started=("started", "first"),
        change=("change", "median"),
        seconds=("seconds", "median"),
        sessions=("sessions", "sum"),
        worst=("worst", "max"),
    ).assign(windows=lambda found: [WINDOWS[code] for code in found.worst])[DRAWN]

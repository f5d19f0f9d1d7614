"""Compress, move, shift: one figure, and the break-even in words."""

import altair as alt
import pandas as pd
import xarray as xr

from joulegrid.analysis.comparison import chosen_in
from joulegrid.analysis.levers import break_even
from joulegrid.report.beside import best_of_places
from joulegrid.report.frames import namer
from joulegrid.study.grid import CELL_AXES

# Of more zones the dirtiest are shown: there is most to be saved
MOST_ZONES = 8
# The job whose shift is shown, in h
JOB, SLACK = 6, 24
LEVER = ["compress", "move", "shift"]
ABOUT, NUMBERS = ["place", "zone", "lever", "what"], ["saved", "low", "high"]


def lever_frame(tree: xr.DataTree) -> pd.DataFrame:
    """One row per place, zone and lever: the share of emissions `saved` there, and its interval.

    Compressing is the best-ranked cell against the baseline, with its 95 % interval; moving goes to
    the cleanest zone, and 95 % of the hours lie in its interval where both zones have such a
    series; shifting reaches from what the hour that was best a day before saves to the bound of
    perfect foresight.
    """
    levers, rows = tree["levers"].to_dataset(), []
    for _, cell in compressed(tree).iterrows():
        for zone in _zones(tree):
            found = [_compress(levers, cell), *_move(levers, zone), *_shift(levers, zone)]
            rows += [{"place": cell["place"], "zone": zone, **row} for row in found]
    return pd.DataFrame(rows, columns=[*ABOUT, *NUMBERS]).dropna(subset=["saved"])


def compressed(tree: xr.DataTree) -> pd.DataFrame:
    """The best-ranked cell of each place, where that is not the baseline."""
    baseline = chosen_in(tree["ranking"].attrs)["baseline"]
    best = best_of_places(tree)
    same = [all(row[a] == label for a, label in baseline.items()) for _, row in best.iterrows()]
    return best[[not each for each in same]]


def _zones(tree: xr.DataTree) -> list[str]:
    ordered = tree["carbon"].intensity.to_series().sort_values(ascending=False)
    return [str(zone) for zone in ordered.index[:MOST_ZONES]]


def _row(lever: str, what: str, saved: float, low: float, high: float) -> dict[str, object]:
    return {"lever": lever, "what": what, "saved": saved, "low": low, "high": high}


def _compress(levers: xr.Dataset, cell: pd.Series) -> dict[str, object]:
    at = {axis: cell[axis] for axis in CELL_AXES}
    saved, half = float(levers.compress.sel(at)), float(levers.compress_ci95.sel(at))
    half = half if half == half else 0.0
    return _row("compress", f"to {cell['configuration']}", saved, saved - half, saved + half)


def _move(levers: xr.Dataset, zone: str) -> list[dict[str, object]]:
    if "move" not in levers or levers.move.sel(zone=zone).isnull().all():
        return []
    there = levers.move.sel(zone=zone)
    best = there.isel(to=int(there.argmax("to")))
    saved = float(best)
    if str(best.to.values) == zone:
        return []
    to, low, high = str(best.to.values), saved, saved
    what = f"to {to}: of two yearly figures, without an interval"
    if "move_hours" in levers and levers.move_hours.sel(zone=zone, to=to).notnull().all():
        low, high = levers.move_hours.sel(zone=zone, to=to, bound=["low", "high"]).values.tolist()
        what = f"to {to}: {low:.0%} to {high:.0%} in 95 % of the hours"
    return [_row("move", what, saved, low, high)]


def _shift(levers: xr.Dataset, zone: str) -> list[dict[str, object]]:
    if "shift" not in levers:
        return []
    one = levers["shift"].sel(zone=zone, job_hours=JOB, slack_hours=SLACK)
    bound, known = float(one.sel(start="foresight")), float(one.sel(start="yesterday"))
    what = f"{JOB} h within {SLACK} h: the day before's best hour; at most (foresight) {bound:.0%}"
    return [_row("shift", what, known, min(known, bound), bound)]


def chart(frame: pd.DataFrame, width: int) -> alt.LayerChart:
    """Share of emissions saved by each lever from each zone, of several places one below the other:
    in one chart, which can be as wide as there is room.
    """
    several = frame.place.nunique() > 1
    frame = frame.assign(of=frame.zone + (" (" + frame.place + ")" if several else ""))
    base = alt.Chart(frame).encode(
        y=alt.Y("of:N", title=None, sort=list(dict.fromkeys(frame.of))),
        yOffset=alt.YOffset("lever:N", sort=LEVER),
        color=alt.Color("lever:N", title=None, sort=LEVER, legend=alt.Legend(orient="bottom")),
    )
    share, tooltip = alt.Axis(format="%"), [*ABOUT, alt.Tooltip("saved:Q", format="+.1%")]
    interval = base.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x=alt.X("low:Q", axis=share, title="share of the emissions saved"), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=70).encode(x=alt.X("saved:Q"), tooltip=tooltip)
    height = alt.Step(18, **{"for": "offset"})
    title = "Compress, move, shift: what each saves"
    return (interval + points).properties(width=width, height=height, title=title)


def sentences(tree: xr.DataTree) -> list[str]:
    """The break-even of compressing and moving, from each zone, in words."""
    if "levers" not in tree.children or "move" not in tree["levers"]:
        return []
    levers, baseline = tree["levers"].to_dataset(), chosen_in(tree["ranking"].attrs)["baseline"]
    intensities = tree["carbon"].intensity
    found, cells = [], compressed(tree)
    for _, cell in cells.iterrows():
        at = {axis: cell[axis] for axis in CELL_AXES}
        full = namer(tree)(pd.DataFrame([{**at, **baseline}]))["configuration"].iloc[0]
        saved, half = float(levers.compress.sel(at)), float(levers.compress_ci95.sel(at))
        place = f"{cell['place']}: " if len(cells) > 1 else ""
        for zone in _zones(tree):
            moves = levers.move.sel(zone=zone)
            there = [z for z in moves.to.values[moves.notnull().values] if z != zone]
            others = {str(z): float(intensities.sel(zone=z)) for z in there}
            here, names = float(intensities.sel(zone=zone)), (cell["configuration"], full)
            found.append(place + break_even(here, others, zone, saved, half, names))
    return found

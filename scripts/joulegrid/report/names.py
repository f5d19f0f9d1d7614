"""Names beside the points of a scatter, placed so that they can be read."""

from typing import Any

import altair as alt

# Of points in one such part of the plane, across and up, the best one is named; of very many points
# fronts lie on each other, and fewer names are readable
BOXES, FEWER_BOXES = {"across": 8, "up": 16}, {"across": 4, "up": 6}
# Pixels that a letter takes, and what a line takes of the height of the plane
LETTER, LINE = 5.5, 0.06
AXIS = 60  # pixels of the width that are left of the plane


def named(
    chart: alt.Chart, x: alt.X, y: alt.Y, *, is_log: bool, is_crowded: bool, longest: int
) -> alt.Chart:
    """The names of points: above them, or below where another one is near above, and on that side
    where there is more room. Of points so near that no side helps only the best is named.

    Parameters
    ----------
    chart
        of points with `energy_per_token`, `quality`, `configuration` and `score`.
    is_log
        whether the axis of energy is logarithmic.
    is_crowded
        whether there are very many points.
    longest
        letters of the longest name.
    """
    parts, room = FEWER_BOXES if is_crowded else BOXES, f"{LETTER * max(longest, 1):g}"
    # a name takes more of a narrow plane: on a phone one stands alone
    boxes = {
        "across": f"clamp(floor((width - {AXIS}) / {room}) - 1, 0, {parts['across']})",
        "up": str(parts["up"]),
    }
    near = {"across": f"min({room} / width + 0.03, 0.4)", "up": str(LINE)}
    return (
        _below(_thinned(_placed(chart, is_log), boxes), near)
        .mark_text(
            fontSize=10,
            align=alt.expr("datum.share_across > 0.6 ? 'right' : 'left'"),
            dx=alt.expr("datum.share_across > 0.6 ? -7 : 7"),
            dy=alt.expr("datum.below ? 9 : -7"),
        )
        .encode(x=x, y=y, text="configuration:N")
    )


def _placed(chart: alt.Chart, is_log: bool) -> alt.Chart:
    """Where in the plane of all points each lies, 0 to 1: `share_across`, `share_up`."""
    energy = "datum.energy_per_token"
    chart = chart.transform_calculate(
        across=f"log({energy})" if is_log else energy, up="datum.quality"
    )
    for field in BOXES:
        ends = [
            alt.JoinAggregateFieldDef(op=op, field=field, **{"as": f"{op}_{field}"})
            for op in ("min", "max")
        ]
        share = (
            f"(datum.{field} - datum.min_{field}) / (datum.max_{field} - datum.min_{field} || 1)"
        )
        chart = chart.transform_joinaggregate(ends).transform_calculate(**{f"share_{field}": share})
    return chart


def _thinned(chart: alt.Chart, parts: dict[str, str]) -> alt.Chart:
    """The point with the highest score of each box."""
    boxes = {f"box_{name}": f"round({n} * datum.share_{name})" for name, n in parts.items()}
    return (
        chart.transform_calculate(**boxes)
        .transform_window(
            nth="row_number()",
            groupby=[*boxes],
            sort=[alt.SortField("score", order="descending")],
        )
        .transform_filter("datum.nth === 1")
    )


def _below(chart: alt.Chart, near: dict[str, str]) -> alt.Chart:
    """`below` where the next point above is so near, unless that one's name is below too."""
    order: list[Any] = [alt.SortField("share_up", "descending"), alt.SortField("share_across")]
    crowded = " && ".join(
        f"isValid(datum.upper_{name}) && abs(datum.share_{name} - datum.upper_{name}) <= {limit}"
        for name, limit in near.items()
    )
    return (
        chart.transform_window(
            upper_across="lag(share_across)", upper_up="lag(share_up)", sort=order
        )
        .transform_calculate(crowded=crowded)
        .transform_window(upper_crowded="lag(crowded)", sort=order)
        .transform_calculate(below="datum.crowded && !datum.upper_crowded")
    )

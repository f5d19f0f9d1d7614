"""What was said of cells before anything of them was measured: a later plan keeps it, so that the
report can put it beside what came out.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from joulegrid.planning import ranges
from joulegrid.planning.cells import Judged
from joulegrid.planning.posterior import Belief, Case
from joulegrid.planning.ranges import Forecast, Range, forecast, times
from joulegrid.study.grid import CELL_AXES

Said = dict[str, Any]


def said_before(cells: Iterable[Judged], path: Path) -> list[Said]:
    """A row for each cell of which something was said before a session of it was there: now, or by
    the earlier plan at `path`.

    Returns
    -------
    Labels of the cell; `s_per_token` and `gpu_j_per_token` (None on a CPU) of generated tokens in
    windows, as [low, median, high]; `rests_on`.
    """
    beliefs: dict[int, Belief] = {}
    found: list[Said] = []
    earlier = {tuple(row[axis] for axis in CELL_AXES): row for row in read(path)}

    @cache
    def of_points(points: tuple[Case | None, ...], place: int) -> tuple[Range, Range]:
        said = [forecast(case, beliefs[place]) for case in points if case is not None]
        tokens = sum(
            case.work.requests * case.work.tokens_out for case in points if case is not None
        )
        return times(ranges.seconds(said), 1 / tokens), times(ranges.joules(said), 1 / tokens)

    for each in cells:
        if each.measured or each.session is None:
            if tuple(each.cell) in earlier:
                found.append(earlier[tuple(each.cell)])
            continue
        place = id(each.session.belief)
        beliefs[place] = each.session.belief
        seconds, joules = of_points(each.points, place)
        found.append(_row(each, each.session, seconds, joules))
    return found


def _row(each: Judged, session: Forecast, seconds: Range, joules: Range) -> Said:
    return {
        **each.cell._asdict(),
        "s_per_token": list(seconds),
        "gpu_j_per_token": list(joules) if each.gpus else None,
        "rests_on": session.rests_on,
    }


def read(path: Path) -> list[Said]:
    """The rows that the plan at `path` holds; none where there is no plan."""
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("said_before", [])
    except (OSError, ValueError):
        return []

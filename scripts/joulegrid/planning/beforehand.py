"""What was said of cells before anything of them was measured: a later plan keeps it, so that the
report can put it beside what came out.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from joulegrid.planning import ranges
from joulegrid.planning.cells import Judged
from joulegrid.planning.ranges import Forecast, times
from joulegrid.study.grid import CELL_AXES

Said = dict[str, Any]


def said_before(cells: Iterable[Judged], path: Path, of_part: bool = False) -> list[Said]:
    """A row for each cell of which something was said before a session of it was there: now, or by
    the earlier plan at `path`; of a part of a study, what that said of all others too.

    Returns
    -------
    Labels of the cell; `s_per_token` and `gpu_j_per_token` (None on a CPU) of generated tokens in
    windows, as [low, median, high]; `rests_on`.
    """
    earlier = {
        tuple(row[axis] for axis in CELL_AXES): row for row in plan_at(path).get("said_before", ())
    }
    found = []
    for each in cells:
        before = earlier.pop(tuple(each.cell), None)
        if not each.measured and each.session is not None:
            found.append(_row(each, each.session))
        elif before is not None:
            found.append(before)
    return [*found, *(earlier.values() if of_part else ())]


def _row(each: Judged, session: Forecast) -> Said:
    works = [case.work for case in each.points if case is not None]
    tokens = sum(work.requests * work.tokens_out for work in works)
    seconds, joules = ranges.seconds(each.runs), ranges.joules(each.runs)
    return {
        **each.cell._asdict(),
        "s_per_token": list(times(seconds, 1 / tokens)),
        "gpu_j_per_token": list(times(joules, 1 / tokens)) if each.gpus else None,
        "rests_on": session.rests_on,
    }


def plan_at(path: Path) -> dict[str, Any]:
    """All that the plan at `path` wrote; nothing where there is no plan."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}

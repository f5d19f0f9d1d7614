"""How much of the memory of its boards a cell may need, as cells that were tried correct it.

That is of what is expected: all that a cell needs, prompts and overhead included, against a share
of the memory. What is known, and keeps jobs back, is `infeasible`, with a margin of its own.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.asked import Asked, least_asked
from joulegrid.planning.devices import matching
from joulegrid.planning.feasibility import format_of, need_of, usable
from joulegrid.planning.infeasible import MASKS, NEAR
from joulegrid.study.grid import Cell
from joulegrid.study.loadable import at_once
from joulegrid.study.methods import method_name
from joulegrid.study.study import Study

JUST_BELOW = 1e-6
# hardware entry, engine, kernel, and the share of the memory that may be needed untried: cells of
# vLLM that are given less of it have a limit of their own
Limited = tuple[str, str, str, float]


class Filled(NamedTuple):
    """Of the memory of its boards, the share that a cell needs; `sure` where its name fits boards
    of one size alone.
    """

    group: Limited
    share: float
    sure: bool


def limits(
    study: Study,
    tried: Iterable[tuple[Cell, bool]],
    sizes_of: Callable[[str], Architecture | None],
    points_of: Callable[[str], list[Asked]],
) -> dict[Limited, float]:
    """Group -> the share of the memory that a cell may need, where some were tried.

    A cell that ran allows what it needed. One that ran out of memory near the limit forbids as
    much, unless another one ran with it.

    Parameters
    ----------
    tried
        cells on GPUs, and whether they ran; those that did not ran out of GPU memory.
    """
    ran, failed = dict[Limited, float](), dict[Limited, float]()
    for cell, did in tried:
        found = _filled(study, cell, sizes_of, points_of)
        if found is None:
            continue
        if did:
            ran[found.group] = max(found.share, ran.get(found.group, 0.0))
        elif found.sure and found.share > NEAR:
            failed[found.group] = min(found.share, failed.get(found.group, 1.0))
    return {
        group: max(ran.get(group, 0.0), min(group[-1], failed.get(group, 1.0) - JUST_BELOW))
        for group in {**ran, **failed}
    }


def _filled(
    study: Study,
    cell: Cell,
    sizes_of: Callable[[str], Architecture | None],
    points_of: Callable[[str], list[Asked]],
) -> Filled | None:
    hardware, engine = study.data["hardware"][cell.hardware], study.data["engine"][cell.engine]
    boards = matching(hardware.get("gpu", ""), hardware.get("gpu_memory_gb"))
    model = sizes_of(cell.model)
    on_known_boards = hardware["device"] == "cuda" and hardware.get("gpu") and boards
    # what a pruning took away is not known
    keeps_sizes = study.data["pruning"][cell.pruning]["method"] in MASKS
    if not (on_known_boards and keeps_sizes) or model is None:
        return None
    largest, number = max(boards, key=lambda board: board.memory), hardware.get("gpus", 1)
    quantization, workload = study.data["quantization"][cell.quantization], cell.workload
    asked = least_asked(points_of(workload), at_once(engine))
    entries = quantization, engine, study.data["workload"][workload]
    need = need_of(model, *entries, largest, number, *asked)
    form = format_of(quantization, engine, boards[0])  # as its group is named
    if need is None or form is None:
        return None
    group = cell.hardware, method_name("engine", engine), form.kernel, usable(engine)
    alike = all(board.memory == largest.memory for board in boards)
    return Filled(group, need.total / (largest.memory * number), alike)

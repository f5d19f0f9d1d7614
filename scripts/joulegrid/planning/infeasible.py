"""Cells that are known not to fit before anything is sent, and what trying says of that.

The rule is one-sided: it shall never keep back what would run. Weights, cache and the context of
CUDA alone, taken low, are held against all the memory that a board of this name may have:

    (sure · (weights + cache) + boards · CONTEXT) · margin > boards · GIB · memory

of the largest board of the name; all of what 16 and 32 bits take is sure, 95 % of what other
formats do. The margin is 1 until something was tried on this hardware entry with this engine and
kernel:

- a cell that ran out of memory although all that it was expected to need, prompts and overhead
  included, was a share f < 1 of what is there, makes it 1/f: a cell that surely needs as much is
  not sent any more;
- a cell that ran although the rule would have kept it back, at a share r, makes it 1/r: what ran
  has the last word.

What is not known is tried: sizes that nobody compared with the real model, CPUs, boards that are
not in the table or that share their memory with the machine, ready-made weights, and prunings that
take blocks or channels away. Nothing here is imported that takes time: every start asks it.
"""

import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from joulegrid.planning import infeasible_making
from joulegrid.planning.architecture import Architecture
from joulegrid.planning.devices import GIGA, Device, matching
from joulegrid.planning.feasibility import format_of
from joulegrid.planning.formats import Format
from joulegrid.planning.memory import CONTEXT, GIB, Need, sure, to_run
from joulegrid.planning.sizes import counted, prompts_of, tokens_of
from joulegrid.records import OK, OOM
from joulegrid.study.grid import Cell
from joulegrid.study.infeasible import reason
from joulegrid.study.loadable import at_once
from joulegrid.study.methods import method_name
from joulegrid.study.points import least
from joulegrid.study.shelf import place_of
from joulegrid.study.specs import Specs

MOST_BYTES = 8.0  # of a token of a prompt
# Where less of the memory was needed, something else was wrong: nothing is learned, or read
NEAR = 0.6
MOST_READ = 3  # records of cells that are equal but for masks of zeros
MASKS = frozenset({"none", "magnitude", "wanda", "sparsegpt"})  # prunings that keep all sizes


class Share(NamedTuple):
    """Of what a group of boards has, what a cell needs.

    Parameters
    ----------
    group
        hardware entry, engine, kernel.
    low
        for weights, cache and context alone, taken low.
    whole
        for all of it, as it is expected; infinite where that cannot be said.
    words
        the same for people.
    """

    group: tuple[str, str, str]
    low: float
    whole: float
    words: str


def of_study(specs: Specs, site: dict[str, Any] | None = None) -> dict[tuple[str, ...], str]:
    """What of a study is known not to fit, and why: cells, and by their first labels weights that
    cannot be made, whose cells are among these; empty where the study wants all to be tried. Cells
    that were tried are among them: their records stay.

    Parameters
    ----------
    site
        the site file, which says on which boards weights are made; None without one.
    """
    if specs.study.data["protocol"]["infeasible"] == "try":
        return {}
    study, found = specs.study, _cells(specs)
    if not_made := infeasible_making.of_study(specs, site):
        for cell in study.cells:
            if (why := reason(not_made, cell)) is not None and study.unsupported(cell) is None:
                found[cell] = why
    return found | not_made


def _cells(specs: Specs) -> dict[tuple[str, ...], str]:
    """The cells of a study that are known not to fit their boards, and why."""
    groups: dict[tuple[str, str, str], dict[Share, list[Cell]]] = {}
    for cell, share in _shares(specs).items():
        groups.setdefault(share.group, {}).setdefault(share, []).append(cell)
    found: dict[tuple[str, ...], str] = {}
    for members in groups.values():
        if max(share.low for share in members) <= NEAR:
            continue
        margin = _margin(specs, members)
        learned = "" if margin == 1 else f"; what was tried there makes that {margin:.2f} times"
        for share, cells in members.items():
            if share.low * margin > 1 + 1e-9:
                found.update((cell, share.words + learned) for cell in cells)
    return found


def _shares(specs: Specs) -> dict[Cell, Share]:
    """What is known of cells on GPUs whose sizes and boards are known."""
    study = specs.study
    on_gpus = {k: e for k, e in study.data["hardware"].items() if e["device"] == "cuda"}
    boards = {label: _boards(entry) for label, entry in on_gpus.items()}
    if not any(boards.values()):
        return {}
    masks = {label for label, entry in study.data["pruning"].items() if entry["method"] in MASKS}
    sizes = cache(lambda label: counted(study.data["model"][label]))
    lengths = cache(lambda label: _lengths(study.data["workload"][label]))

    def share(model: str, quantization: str, hardware: str, engine: str, workload: str) -> Any:
        found = sizes(model)
        if found is None:
            return None
        entries = study.data["quantization"][quantization], study.data["engine"][engine]
        place = hardware, on_gpus[hardware].get("gpus", 1), boards[hardware]
        return _share(found, *entries, place, lengths(workload))

    of = cache(share)
    cells = {}
    for cell in study.cells:
        if cell.pruning not in masks or not boards.get(cell.hardware):
            continue
        found = of(cell.model, cell.quantization, cell.hardware, cell.engine, cell.workload)
        if found is not None and study.unsupported(cell) is None:
            cells[cell] = found
    return cells


def _boards(entry: Mapping[str, Any]) -> list[Device]:
    """The boards that a hardware entry may mean; none where one of them shares its memory."""
    found = matching(entry["gpu"], entry.get("gpu_memory_gb")) if entry.get("gpu") else []
    return [] if any(board.memory_kind == "LPDDR" for board in found) else found


class _Lengths(NamedTuple):
    """Of a workload's least point: prompts, bytes or tokens of a prompt, new tokens that are sure
    and that are asked for; `paced` where prompts come by themselves.
    """

    prompts: float
    bytes_in: float
    tokens_in: float
    sure_out: float
    tokens_out: float
    paced: bool
    chat: bool


def _lengths(workload: dict[str, Any]) -> _Lengths:
    paced = workload["method"] not in ("batch", "lengths")
    out = float(least(workload.get("new_tokens", 0)))
    natural = workload.get("stop", "fixed") == "natural"
    count, size = (1, 0.0) if paced else prompts_of(workload)
    exact = float(least(workload.get("prompt_tokens", 0)))
    asked = least(workload.get("concurrency", count))
    sure = 0.0 if natural or paced else out
    chat = bool(workload.get("chat"))
    return _Lengths(min(count, asked), 0.0 if exact else size, exact, sure, out, paced, chat)


def _share(
    model: Architecture,
    quantization: dict[str, Any],
    engine: dict[str, Any],
    place: tuple[str, int, list[Device]],
    lengths: _Lengths,
) -> Share | None:
    """`place`: label of the hardware entry, how many boards, and which they may be."""
    (hardware, number, boards), name = place, method_name("engine", engine)
    largest = max(boards, key=lambda board: board.memory)
    form = format_of(quantization, engine, largest)
    if form is None or any(format_of(quantization, engine, board) != form for board in boards):
        return None
    sequences = min(at_once(engine), lengths.prompts)

    def need(tokens_in: float, tokens_out: float) -> Need:
        return to_run(model, form, name, sequences, tokens_in, tokens_out, number)

    low = need(lengths.tokens_in + lengths.bytes_in / MOST_BYTES, lengths.sure_out)
    likely = lengths.tokens_in + tokens_of(lengths.bytes_in, lengths.chat)
    has = _most(largest, number)
    # where a name fits boards of several sizes it is not known on which one something was tried
    unsure = lengths.paced or any(board.memory != largest.memory for board in boards)
    whole = float("inf") if unsure else need(likely, lengths.tokens_out).total / has
    boards_of = largest.name if number == 1 else f"{number} × {largest.name}"
    words = (
        f"needs {(low.weights + low.cache) / GIGA:.1f} GB for weights and cache, {boards_of} has "
        f"{has / GIGA:.1f} GB at most"
    )
    share = low_share(low, form, largest, number)
    return Share((hardware, name, form.kernel), share, whole, words)


def low_share(need: Need, form: Format, board: Device, boards: int) -> float:
    """Of all memory that some boards may have, what weights, cache and context take, taken low."""
    known = sure(form) * (need.weights + need.cache)
    return (known + CONTEXT * boards) / _most(board, boards)


def _most(board: Device, boards: int) -> float:
    return board.memory * GIB * boards


def _margin(specs: Specs, members: Mapping[Share, Iterable[Cell]]) -> float:
    """What the records of a hardware entry, engine and kernel make of the margin."""
    tried = {
        share: found
        for share, cells in members.items()
        if share.low > NEAR and (found := _tried(specs, cells))
    }
    failed = [share.whole for share, found in tried.items() if OOM in found]
    ran = [share.low for share, found in tried.items() if OK in found]
    margin = 1 / min([1.0, *failed])
    return 1 / max(ran) if ran and max(ran) * margin > 1 else margin


def _tried(specs: Specs, cells: Iterable[Cell]) -> set[str]:
    """What became of sessions of some cells that need the same: ok, oom."""
    sessions = range(1, specs.study.data["protocol"]["sessions"] + 1)
    paths = (place_of(specs.energy(cell, session)) for cell in cells for session in sessions)
    there = (path for path in paths if os.path.exists(path))
    return {outcome(path) for path in islice(there, MOST_READ)}


def outcome(path: str) -> str:
    """The status of the record of a session; nothing where it says nothing of the board: it is
    damaged, or it was the making of the weights that ran out of memory.
    """
    try:
        record = json.loads(Path(path).read_bytes())
        status = record["status"]
        memory = record.get("memory_before", {}).get("what")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return "" if status == OOM and memory != "GPU memory" else str(status)

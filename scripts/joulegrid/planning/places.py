"""Where jobs run that make weights or evaluate quality, as the rates that they really reach."""

import os
import re
from typing import Any, NamedTuple

from joulegrid.planning.devices import Device, matching

# Of a board's data sheet; of power between loaded idle and limit. Tensor cores are harder to feed
# than what computes in 32 bits: as `factors.SINGLE` is to the share of others
COMPUTE_REACHED, SINGLE_REACHED, BANDWIDTH_REACHED, POWER_REACHED = 0.4, 0.7, 0.8, 0.6
LAUNCH_S = 0.85e-3  # per layer and pass, the median of factors.TRANSFORMERS
# Of CPUs, per core and in all; nominal
CORE_FLOP_S, CPU_BYTES_S, CPU_LAUNCH_S = 2e10, 2e10, 0.2e-3
# Options of sbatch that ask for GPUs, as in --gpus=a100:1
GPUS = re.compile(r"(?:^|\s)(?:--gres[ =]gpu:|--gpus(?:-per-\w+)?[ =]|-G ?)([\w.:-]+)")
# Kinds of jobs whose weights others wait for, in this order
MAKING = ("models", "training", "trained", "pruned", "weights")
# What Snakemake calls the rules whose resources a site file gives
STAGES = {
    "training": "train_model",
    "trained": "merge_training",
    "pruned": "prune_weights",
    "weights": "quantize_weights",
    "quality": "evaluate_quality",
    "texts": "evaluate_quality",
    "scores": "score_texts",
}


class Place(NamedTuple):
    """What a job runs on.

    Parameters
    ----------
    flop_s, single_flop_s, bytes_s
        FLOP per second in 16 and in 32 bits, and bytes per second.
    launch_s
        of the host, per layer and pass.
    watts
        of its GPUs while it computes, W; 0 without.
    capability
        compute capability, None of a CPU.
    """

    name: str
    flop_s: float
    single_flop_s: float
    bytes_s: float
    launch_s: float
    watts: float
    gpus: int
    capability: tuple[int, int] | None = None


def place_of(kind: str, site: dict[str, Any] | None, hardware: dict[str, Any]) -> Place | None:
    """Where jobs of a kind run: on the boards that the site file's `gres` names, or on a node
    without one; without a site file on this machine, on the boards that the study names first.

    Parameters
    ----------
    site
        the site file; None without one.
    hardware
        the hardware entries of a study.

    Returns
    -------
    None where a board is asked for that is not in the table.
    """
    if site is None:
        named = [entry for entry in hardware.values() if entry["device"] == "cuda"]
        if not named:
            return _cpus(os.cpu_count() or 1)
        first = named[0]
        return _board(first.get("gpu", ""), first.get("gpus", 1), first.get("gpu_memory_gb"))
    resources = {**site["default"], **site["stages"].get(STAGES[kind], {})}
    if gres := _gres_in(resources):
        asked = _boards_in(gres)
        return _board(*asked) if asked else None
    return _cpus(resources.get("cpus_per_task", 1))


def boards_of(
    kind: str, site: dict[str, Any] | None, hardware: dict[str, Any]
) -> tuple[list[Device], int] | None:
    """The boards that a job of a kind may have, and how many of them at most; arguments as of
    `place_of`. Without a site file they are those of this machine, which are those of the hardware
    entries, or no session would run here.

    Returns
    -------
    None where it may run on a CPU, on boards that are not in the table, or that share their memory
    with the machine.
    """
    if site is None:
        entries = hardware.values()
        if any(entry["device"] != "cuda" or "gpu" not in entry for entry in entries):
            return None
        named = [(matching(e["gpu"], e.get("gpu_memory_gb")), e.get("gpus", 1)) for e in entries]
    else:
        resources = {**site["default"], **site["stages"].get(STAGES[kind], {})}
        asked = _boards_in(_gres_in(resources))
        if asked is None:
            return None
        named = [(matching(asked[0]), asked[1])]
    boards = [board for found, _ in named for board in found]
    if not all(found for found, _ in named) or any(b.memory_kind == "LPDDR" for b in boards):
        return None
    return boards, max(count for _, count in named)


def _gres_in(resources: dict[str, Any]) -> str:
    """What GPUs a job asks for, by `gres` or by the options of sbatch that do the same; empty where
    it asks for none.
    """
    if "gres" in resources:
        return str(resources["gres"])
    found = GPUS.search(resources.get("slurm_extra", ""))
    return f"gpu:{found[1]}" if found else ""


def _boards_in(gres: str) -> tuple[str, int] | None:
    """Model and number of the boards of a gres such as gpu:a100:2; None where it names no model."""
    match gres.split(":"):
        case [_, model, number] if number.isdigit():
            return model, int(number)
        case [_, model] if not model.isdigit():
            return model, 1
    return None


def _board(words: str, count: int, memory_gb: float | None = None) -> Place | None:
    """So many boards, of which these jobs compute on one at a time and hold the others."""
    boards = matching(words, memory_gb) if words else []
    if not boards:
        return None
    board = boards[0]
    return Place(
        board.name if count == 1 else f"{count} × {board.name}",
        COMPUTE_REACHED * board.peak_in("bf16"),
        SINGLE_REACHED * board.peak_in("fp32"),
        BANDWIDTH_REACHED * board.bandwidth,
        LAUNCH_S,
        count * board.loaded_idle_w + POWER_REACHED * (board.limit_w - board.loaded_idle_w),
        count,
        board.compute_capability,
    )


def _cpus(cores: int) -> Place:
    flop_s = cores * CORE_FLOP_S
    return Place(f"{cores} CPUs", flop_s, flop_s, CPU_BYTES_S, CPU_LAUNCH_S, 0.0, 0)

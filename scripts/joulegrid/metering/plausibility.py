"""Whether the reading of a window can be right, on GPUs that are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joulegrid.engines import Engine, Request
from joulegrid.jobs.devices import visible_gpus
from joulegrid.metering import floor
from joulegrid.metering.meter import Meter
from joulegrid.metering.windows import Check
from joulegrid.records import Spec

# How the engines call the number of sequences at a time
LIMITS = ("batch_size", "slots", "max_num_seqs")


def concurrency(engine: dict[str, Any]) -> int:
    """How many requests an engine entry lets run at once."""
    return int(next(engine[key] for key in LIMITS if key in engine))


def plausibility(
    engine: Engine,
    requests: Sequence[Request],
    weights: Path,
    spec: Spec,
    meter: Meter,
    decodes: bool = True,
    steady_at: int | None = None,
) -> Check:
    """A function that says why a window's reading cannot be right; on GPUs that are known.

    Decoding reads the KV cache, prefill makes it.

    Parameters
    ----------
    steady_at
        how many requests are under way in a closed loop, each of which writes a token in a step.
    """
    limits = [board.limit_w for board in meter.equipment.gpus.values()]
    gpus = visible_gpus() if limits else []
    step_s = floor.step_seconds(engine.describe()["weights_bytes"], gpus)
    if step_s is None or None in limits or not floor.reads_all_weights(weights):
        return lambda window: None
    count = floor.steps(requests, concurrency(spec["engine"]))
    limit_w = sum(limit for limit in limits if limit is not None)
    if steady_at is not None:
        return lambda window: floor.below(
            {**window, "runs": 1}, window["tokens_written"] // steady_at, step_s, limit_w
        )
    # requests that share a prefix in the cache may read it once
    cached = (
        floor.cache_bytes(weights) if decodes and not spec["engine"].get("prefix_caching") else 0
    )
    if not cached:
        return lambda window: floor.below(window, count, step_s, limit_w)
    token_s = floor.step_seconds(cached, gpus) or 0.0
    return lambda window: floor.below(
        window, count, step_s, limit_w, floor.cached_reads(requests, window) * token_s
    )

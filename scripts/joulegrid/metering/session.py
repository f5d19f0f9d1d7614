"""One session: load a model once, warm up, and measure windows of the workload until their mean is
known well enough.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joulegrid.engines import Engine, Request
from joulegrid.jobs.implementation import implementation
from joulegrid.jobs.run import say
from joulegrid.metering.meter import Meter
from joulegrid.records import Spec

# Warm-up ends when a run takes as long as the one before, up to this share, or after so many runs
SETTLED, LONGEST_WARM_UP = 0.05, 10
# A mean of fewer windows has no interval worth the name
FEWEST_WINDOWS = 3
# Student's t, 97.5 %, by degrees of freedom; more than these are near enough to the last
T = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
)


def measure(spec: Spec, weights: Path) -> dict[str, Any]:
    """Load, warm up, idle, windows.

    Returns
    -------
    loading and windows with seconds, J per component, tokens; idle power in W; memory and what the
    engine says it ran.
    """
    protocol, hardware, workload = spec["protocol"], spec["hardware"], spec["workload"]
    requests = implementation("workloads", workload["method"]).requests(workload, protocol["seed"])
    meter = Meter(protocol["tracking"], hardware)
    engines = implementation("engines", spec["engine"]["method"])
    engine, loading = meter.measure(
        lambda: engines.load(weights, spec["quantization"], hardware, spec["engine"])
    )
    say(f"loaded in {loading.seconds:.1f} s: {engine.describe()}")
    warm_up(engine, requests)
    idle = None
    if protocol["idle_seconds"]:
        _, idle = meter.measure(lambda: time.sleep(protocol["idle_seconds"]))
    windows = measure_windows(engine, requests, meter, protocol)
    return {
        "components": meter.basis,
        "loading": {"seconds": loading.seconds, "energy_j": loading.energy_j},
        "idle_power_w": {k: v / idle.seconds for k, v in idle.energy_j.items()} if idle else None,
        "windows": windows,
        "memory_bytes": engine.memory(),
        **engine.describe(),
    }


def warm_up(engine: Engine, requests: Sequence[Request]) -> None:
    """Run until the run time has settled."""
    before = 0.0
    for number in range(1, LONGEST_WARM_UP + 1):
        began = time.perf_counter()
        engine.run(requests)
        seconds = time.perf_counter() - began
        say(f"warm-up {number}: {seconds:.2f} s")
        if abs(seconds - before) <= SETTLED * seconds:
            return
        before = seconds


def measure_windows(
    engine: Engine, requests: Sequence[Request], meter: Meter, protocol: dict[str, Any]
) -> list[dict[str, Any]]:
    """Windows of at least `min_seconds` each, until the mean energy per token is known to
    `precision`.
    """
    windows: list[dict[str, Any]] = []
    while len(windows) < protocol["max_windows"]:
        windows.append(measure_window(engine, requests, meter, protocol["min_seconds"]))
        last = windows[-1]
        joules = sum(last["energy_j"].values())
        say(
            f"window {len(windows)}: {last['seconds']:.2f} s, {joules:.1f} J, "
            f"{last['tokens_written'] / last['seconds']:.1f} tokens/s"
        )
        values = [sum(w["energy_j"].values()) / w["tokens_written"] for w in windows]
        if len(values) >= FEWEST_WINDOWS and relative_half_width(values) <= protocol["precision"]:
            break
    return windows


def measure_window(
    engine: Engine, requests: Sequence[Request], meter: Meter, min_seconds: float
) -> dict[str, Any]:
    """One metered stretch: the workload as often as it takes to fill `min_seconds`."""

    def work() -> tuple[int, int, int]:
        began, runs, read, written = time.perf_counter(), 0, 0, 0
        while runs == 0 or time.perf_counter() - began < min_seconds:
            completions = engine.run(requests)
            runs += 1
            read += sum(completion.tokens_read for completion in completions)
            written += sum(completion.tokens_written for completion in completions)
        return runs, read, written

    (runs, read, written), reading = meter.measure(work)
    return {
        "seconds": reading.seconds,
        "energy_j": reading.energy_j,
        "runs": runs,
        "tokens_read": read,
        "tokens_written": written,
    }


def relative_half_width(values: Sequence[float]) -> float:
    """Half width of the 95 % interval (Student's t) of the mean of at least two values, relative to
    the mean.
    """
    quantile = T[min(len(values) - 1, len(T)) - 1]
    return quantile * statistics.stdev(values) / len(values) ** 0.5 / abs(statistics.fmean(values))

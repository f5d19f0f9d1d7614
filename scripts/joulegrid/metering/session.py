"""One session: load a model once, warm up, and measure windows of the workload until their mean is
known well enough.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from joulegrid.engines import Engine, Request
from joulegrid.errors import Terminated
from joulegrid.jobs.devices import visible_gpus
from joulegrid.jobs.implementation import implementation
from joulegrid.jobs.run import say, terminable
from joulegrid.metering import floor, samples
from joulegrid.metering.meter import COMPONENTS, MEASURED, Meter
from joulegrid.metering.reference import gpu_reference_seconds, reference_seconds
from joulegrid.metering.windows import Check, Window, count, measure_windows, require_clean
from joulegrid.records import Spec

# Warm-up ends when a run takes as long as the one before, up to this share, or after so many runs
SETTLED, LONGEST_WARM_UP = 0.05, 10
# or, from the second run on, after so many seconds: on a busy machine no two runs take the same
# time, ten of them can take longer than the windows, and the windows show what disturbs them
WARM_UP_S = 180.0
# CodeCarbon and a counter, or idle power at two times, that differ by more than this: said
DEVIATION = 0.1


@dataclass
class Taken:
    """What a session has so far: SIGTERM may end it anywhere.

    Parameters
    ----------
    facts
        what the record says of the time before the windows.
    idle
        power by time, None where it was not measured.
    warnings
        what is to be said of idle power and of warming up.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    idle: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(("before", "loaded", "end")))
    windows: list[Window] = field(default_factory=list)
    prefill: list[Window] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    meter: Any = None
    engine: Any = None


def measure(spec: Spec, weights: Path, stream: Path | None = None) -> dict[str, Any]:
    """Reference work, idle, load, warm up, idle, windows, idle.

    Parameters
    ----------
    stream
        where to write all samples of the session, if anywhere, however it ends; see `samples`.

    Returns
    -------
    loading and windows with seconds, J per component, tokens; idle power in W at three times;
    memory and what the engine says it ran; `ended_early`, where SIGTERM ended the session.

    Raises
    ------
    Disturbed
        with the windows, where the session stays disturbed and the protocol refuses that, or where
        SIGTERM leaves too few of them.
    """
    taken, protocol, ended = Taken(), spec["protocol"], None
    try:
        with terminable():
            take(taken, spec, weights)
    except Terminated as error:
        ended = f"{error} {_progress(taken)}"
        say(ended)
        require_clean(taken.windows, protocol, ended)
    finally:  # a session that cannot count is the one whose samples are wanted
        if stream is not None and taken.meter is not None:
            samples.write(stream, taken.meter.equipment, taken.meter.recorded)
    meter, windows, idle = taken.meter, taken.windows, taken.idle
    prefill = taken.prefill if taken.prefill and count(taken.prefill, protocol) else None
    return {
        **taken.facts,
        "components": meter.basis,
        "idle": idle,
        "windows": windows,
        **({"prefill_windows": prefill} if prefill else {}),
        **({"ended_early": ended} if ended else {}),
        "memory_bytes": taken.engine.memory(),
        "warnings": [
            *meter.warnings,
            *taken.warnings,
            *deviations(meter, windows),
            *idle_drift(idle),
        ],
        **taken.engine.describe(),
    }


def take(taken: Taken, spec: Spec, weights: Path) -> None:
    """Measure, and keep in `taken` what is finished."""
    protocol, hardware, workload = spec["protocol"], spec["hardware"], spec["workload"]
    requests = implementation("workloads", workload["method"]).requests(workload, protocol["seed"])
    taken.facts["reference_s"] = reference_seconds()
    say(f"reference work: {taken.facts['reference_s']:.3f} s")
    meter = taken.meter = Meter(protocol["tracking"], hardware)
    taken.idle["before"] = measure_idle(taken, protocol, "before loading")
    engines = implementation("engines", spec["engine"]["method"])
    on_gpus = gpu_reference_seconds() if hardware["device"] == "cuda" else []
    if on_gpus:
        taken.facts["reference_gpu_s"] = on_gpus
    engine, loading = meter.measure(
        lambda: engines.load(weights, spec["quantization"], hardware, spec["engine"])
    )
    taken.engine, taken.facts["loading"] = engine, loading.facts()
    say(f"loaded in {loading.seconds:.1f} s: {engine.describe()}")
    taken.warnings += warm_up(engine, requests)
    taken.idle["loaded"] = measure_idle(taken, protocol, "with the model loaded")
    check = plausibility(engine, requests, weights, spec, meter)
    measure_windows(taken.windows, engine, requests, meter, protocol, check)
    require_clean(taken.windows, protocol)
    if protocol["phases"]:
        measure_prefill(taken, requests, weights, spec)
    taken.idle["end"] = measure_idle(taken, protocol, "at the end")


def _progress(taken: Taken) -> str:
    """How far a session came."""
    if not taken.windows:
        return "before the first window was finished: nothing is measured"
    return f"after {len(taken.windows)} windows"


def measure_idle(taken: Taken, protocol: dict[str, Any], when: str) -> dict[str, Any] | None:
    """Power in W by component with nothing to do; None where the protocol does not ask, or where
    the reading cannot be right.
    """
    seconds = protocol["idle_seconds"]
    if not seconds:
        return None
    say(f"idle for {seconds:g} s, {when}")
    _, idle = taken.meter.measure(lambda: time.sleep(seconds))
    if idle.wrong:
        taken.warnings.append(f"no idle power {when}: {'; '.join(idle.wrong)}")
        return None
    power = {name: joules / idle.seconds for name, joules in idle.energy_j.items()}
    return {"power_w": power, **({"disturbed": idle.disturbances} if idle.disturbances else {})}


def idle_drift(idle: dict[str, dict[str, Any] | None]) -> list[str]:
    """What is to be said of idle power that is another one at the end than after loading."""
    first, last = idle["loaded"], idle["end"]
    if first is None or last is None:
        return []
    loaded, end = sum(first["power_w"].values()), sum(last["power_w"].values())
    if abs(end - loaded) <= DEVIATION * loaded:
        return []
    return [f"idle power drifted from {loaded:.3g} W to {end:.3g} W during the session"]


def warm_up(engine: Engine, requests: Sequence[Request]) -> list[str]:
    """Run until the run time has settled; what is to be said where it took too long."""
    began, before = time.perf_counter(), 0.0
    for number in range(1, LONGEST_WARM_UP + 1):
        start = time.perf_counter()
        engine.run(requests)
        end = time.perf_counter()
        say(f"warm-up {number}: {end - start:.2f} s")
        if abs(end - start - before) <= SETTLED * (end - start):
            return []
        if number > 1 and end - began >= WARM_UP_S:
            text = f"the time of a run had not settled within {WARM_UP_S:g} s of warming up"
            say(text)
            return [text]
        before = end - start
    return []


def measure_prefill(taken: Taken, requests: Sequence[Request], weights: Path, spec: Spec) -> None:
    """Windows in which every request generates one token only.

    Reading the prompt and one token is prefill; what more tokens take is decode (the rule of
    optimum-benchmark).
    """
    protocol, engine = spec["protocol"], taken.engine
    first_token = [replace(request, new_tokens=1) for request in requests]
    taken.warnings += warm_up(engine, first_token)
    # Reading prompts reads all weights once per batch, as decoding one token after the first does
    one_step = [replace(request, new_tokens=2) for request in requests]
    check = plausibility(engine, one_step, weights, spec, taken.meter, decodes=False)
    measure_windows(taken.prefill, engine, first_token, taken.meter, protocol, check)
    require_clean(taken.prefill, protocol)


def plausibility(
    engine: Engine,
    requests: Sequence[Request],
    weights: Path,
    spec: Spec,
    meter: Meter,
    decodes: bool = True,
) -> Check:
    """A function that says why a window's reading cannot be right; on GPUs that are known.

    Decoding reads the KV cache, prefill makes it.
    """
    limits = [board.limit_w for board in meter.equipment.gpus.values()]
    gpus = visible_gpus() if limits else []
    step_s = floor.step_seconds(engine.describe()["weights_bytes"], gpus)
    if step_s is None or None in limits or not floor.reads_all_weights(weights):
        return lambda window: None
    at_once = spec["engine"].get("batch_size") or spec["engine"]["max_num_seqs"]
    count = floor.steps(requests, at_once)
    limit_w = sum(limit for limit in limits if limit is not None)
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


def deviations(meter: Meter, windows: Sequence[Window]) -> list[str]:
    """What is to be said of counters from which CodeCarbon's figure deviates."""
    said = []
    for name in COMPONENTS:
        ours = sum(window["energy_j"][name] for window in windows)
        theirs = sum(window["codecarbon_j"][name] for window in windows)
        if meter.basis[name]["basis"] == MEASURED and abs(theirs - ours) > DEVIATION * ours:
            said.append(f"CodeCarbon says {theirs:.4g} J of the {name}, its counter {ours:.4g} J")
    return said

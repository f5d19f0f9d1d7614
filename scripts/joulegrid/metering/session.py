"""One session: load a model once, warm up, and measure windows of the workload until their mean is
known well enough.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joulegrid.errors import Disturbed, Terminated, Unsupported
from joulegrid.jobs import requests as table
from joulegrid.jobs.implementation import implementation
from joulegrid.jobs.outcomes import finding
from joulegrid.jobs.run import say, terminable
from joulegrid.metering import latency, open_loop, samples
from joulegrid.metering.meter import COMPONENTS, MEASURED, Meter
from joulegrid.metering.plausibility import concurrency, plausibility
from joulegrid.metering.points import Measured, as_written, asking, runner, warm_up
from joulegrid.metering.reference import gpu_reference_seconds, reference_seconds
from joulegrid.metering.windows import Window, count, measure_windows, require_clean
from joulegrid.records import Spec

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
    replay
        of a workload whose requests arrive by themselves.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    idle: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(("before", "loaded", "end")))
    points: list[Measured] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    meter: Any = None
    engine: Any = None
    memory: dict[str, Any] | None = None
    replay: open_loop.Replay | None = None

    @property
    def able(self) -> list[Measured]:
        """The points that have no finding."""
        return [each for each in self.points if each.finding is None]

    @property
    def windows(self) -> list[Window]:
        """Of all points, each with the index of its point where there are several."""
        return self._of_points("windows")

    @property
    def prefill(self) -> list[Window]:
        """The same of prefill."""
        return self._of_points("prefill")

    def _of_points(self, kind: str) -> list[Window]:
        if len(self.points) == 1:
            return list(getattr(self.points[0], kind))
        rows = enumerate(self.points)
        return [{"point": n, **window} for n, each in rows for window in getattr(each, kind)]


def measure(
    spec: Spec,
    weights: Path,
    stream: Path | None = None,
    memory: dict[str, Any] | None = None,
    requests: Path | None = None,
) -> dict[str, Any]:
    """Reference work, idle, load, idle, windows of every point behind its warm-up, idle.

    Parameters
    ----------
    stream
        where to write all samples of the session, if anywhere, however it ends; see `samples`.
    memory
        what was free before, as `devices.free_memory` says it.
    requests
        where to write the requests of a replay, likewise; see `jobs.requests`.

    Returns
    -------
    loading and windows with seconds, J per component, tokens; idle power in W at three times;
    memory and what the engine says it ran; `ended_early`, where SIGTERM ended the session;
    `replay`, where requests arrived by themselves: how they fared, and energy over time.

    Raises
    ------
    Disturbed
        with the windows, where the session stays disturbed and the protocol refuses that, or where
        SIGTERM leaves too few of them.
    OutOfMemory, Unsupported
        where no point can run; of some that cannot, the record says it.
    """
    taken, protocol, ended = Taken(memory=memory), spec["protocol"], None
    try:
        with terminable():
            take(taken, spec, weights)
    except Terminated as error:
        ended = f"{error} {_progress(taken)}"
        say(ended)
        _require_all(taken, protocol, ended)
    finally:  # a session that cannot count is the one whose samples are wanted
        if stream is not None and taken.meter is not None:
            samples.write(stream, taken.meter.equipment, taken.meter.recorded)
        if requests is not None and taken.replay is not None:
            table.write(requests, taken.replay.rows())
    meter, windows, idle = taken.meter, taken.windows, taken.idle
    phased = [each for each in taken.able if not each.point.steady]
    told = phased and all(each.prefill and count(each.prefill, protocol) for each in phased)
    return {
        **taken.facts,
        "components": meter.basis,
        "idle": idle,
        "windows": windows,
        **({"prefill_windows": taken.prefill} if told else {}),
        "points": [each.facts() for each in taken.points],
        **({"replay": taken.replay.facts} if taken.replay else {}),
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
    points = implementation("workloads", workload["method"]).points(workload, protocol["seed"])
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
    taken.points += map(Measured, points)
    if "duration_s" in workload:
        take_replay(taken, taken.points[0], spec)
        return
    for measured in taken.points:
        attempt_point(taken, measured, weights, spec)
    taken.idle["end"] = measure_idle(taken, protocol, "at the end")


def attempt_point(taken: Taken, measured: Measured, weights: Path, spec: Spec) -> None:
    """Measure a point, or say why it cannot run: that costs the others nothing."""
    try:
        measure_point(taken, measured, weights, spec)
    except Exception as error:
        measured.finding = finding(error, taken.memory)
        if measured.finding is None or not taken.able:
            raise
        measured.windows, measured.prefill = [], []
        say(f"status of this point: {measured.finding['status']} {measured.finding['reason']}")


def take_replay(taken: Taken, measured: Measured, spec: Spec) -> None:
    """A short warm-up, idle, the one window of a replay, idle."""
    requests, protocol = measured.point.requests, spec["protocol"]
    taken.warnings += open_loop.warm(taken.engine, requests)
    taken.idle["loaded"] = measure_idle(taken, protocol, "with the model loaded")
    taken.replay = open_loop.Replay(requests)
    open_loop.measure(taken.replay, measured, taken.engine, taken.meter, spec)
    taken.warnings += latency.fell_behind(taken.replay.facts)
    if not taken.replay.overdue:  # an engine that still computes is not idle
        taken.idle["end"] = measure_idle(taken, protocol, "at the end")


def measure_point(taken: Taken, measured: Measured, weights: Path, spec: Spec) -> None:
    """Warm up for a point, and measure its windows, and those of its prefill where the protocol
    asks for them. The first point that runs is also the first time to measure idle power.
    """
    protocol, point = spec["protocol"], measured.point
    allowed = concurrency(spec["engine"])
    if len(taken.points) > 1:
        say(
            f"point {taken.points.index(measured) + 1} of {len(taken.points)}: prompt tokens "
            f"{point.prompt_tokens or 'as they are'}, new tokens {point.new_tokens}"
        )
    if (point.at_once or 0) > allowed:
        raise Unsupported(f"the engine entry runs {allowed} requests at once, not {point.at_once}")
    taken.engine.prepare(point.requests)
    run = runner(taken.engine, point)
    measured.completions, said = warm_up(run)
    taken.warnings += said
    if taken.idle["loaded"] is None:
        taken.idle["loaded"] = measure_idle(taken, protocol, "with the model loaded")
    check = plausibility(
        taken.engine,
        as_written(measured),
        weights,
        spec,
        taken.meter,
        steady_at=point.at_once if point.steady else None,
    )
    measure_windows(measured.windows, run, taken.meter, protocol, check)
    require_clean(measured.windows, protocol)
    if protocol["phases"] and not point.steady:
        measure_prefill(taken, measured, weights, spec)


def _require_all(taken: Taken, protocol: dict[str, Any], ended: str) -> None:
    """See that enough windows of every point count, of a session that ended early."""
    if taken.replay is not None and taken.replay.counts:
        return
    if not taken.points:
        require_clean([], protocol, ended)
    for measured in taken.able:
        if not count(measured.windows, protocol):
            raise Disturbed(f"{ended}; the next run tries again", taken.windows)


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


def measure_prefill(taken: Taken, measured: Measured, weights: Path, spec: Spec) -> None:
    """Windows in which every request generates one token only.

    Reading the prompt and one token is prefill; what more tokens take is decode (the rule of
    optimum-benchmark).
    """
    protocol, engine, requests = spec["protocol"], taken.engine, measured.point.requests
    run = runner(engine, measured.point, asking(requests, 1))
    taken.warnings += warm_up(run)[1]
    # Reading prompts reads all weights once per batch, as decoding one token after the first does
    check = plausibility(engine, asking(requests, 2), weights, spec, taken.meter, decodes=False)
    measure_windows(measured.prefill, run, taken.meter, protocol, check)
    require_clean(measured.prefill, protocol)


def deviations(meter: Meter, windows: Sequence[Window]) -> list[str]:
    """What is to be said of counters from which CodeCarbon's figure deviates."""
    said = []
    windows = [window for window in windows if window["codecarbon_j"] is not None]
    for name in COMPONENTS if windows else ():
        ours = sum(window["energy_j"][name] for window in windows)
        theirs = sum(window["codecarbon_j"][name] for window in windows)
        if meter.basis[name]["basis"] == MEASURED and abs(theirs - ours) > DEVIATION * ours:
            said.append(f"CodeCarbon says {theirs:.4g} J of the {name}, its counter {ours:.4g} J")
    return said

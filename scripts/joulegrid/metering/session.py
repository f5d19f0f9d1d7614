"""One session: load a model once, warm up, and measure windows of the workload until their mean is
known well enough.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError, Terminated, Unsupported
from joulegrid.jobs import requests as table
from joulegrid.jobs.implementation import implementation
from joulegrid.jobs.outcomes import finding, first_line
from joulegrid.jobs.run import say, terminable
from joulegrid.metering import latency, open_loop, samples
from joulegrid.metering.meter import Meter
from joulegrid.metering.plausibility import concurrency, plausibility
from joulegrid.metering.points import Measured, as_written, asking, runner, warm_up
from joulegrid.metering.reference import gpu_reference_seconds, reference_seconds
from joulegrid.metering.remarks import deviations, idle_drift
from joulegrid.metering.taken import Taken, at, keep_windows, progress, require_all
from joulegrid.metering.windows import count, measure_windows, require_clean
from joulegrid.records import MISSING, Spec

# After work a board keeps high clocks for a while, and its plain power reading is a mean over the
# last second: 5 s to cool down is what ML.ENERGY found to be needed between two measurements
SETTLE_S = 5.0


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
    for path in filter(None, (stream, requests)):
        with suppress(OSError):  # an earlier try's are not this one's, should its own not be kept
            path.unlink(missing_ok=True)
    try:
        with terminable():
            take(taken, spec, weights)
    except Terminated as error:
        ended = f"{error} {progress(taken)}"
        say(ended)
        require_all(taken, protocol, ended)
    finally:  # a session that cannot count is the one whose samples are wanted
        if stream is not None and (meter := taken.meter) is not None:
            keep(taken, stream, lambda: samples.write(stream, meter.equipment, meter.recorded))
        if requests is not None and (replay := taken.replay) is not None:
            keep(taken, requests, lambda: table.write(requests, replay.rows()))
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
        # an engine that died, or whose board is lost since, cannot be asked any more
        "memory_bytes": taken.engine.memory() if ended and not taken.death else taken.memory_bytes,
        "warnings": [
            *meter.warnings,
            *taken.warnings,
            *(latency.fell_behind(taken.replay.facts) if taken.replay else ()),
            *deviations(meter, windows),
            *idle_drift(idle),
        ],
        **taken.engine.describe(),
    }


def keep(taken: Taken, path: Path, write: Callable[[], None]) -> None:
    """Write what is kept beside a record. Where that fails the record, or why there is none, is
    worth more: a warning says so.
    """
    try:
        write()
    except OSError as error:
        text = f"{path.name} is not kept: {error.strerror or error}"
        taken.warnings.append(text)
        say(text)


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
    if taken.death is None:
        taken.idle["end"] = measure_idle(taken, protocol, "at the end")


def attempt_point(taken: Taken, measured: Measured, weights: Path, spec: Spec) -> None:
    """Measure a point, or say why it cannot run: that costs the others nothing, unless the engine
    dies of it.

    Raises
    ------
    Disturbed
        with the windows of all points so far, where one ends in an error that is no finding.
    OutOfMemory, Unsupported
        where none was measured, and none is left that could be.
    """
    if taken.death is not None:
        measured.finding = {"status": MISSING, "reason": taken.death}
        return
    try:
        measure_point(taken, measured, weights, spec)
        taken.memory_bytes = taken.engine.memory()
    except Exception as error:
        failed = error
        try:
            measured.finding = finding(error, taken.memory)
        except InputError as held:  # others held the memory, which says nothing of the point
            failed = held
        if measured.finding is None:
            keep_windows(taken, measured, failed)
            raise failed from None
        measured.windows, measured.prefill = [], []
        say(f"status of this point: {measured.finding['status']} {measured.finding['reason']}")
        if getattr(error, "is_last", False):
            taken.death = f"not tried: {at(taken, measured)} the engine died: {first_line(error)}"
        if not any(each.windows or taken.death is None for each in taken.able):
            raise


def take_replay(taken: Taken, measured: Measured, spec: Spec) -> None:
    """A short warm-up, idle, the one window of a replay, idle."""
    requests, protocol = measured.point.requests, spec["protocol"]
    taken.warnings += open_loop.warm(taken.engine, requests)
    taken.idle["loaded"] = measure_idle(taken, protocol, "with the model loaded")
    taken.replay = open_loop.Replay(requests)
    open_loop.measure(taken.replay, measured, taken.engine, taken.meter, spec)
    taken.warnings += latency.late(taken.replay.facts, spec["workload"]["drain_s"])
    taken.memory_bytes = taken.engine.memory()
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


def measure_idle(taken: Taken, protocol: dict[str, Any], when: str) -> dict[str, Any] | None:
    """Power in W by component with nothing to do, of GPUs that have worked after they have settled;
    None where the protocol does not ask, where the reading cannot be right, or where there is
    none: a board that is lost, a counter that was reset, a sensor that gives one value. The windows
    are measured by themselves, and a session that has them is worth more than its idle power.
    """
    seconds = protocol["idle_seconds"]
    if not seconds:
        return None
    if taken.engine is not None and taken.meter.equipment.gpus:
        time.sleep(SETTLE_S)
    say(f"idle for {seconds:g} s, {when}")
    try:
        _, idle = taken.meter.measure(lambda: time.sleep(seconds))
        wrong = idle.wrong
    except (InputError, OSError) as error:
        wrong = [str(error)]
    if wrong:
        taken.warnings.append(f"no idle power {when}: {'; '.join(wrong)}")
        return None
    power = {name: joules / idle.seconds for name, joules in idle.energy_j.items()}
    return {"power_w": power, **({"disturbed": idle.disturbances} if idle.disturbances else {})}


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

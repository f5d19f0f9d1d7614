"""What the dataset takes out of the record of a session."""

from typing import Any

from joulegrid.analysis.recorded.session import Idle, Session, Window
from joulegrid.analysis.variables import BASIS
from joulegrid.records import OK

# Sums over points
SUMMED = ("duration", "requests", "tokens_read", "tokens_written", "padding")


def session_row(record: Session) -> dict[str, Any]:
    """The row of one energy record that is ok; of a sweep one of whose points could not run, what
    became of that.

    Raises
    ------
    ValueError
        where none of its windows counts, or a basis is none that there is.
    """
    for point in record.points:
        if point.status != OK:  # a sum over some of the points is none that could be compared
            return {"status": point.status, "reason": f"{point.reason} (a point of the sweep)"}
    windows, idle, loading = _counting(record.windows), record.idle, record.loading
    every = [*record.windows, *(record.prefill_windows or ())]
    prefill = _counting(record.prefill_windows) if record.prefill_windows else []
    ways, device = record.components, record.device
    gpus = device.gpus
    return {
        **(_totals(windows) if len(record.points) < 2 else _one_run(windows)),
        **_prefill(prefill, len(record.points)),
        **_beside([*windows, *prefill]),
        "cpu_clock": _clock(windows),
        "replaced": len(every) - len(windows) - len(prefill),
        "reference_time": record.reference_s,
        "reference_gpu_time": max(record.reference_gpu_s, default=None),
        "idle_power": _power(idle.loaded),
        "idle_disturbed": float(bool(idle.loaded.disturbed)) if idle.loaded else None,
        "idle_power_before": _power(idle.before),
        "idle_power_end": _power(idle.end),
        "loading_energy": loading.energy_j.listed(),
        "loading_time": loading.seconds,
        "peak_memory": record.memory_bytes.ram,
        "peak_gpu_memory": record.memory_bytes.gpu,
        "weights_size": record.weights_bytes,
        "basis": [BASIS.index(how.basis) for how in (ways.cpu, ways.gpu, ways.ram)],
        "kernel": record.kernel,
        "settings": record.settings,
        "cpu": device.cpu,
        "gpu": ", ".join([gpu.name for gpu in gpus]),
        "gpu_memory": gpus[0].memory_bytes if gpus else None,
        "gpu_uuid": ", ".join([gpu.uuid for gpu in gpus]),
        "host": record.host,
        "started": record.started,
        "warnings": "; ".join([*record.warnings, *filter(None, [record.ended_early])]),
    }


def _counting(windows: list[Window]) -> list[Window]:
    """The windows that count: none was disturbed, or the study accepts that."""
    found = [window for window in windows if window.counts or window.disturbed is None]
    if not found:
        raise ValueError("no window counts")
    return found


def _totals(windows: list[Window]) -> dict[str, Any]:
    """Sums over windows; one plain loop, which takes half the time of a comprehension for each."""
    seconds, runs, requests, read, written, padding = 0.0, 0, 0, 0, 0, 0
    cpu = gpu = ram = their_cpu = their_gpu = their_ram = 0.0
    is_cut = is_older = False
    for window in windows:
        joules, theirs = window.energy_j, window.codecarbon_j
        cpu += joules.cpu
        gpu += joules.gpu
        ram += joules.ram
        if theirs is None:  # of a window that was cut out of a longer stretch
            is_cut = True
        else:
            their_cpu += theirs.cpu
            their_gpu += theirs.gpu
            their_ram += theirs.ram
        seconds += window.seconds
        runs += window.runs
        requests += window.requests or 0
        read += window.tokens_read
        written += window.tokens_written
        padding += window.padding or 0
        is_older = is_older or window.padding is None
    return {
        "energy": [cpu, gpu, ram],
        "codecarbon_energy": None if is_cut else [their_cpu, their_gpu, their_ram],
        "duration": seconds,
        "windows": len(windows),
        "runs": runs,
        "requests": requests or None,
        "tokens_read": read,
        "tokens_written": written,
        "padding": None if is_older else padding,
    }


def per_point(windows: list[Window]) -> dict[int, dict[str, Any]]:
    """The totals of the windows that count, by the number of their point."""
    found: dict[int, list[Window]] = {}
    for window in windows:
        found.setdefault(window.point, []).append(window)
    return {number: _totals(_counting(own)) for number, own in found.items()}


def _one_run(windows: list[Window]) -> dict[str, Any]:
    """The totals of a sweep: the mean of one run of each point, together one run of the sweep; so
    that points whose windows hold many runs weigh no more than others.
    """
    points = list(per_point(windows).values())
    whole: dict[str, Any] = {"runs": 1, "windows": sum(point["windows"] for point in points)}
    for key in SUMMED:
        if all(point[key] is not None for point in points):
            whole[key] = sum(point[key] / point["runs"] for point in points)
    for key in ("energy", "codecarbon_energy"):
        if any(point[key] is None for point in points):
            continue
        parts = zip(*([j / point["runs"] for j in point[key]] for point in points), strict=True)
        whole[key] = [sum(part) for part in parts]
    return whole


def _beside(windows: list[Window]) -> dict[str, Any]:
    """What disturbed the windows, also in one loop."""
    foreign = neighbours = 0.0
    disturbed = 0
    for window in windows:
        if window.foreign_cpu > foreign:
            foreign = window.foreign_cpu
        if window.neighbours_cpu is not None and window.neighbours_cpu > neighbours:
            neighbours = window.neighbours_cpu
        disturbed += window.disturbed is not None
    return {
        "disturbed": disturbed / len(windows),
        "foreign_cpu": foreign,
        "neighbours_cpu": neighbours,
    }


def _clock(windows: list[Window]) -> float | None:
    clocks = [window.cpu_mhz for window in windows if window.cpu_mhz is not None]
    return sum(clocks) / len(clocks) if clocks else None


def _prefill(windows: list[Window], points: int) -> dict[str, Any]:
    """The totals of the windows that read the prompts and generated one token, where there are
    any.
    """
    if not windows:
        return {}
    totals = _totals(windows) if points < 2 else _one_run(windows)
    kept = {f"prefill_{k}": totals[k] for k in ("energy", "duration", "runs", "tokens_read")}
    return {**kept, "prefill_requests": totals["tokens_written"] / totals["runs"]}


def _power(idle: Idle | None) -> list[float] | None:
    return idle.power_w.listed() if idle else None

"""What the dataset takes out of the record of a session."""

from typing import Any

from joulegrid.analysis.variables import BASIS, COMPONENTS


def session_row(record: dict) -> dict[str, Any]:
    """The row of one energy record that is ok."""
    device, idle, memory = record["device"], record["idle"], record["memory_bytes"]
    windows, gpus = _counting(record["windows"]), record["device"]["gpus"]
    kernels = sorted(record["kernels"].items(), key=lambda item: (-item[1], item[0]))
    return {
        **_totals(windows),
        **_prefill(record),
        "codecarbon_energy": [
            sum([window["codecarbon_j"][c] for window in windows]) for c in COMPONENTS
        ],
        "disturbed": sum(["disturbed" in window for window in windows]) / len(windows),
        "replaced": len(record["windows"]) - len(windows),
        "foreign_cpu": max([window["foreign_cpu"] for window in windows]),
        "neighbours_cpu": max([window["neighbours_cpu"] or 0.0 for window in windows]),
        "reference_time": record["reference_s"],
        "idle_power": _power(idle["loaded"]),
        "idle_power_before": _power(idle["before"]),
        "idle_power_end": _power(idle["end"]),
        "loading_energy": [record["loading"]["energy_j"][c] for c in COMPONENTS],
        "loading_time": record["loading"]["seconds"],
        "peak_memory": memory["ram"],
        "peak_gpu_memory": memory.get("gpu"),
        "weights_size": record["weights_bytes"],
        "basis": [BASIS.index(record["components"][c]["basis"]) for c in COMPONENTS],
        "kernel": ", ".join(f"{name} ×{count}" for name, count in kernels),
        "cpu": device["cpu"],
        "gpu": ", ".join(gpu["name"] for gpu in gpus),
        "gpu_memory": gpus[0]["memory_bytes"] if gpus else None,
        "gpu_uuid": ", ".join(gpu["uuid"] for gpu in gpus),
        "host": record["host"],
        "started": record["started"],
        "warnings": "; ".join([*record["warnings"], *filter(None, [record.get("ended_early")])]),
    }


def _counting(windows: list[dict]) -> list[dict]:
    """The windows that count: none was disturbed, or the study accepts that."""
    return [window for window in windows if window.get("counts") or "disturbed" not in window]


def _totals(windows: list[dict]) -> dict[str, Any]:
    return {
        "energy": [sum([window["energy_j"][c] for window in windows]) for c in COMPONENTS],
        "duration": sum([window["seconds"] for window in windows]),
        "windows": len(windows),
        "runs": sum([window["runs"] for window in windows]),
        "tokens_read": sum([window["tokens_read"] for window in windows]),
        "tokens_written": sum([window["tokens_written"] for window in windows]),
    }


def _prefill(record: dict) -> dict[str, Any]:
    """The totals of the windows that read the prompts and generated one token, where there are
    any.
    """
    if "prefill_windows" not in record:
        return {}
    totals = _totals(_counting(record["prefill_windows"]))
    kept = {f"prefill_{k}": totals[k] for k in ("energy", "duration", "runs", "tokens_read")}
    return {**kept, "prefill_requests": totals["tokens_written"] / totals["runs"]}


def _power(idle: dict | None) -> list[float] | None:
    return [idle["power_w"][c] for c in COMPONENTS] if idle else None

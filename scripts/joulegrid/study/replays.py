"""What a study asks of a replay that does not go together.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.texts.files import decode
from joulegrid.texts.traces import Arrival, parse_trace

# Requests of one replay; what is known of each is kept in memory until the end
MOST = 1_000_000
WHEN = ("rate_per_s", "interval_s", "trace")


def of_replays(data: dict[str, Any]) -> list[str]:
    """What is wrong with the replays of a study."""
    return [
        line
        for label, entry in data["workload"].items()
        if entry["method"] == "replay"
        for line in _of_one(f"workload.{label}", entry)
    ]


def duration_s(entry: dict[str, Any]) -> float | None:
    """How long the window of a workload may take in s, None where it has no duration of its own."""
    return entry["duration_s"] + entry["drain_s"] if "duration_s" in entry else None


def _of_one(key: str, entry: dict[str, Any]) -> list[str]:
    given = [name for name in WHEN if name in entry]
    if len(given) != 1:
        got = " and ".join(given) or "none of them"
        return [f"{key}: got {got}; expected one of {', '.join(WHEN)}"]
    if "trace" in entry:
        return _of_trace(key, entry)
    if "prompts" not in entry:
        return [f"{key}: the key 'prompts' is missing; expected a JSONL file"]
    return _of_rate(key, given[0], entry)


def _of_rate(key: str, name: str, entry: dict[str, Any]) -> list[str]:
    rate = entry["rate_per_s"] if name == "rate_per_s" else 1 / entry["interval_s"]
    expected = rate * entry["duration_s"]
    asked = f"{name}: {entry[name]:g} over duration_s: {entry['duration_s']:g}"
    if expected < 1:
        return [f"{key}: {asked} is {expected:.2g} requests; expected 1 or more: lengthen it"]
    if expected > MOST:
        return [f"{key}: {asked} is {expected:,.0f} requests; expected {MOST:,} at most"]
    return []


def _of_trace(key: str, entry: dict[str, Any]) -> list[str]:
    if "arrivals" in entry:
        return [f"{key}.arrivals: the trace says when requests arrive; drop it"]
    rows = _rows(entry["trace"])
    if rows is None:  # the file itself is named where it is resolved
        return []
    inside = [row for row in rows if row.arrival_s < entry["duration_s"]]
    if not inside:
        return [
            f"{key}.duration_s: got {entry['duration_s']:g}; the first request of {entry['trace']} "
            f"arrives at {rows[0].arrival_s:g} s"
        ]
    if len(inside) > MOST:
        return [f"{key}.trace: {len(inside):,} requests; expected {MOST:,} at most"]
    bare = next((row for row in inside if row.prompt is None), None)
    if bare is not None and "prompts" not in entry:
        return [
            f"{key}: the key 'prompts' is missing; the arrival at {bare.arrival_s:g} s of "
            f"{entry['trace']} has no prompt"
        ]
    return []


def _rows(name: str) -> list[Arrival] | None:
    try:
        return parse_trace(decode((ROOT / name).read_bytes(), name), name)
    except (OSError, InputError):
        return None

"""Open loop: requests arrive when they would in service, whether or not those before are done."""

import random
from itertools import cycle

from joulegrid.engines import Request
from joulegrid.errors import InputError
from joulegrid.texts.traces import Arrival, trace_of
from joulegrid.workloads import Point
from joulegrid.workloads.arrivals import PROCESSES
from joulegrid.workloads.prompts import drawn


def points(entry: dict, seed: int) -> list[Point]:
    """One point with a request for each arrival, in order.

    Entry and seed alone decide instants and prompts: every cell and every session gets the same
    prompts at the same moments. Prompts come in an order that is drawn once, and again from the
    first when all had their turn.

    Raises
    ------
    InputError
        where nothing arrives within the duration, or an arrival has no prompt.
    """
    found = _arrivals(entry, seed)
    if not found:
        raise InputError(
            f"no request arrives within {entry['duration_s']:g} s; lengthen duration_s"
        )
    given = cycle(_shuffled(entry, seed)) if "prompts" in entry else None
    requests = tuple(_request(each, given, entry) for each in found)
    asked = {request.new_tokens for request in requests}
    return [Point(requests, new_tokens=asked.pop() if len(asked) == 1 else None)]


def _arrivals(entry: dict, seed: int) -> list[Arrival]:
    """What arrives within the duration, in order."""
    duration_s = entry["duration_s"]
    if "trace" in entry:
        return [each for each in trace_of(entry["trace"]) if each.arrival_s < duration_s]
    rate_per_s = entry["rate_per_s"] if "rate_per_s" in entry else 1 / entry["interval_s"]
    instants = PROCESSES[entry.get("arrivals", "poisson")](rate_per_s, duration_s, seed)
    return [Arrival(instant) for instant in instants]


def _shuffled(entry: dict, seed: int) -> list[str]:
    prompts = drawn(entry, seed)
    random.Random(seed).shuffle(prompts)
    return prompts


def _request(arrival: Arrival, given: "cycle[str] | None", entry: dict) -> Request:
    prompt = arrival.prompt or (next(given) if given else None)
    if prompt is None:
        raise InputError(
            f"{entry['trace']['path']}: the arrival at {arrival.arrival_s:g} s has no prompt, and "
            "the workload names none"
        )
    return Request(
        prompt,
        arrival.new_tokens or entry["new_tokens"],
        entry["chat"],
        arrival.arrival_s,
        arrival.prompt_tokens,
        entry["stop"] == "natural",
    )

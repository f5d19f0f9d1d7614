"""How requests of a replay fared: latencies, throughput, backlog.

Every latency counts from the moment at which a request arrives, so that waiting is in it. Terms are
those of vLLM's serving benchmark.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from joulegrid.engines import Completion, Request

PERCENTILES = (50, 95, 99)
# More come than go where more wait at the end than these, and the machine was busy for most of the
# time: a queue in balance does not grow with what has arrived
FEW_WAITING, FEW_OF_ALL, BUSY = 4, 0.01, 0.8
Found = Mapping[int, Completion]


def first_token_s(request: Request, done: Completion) -> float | None:
    """Time to first token."""
    return None if done.first_token_s is None else done.first_token_s - request.arrival_s


def per_token_s(_: Request, done: Completion) -> float | None:
    """Time per output token after the first; None where there is none after it."""
    if done.first_token_s is None or done.tokens_written < 2:
        return None
    return (done.done_s - done.first_token_s) / (done.tokens_written - 1)


def total_s(request: Request, done: Completion) -> float:
    """From arrival to the last token."""
    return done.done_s - request.arrival_s


KINDS: dict[str, Callable[[Request, Completion], float | None]] = {
    "first_token_s": first_token_s,
    "per_token_s": per_token_s,
    "total_s": total_s,
}


def percentiles(values: Sequence[float], unfinished: int = 0) -> dict[str, float | None]:
    """Percentiles with linear interpolation, NumPy's default, of values of which `unfinished` more
    are not known but longer than all others; None where one falls among them.
    """
    found: dict[str, float | None] = {}
    ordered = np.sort(np.array(values, "f8"))
    count = len(ordered) + unfinished
    padded = np.concatenate([ordered, np.full(unfinished, ordered[-1] if len(ordered) else 0.0)])
    for rank in PERCENTILES:
        last = math.ceil(rank / 100 * (count - 1)) if count else 0
        known = last < len(ordered)
        found[f"p{rank}"] = float(np.percentile(padded, rank)) if known else None
    return found


def summary(
    requests: Sequence[Request],
    found: Found,
    duration_s: float,
    seconds: float,
    under_way: Mapping[int, float] | None = None,
) -> dict[str, Any]:
    """What a record says of the requests of a replay.

    Parameters
    ----------
    requests
        in the order of their arrival.
    found
        completions by position; those of requests that were not finished lack.
    duration_s
        for how long requests were to arrive; `seconds` how long the replay really took.
    under_way
        when those were taken up that were not finished, as far as the engine knows, by position.

    Returns
    -------
    Counts (`arrived`, `finished`, `unfinished`), rates per s (`offered`, `served`, `tokens`),
    percentiles of each latency over all that arrived (of time per token over what was finished),
    `backlog` when arrivals ended, of it `in_progress` and `waiting`, `most_waiting`, `drain_s` and
    `utilisation`; None where the engine does not say.
    """
    arrived = [n for n, request in enumerate(requests) if request.arrival_s <= seconds]
    done = {n: found[n] for n in arrived if n in found}
    begun = _begun(arrived, done, under_way or {})
    offered_s = min(duration_s, seconds)
    return {
        "duration_s": duration_s,
        "arrived": len(arrived),
        "finished": len(done),
        "unfinished": len(arrived) - len(done),
        "offered_per_s": len(arrived) / offered_s,
        "served_per_s": len(done) / seconds,
        "tokens_per_s": sum(each.tokens_written for each in done.values()) / seconds,
        **{kind: _percentiles_of(kind, requests, arrived, done) for kind in KINDS},
        "queueing_s": _queueing_s(requests, arrived, begun),
        **_queue(requests, arrived, done, begun, offered_s),
        "drain_s": max(seconds - duration_s, 0.0),
    }


def _percentiles_of(
    kind: str, requests: Sequence[Request], arrived: Sequence[int], done: Found
) -> dict[str, float | None]:
    values = [KINDS[kind](requests[n], each) for n, each in done.items()]
    known = [value for value in values if value is not None]
    # what waited too long to be finished need not have been written slowly
    late = len(arrived) - len(done) if known and kind != "per_token_s" else 0
    return percentiles(known, late)


def _begun(arrived: Sequence[int], done: Found, under_way: Mapping[int, float]) -> dict[int, float]:
    """When requests were taken up, finished or not, as far as the engine says."""
    said = {n: each.started_s for n, each in done.items() if each.started_s is not None}
    return {**{n: under_way[n] for n in arrived if n in under_way}, **said}


def _queueing_s(
    requests: Sequence[Request], arrived: Sequence[int], begun: Mapping[int, float]
) -> dict[str, float | None]:
    """From arrival until the engine took a request up."""
    known = [max(at - requests[n].arrival_s, 0.0) for n, at in begun.items()]
    return percentiles(known, len(arrived) - len(begun) if begun else 0)


def _queue(
    requests: Sequence[Request],
    arrived: Sequence[int],
    done: Found,
    begun: Mapping[int, float],
    until_s: float,
) -> dict[str, Any]:
    """Requests that were not finished when arrivals ended, of them those that were being worked at
    and those not begun; the longest queue; and the share of the time until then in which at least
    one request was there and not finished.
    """
    stay = [(requests[n].arrival_s, done[n].done_s if n in done else until_s) for n in arrived]
    utilisation = _covered(stay, until_s) / until_s
    backlog = sum(n not in done or done[n].done_s > until_s for n in arrived)
    if not begun:
        unknown = dict.fromkeys(("in_progress", "waiting", "most_waiting"))
        return {"backlog": backlog, **unknown, "utilisation": utilisation}
    changes = sorted(
        [(requests[n].arrival_s, 1) for n in arrived] + [(at, -1) for at in begun.values()]
    )
    lengths = np.cumsum([change for _, change in changes])
    waiting = sum(n not in begun or begun[n] > until_s for n in arrived)
    return {
        "backlog": backlog,
        "in_progress": backlog - waiting,
        "waiting": waiting,
        "most_waiting": int(lengths.max()),
        "utilisation": utilisation,
    }


def _covered(stretches: Sequence[tuple[float, float]], until_s: float) -> float:
    """Length of the union of stretches of time, in order of their begins, up to `until_s`."""
    total, reached = 0.0, 0.0
    for begin, end in stretches:
        begin, end = max(begin, reached), min(end, until_s)
        total += max(end - begin, 0.0)
        reached = max(reached, end)
    return total


def fell_behind(found: Mapping[str, Any]) -> list[str]:
    """What is to be said of a replay whose requests came faster than they were served, or nearly
    so; see `summary`.
    """
    said = []
    utilisation, waiting = found["utilisation"], found["waiting"] or 0
    if waiting > max(FEW_WAITING, FEW_OF_ALL * found["arrived"]) and utilisation >= BUSY:
        ending = "was given up after" if found["unfinished"] else "took"
        said.append(
            f"the replay fell behind: {waiting} requests waited when arrivals ended, the machine "
            f"was busy {utilisation:.0%} of the time; it {ending} {found['drain_s']:.0f} s"
        )
    if found["unfinished"]:
        said.append(f"{found['unfinished']} of {found['arrived']} requests were not finished")
    return said


def late(found: Mapping[str, Any], drain_s: float) -> list[str]:
    """What is to be said of a replay that was longer in draining than it should, since the engine
    is asked as requests end and cannot be stopped within one; see `summary`.
    """
    if found["drain_s"] <= drain_s:
        return []
    return [
        f"draining took {found['drain_s']:.3g} s, longer than drain_s ({drain_s:g} s): what ended "
        "as that was over counts as finished"
    ]

"""A long window in bins of time: energy, and what disturbed the machine, bin by bin.

Samples are taken each second (each 100 ms with GPUs); what the counters stood at where a bin ends
is on the line between those around it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from joulegrid.metering.cut import cut
from joulegrid.metering.meter import COMPONENTS, Meter
from joulegrid.metering.samples import Sample

# A bin that is shorter is a part of the one before: counters refresh in steps
SHORTEST_S = 1.0
# Samples so far from a bin are looked at: what the host counts is read each second only
BESIDE_S = 5.0
# Of the time of a replay, how much may be disturbed: were the power in it wrong by as much as it
# is, the mean would be wrong by what two boards of one model differ by (Yang et al. 2024)
TOLERATED = 0.05


def edges(seconds: float, duration_s: float, bin_s: float) -> list[float]:
    """Where bins begin and end in s since the begin: each `bin_s`, at the end of the duration, and
    at the end of all `seconds`.
    """
    inside = {*np.arange(bin_s, seconds, bin_s).tolist(), min(duration_s, seconds)}
    found = [0.0]
    for edge in sorted(inside):
        # the end of the duration is one, however short the bin before it
        if edge == duration_s and len(found) > 1 and edge - found[-1] < SHORTEST_S:
            found.pop()
        if edge - found[-1] >= SHORTEST_S:
            found.append(edge)
    if len(found) > 1 and seconds - found[-1] < SHORTEST_S:
        found.pop()
    return [*found, seconds]


def split(
    meter: Meter, samples: Sequence[Sample], duration_s: float, bin_s: float
) -> list[dict[str, Any]]:
    """Begin and length in s, J by component and reasons of disturbance of every bin."""
    began, found = samples[0].t_s, []
    times = [sample.t_s - began for sample in samples]
    for first_s, last_s in pairwise(edges(times[-1], duration_s, bin_s)):
        begin = max(bisect_left(times, first_s - BESIDE_S) - 1, 0)
        around = samples[begin : bisect_left(times, last_s + BESIDE_S) + 1]
        part = cut(meter.equipment, around, began + first_s, began + last_s)
        reading = meter.reading(part, {})
        # readings that cannot be right are judged over the whole: a counter is late at both ends
        reasons = reading.disturbances
        found.append(
            {
                "start_s": first_s,
                "seconds": reading.seconds,
                "energy_j": reading.energy_j,
                **({"disturbed": reasons} if reasons else {}),
            }
        )
    return found


def behind(bins: Sequence[dict[str, Any]], instant_s: float) -> dict[str, float]:
    """J by component behind an instant; of the bin that it lies in, in proportion to time."""
    shares = [
        min(max(each["start_s"] + each["seconds"] - instant_s, 0.0) / each["seconds"], 1.0)
        for each in bins
    ]
    return {
        name: sum(share * each["energy_j"][name] for share, each in zip(shares, bins, strict=True))
        for name in COMPONENTS
    }


def disturbed_share(bins: Sequence[dict[str, Any]]) -> float:
    """Share of the time whose bins were disturbed."""
    whole = sum(each["seconds"] for each in bins)
    return sum(each["seconds"] for each in bins if "disturbed" in each) / whole


def disturbances(bins: Sequence[dict[str, Any]]) -> list[str]:
    """Why the whole does not count: too much of its time was disturbed; empty: it counts."""
    share = disturbed_share(bins)
    if share <= TOLERATED:
        return []
    first = next(each["disturbed"][0] for each in bins if "disturbed" in each)
    return [f"{share:.0%} of the time was disturbed, such as: {first}"]

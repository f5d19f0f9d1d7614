"""A long window in bins of time: energy, and what disturbed the machine, bin by bin.

Samples are taken each second (each 100 ms with GPUs): a bin ends with the sample nearest to its
time, and says where it really begins.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from joulegrid.metering.meter import Meter
from joulegrid.metering.samples import Sample

# A bin that is shorter is a part of the one before: counters refresh in steps
SHORTEST_S = 1.0
# Of the time of a replay, how much may be disturbed: were the power in it wrong by as much as it
# is, the mean would be wrong by what two boards of one model differ by (Yang et al. 2024)
TOLERATED = 0.05


def cuts(times: Sequence[float], duration_s: float, bin_s: float) -> list[int]:
    """Positions of the samples at which bins begin and end: each `bin_s`, at the end of the
    duration, and at the last sample.

    Parameters
    ----------
    times
        of the samples, s since the begin.
    """
    inside = {*np.arange(bin_s, times[-1], bin_s), min(duration_s, times[-1])}
    middles = (np.array(times[1:]) + np.array(times[:-1])) / 2
    found = [0]
    for position in np.searchsorted(middles, sorted(inside)):
        if times[position] - times[found[-1]] >= SHORTEST_S:
            found.append(int(position))
    last = len(times) - 1
    rest_s = times[last] - times[found[-1]]
    if len(found) > 1 and rest_s < SHORTEST_S:
        found.pop()
    return [*found, last]


def split(
    meter: Meter, samples: Sequence[Sample], duration_s: float, bin_s: float
) -> list[dict[str, Any]]:
    """Begin and length in s, J by component and reasons of disturbance of every bin."""
    began, found = samples[0].t_s, []
    times = [sample.t_s - began for sample in samples]
    for first, last in pairwise(cuts(times, duration_s, bin_s)):
        reading = meter.reading(list(samples[first : last + 1]), {})
        reasons = [*reading.wrong, *reading.disturbances]
        found.append(
            {
                "start_s": times[first],
                "seconds": reading.seconds,
                "energy_j": reading.energy_j,
                **({"disturbed": reasons} if reasons else {}),
            }
        )
    return found


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

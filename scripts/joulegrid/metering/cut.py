"""A stretch cut out of samples: what the counters stood at between two of them."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from joulegrid.metering.samples import Equipment, Gpu, Host, Sample

# What a host says of a moment: no counter, the nearest one holds
MOMENTARY = ("mhz",)


def cut(
    equipment: Equipment, samples: Sequence[Sample], begin_s: float, end_s: float
) -> list[Sample]:
    """The samples between two instants, and one at each of them.

    A counter between two samples is on the line between them. What a GPU counts is refreshed each
    100 ms and what it takes then is one value: an end is off by 0.1 s times its power at most.

    Parameters
    ----------
    begin_s, end_s
        on the clock of the samples, within them.
    """
    times = [sample.t_s for sample in samples]
    inside = samples[bisect_left(times, begin_s) : bisect_left(times, end_s)]
    within = [sample for sample in inside if begin_s < sample.t_s < end_s]
    ends = (_at(equipment, samples, times, instant) for instant in (begin_s, end_s))
    return [next(ends), *within, next(ends)]


def _at(
    equipment: Equipment, samples: Sequence[Sample], times: Sequence[float], instant: float
) -> Sample:
    after = min(max(bisect_left(times, instant), 1), len(times) - 1)
    one, other = samples[after - 1], samples[after]
    share = (instant - one.t_s) / (other.t_s - one.t_s)
    zones = {
        name: (v + round(share * ((other.zones[name] - v) % (zone.range_uj + 1))))
        % (zone.range_uj + 1)
        for name, zone in equipment.zones.items()
        for v in [one.zones[name]]
    }
    gpus = {uuid: _gpu(one.gpus[uuid], other.gpus[uuid], share) for uuid in equipment.gpus}
    return Sample(instant, _host(samples, times, instant), zones, gpus)


def _gpu(one: Gpu, other: Gpu, share: float) -> Gpu:
    return replace(
        other,
        energy_mj=_between(one.energy_mj, other.energy_mj, share),
        power_w=_between(one.power_w, other.power_w, share),
    )


def _host(samples: Sequence[Sample], times: Sequence[float], instant: float) -> Host:
    """Between the nearest two readings of the host, which quick samples only repeat."""
    read = [0, *(n for n in range(1, len(samples)) if samples[n].host != samples[n - 1].host)]
    after = next((n for n in read[1:] if times[n] >= instant), read[-1])
    before = max((n for n in read if n < after), default=0)
    if after == before:  # nothing was counted at all
        return samples[before].host
    share = min((instant - times[before]) / (times[after] - times[before]), 1.0)
    one, other = samples[before].host, samples[after].host
    found = {
        each.name: _between(getattr(one, each.name), getattr(other, each.name), share)
        for each in fields(Host)
        if each.name not in MOMENTARY
    }
    return replace(other, **found)


def _between(one: Any, other: Any, share: float) -> Any:
    """A value between two, whole where they are; None where one of them is not known."""
    if one is None or other is None:
        return None
    value = one + share * (other - one)
    return round(value) if isinstance(one, int) and isinstance(other, int) else value

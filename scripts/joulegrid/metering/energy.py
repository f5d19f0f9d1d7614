"""Joules out of samples: counters with their wraps, power integrated over time.

Everything here is a function of samples, so that a recording gives what the machine gave.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import TypeVar

from joulegrid.errors import InputError
from joulegrid.metering.samples import Board, Equipment, Gpu, Sample, Zone

T = TypeVar("T")

# Power samples further apart than this leave a hole that no line between them fills. Boards refresh
# each 100 ms, so that two in a row may be lost
LONGEST_GAP_S = 0.5
# No package nor its DRAM takes more for longer than an instant (zeus takes the same bound; the
# largest server CPUs are designed for 500 W). A counter that fell and would by a wrap have counted
# more than this was reset
MOST_W = 1000.0
# Reading a counter is delayed by up to so much after its time is taken
DELAY_S = 1.0
# A package counts each 1 ms and takes watts also at idle: one that has not moved for so long does
# not count. Memory is left out: that of a socket without modules takes nothing
STILL_S = 1.0
# A sensor that gives the same watts for so long is stuck, also at idle: an L40S did for 9.9 s, and
# half as much again is asked for. Of a board at work, by its own utilization, the longest time was
# 2.9 s (recordings of 16 boards)
STUCK_S = 15.0
STUCK_AT_WORK_S, AT_WORK = 4.0, 0.5
# Counter and integrated power of a working board agree within some 2 % over 5 s and more (59 runs
# on a B300; an RTX 4000 Ada 0.3 to 1.8 %); zeus and DCGM users saw 5 to 20 %
DISAGREEMENT = 0.1
COUNTER, POWER = "NVML total energy counter", "NVML instant power, integrated"
MEAN_POWER = "NVML power (no instant one; a mean over 1 s on many boards), integrated"


@dataclass(frozen=True)
class GpuEnergy:
    """Energy of one board over some samples.

    Parameters
    ----------
    energy_j
        by the counter where there is one, else by integrated power.
    power_j
        by integrated power; None where samples are missing.
    """

    energy_j: float
    power_j: float | None
    method: str

    @property
    def disagreement(self) -> float | None:
        """Relative difference of integrated power to the counter."""
        if self.method != COUNTER or self.power_j is None or self.energy_j == 0:
            return None
        return self.power_j / self.energy_j - 1


def counted_uj(values: Sequence[int], range_uj: int) -> int:
    """What a counter that starts again at `range_uj` has counted over consecutive readings, in µJ.

    Readings must be so close that it starts again at most once between two.
    """
    return sum(
        (after - before) % (range_uj + 1) if after < before else after - before
        for before, after in pairwise(values)
    )


def zones_j(equipment: Equipment, samples: Sequence[Sample]) -> dict[str, float]:
    """J of every RAPL zone.

    Raises
    ------
    InputError
        where a counter was reset, jumped, stands still, or was not read for so long that it may
        have started again more than once: what was used then is not known.
    """
    return {name: _zone_j(name, zone, samples) for name, zone in equipment.zones.items()}


def _zone_j(name: str, zone: Zone, samples: Sequence[Sample]) -> float:
    joules = 0.0
    for before, after in pairwise(samples):
        seconds = after.t_s - before.t_s
        most = MOST_W * (seconds + DELAY_S)
        if most >= zone.range_uj / 1e6:
            raise InputError(
                f"RAPL {name} was not read for {seconds:.0f} s, in which its counter may have "
                "started again more than once (was the job suspended?): that is no measurement"
            )
        values = before.zones[name], after.zones[name]
        step = counted_uj(values, zone.range_uj) / 1e6
        if step > most:
            raise InputError(
                f"RAPL {name}: its counter went from {values[0] / 1e6:.0f} J to "
                f"{values[1] / 1e6:.0f} J in {seconds:.2g} s, which no CPU takes: was it reset (by "
                "a suspended machine, or a driver that was loaded anew)? That is no measurement"
            )
        joules += step
    if zone.domain == "package":
        _refuse_still(name, samples)
    return joules


def _refuse_still(name: str, samples: Sequence[Sample]) -> None:
    stretches = _unchanged((sample.t_s, sample.zones[name]) for sample in samples)
    still = max(seconds for _, _, seconds in stretches)
    if still >= STILL_S:
        raise InputError(
            f"RAPL {name}: its counter stood still for {still:.1f} s: that is no measurement"
        )


def _unchanged(readings: Iterable[tuple[float, T]]) -> Iterator[tuple[T, int, float]]:
    """Stretches over which what was read at these times was the same: it, how often, and s."""
    for value, group in groupby(readings, itemgetter(1)):
        times = [t_s for t_s, _ in group]
        yield value, len(times), times[-1] - times[0]


def integral_j(times: Sequence[float], watts: Sequence[float]) -> float:
    """Power over time by trapezoids, in J."""
    points = pairwise(zip(times, watts, strict=True))
    return sum((t1 - t0) * (w0 + w1) / 2 for (t0, w0), (t1, w1) in points)


def method(board: Board) -> str:
    """How the energy of a board is read."""
    if board.has_counter:
        return COUNTER
    return POWER if board.is_instant else MEAN_POWER


def gpu_j(uuid: str, equipment: Equipment, samples: Sequence[Sample]) -> GpuEnergy:
    """Energy of one board.

    Raises
    ------
    InputError
        where its readings cannot be those of a board at work: a counter that goes backwards or
        stands still, a power sensor that is stuck, samples that are missing.
    """
    times = [sample.t_s for sample in samples]
    readings = [sample.gpus[uuid] for sample in samples]
    integrated = _integrated(times, readings)
    if not equipment.gpus[uuid].has_counter:
        joules = _power_only(uuid, times, readings, integrated)
        return GpuEnergy(joules, integrated, method(equipment.gpus[uuid]))
    values = [reading.energy_mj for reading in readings if reading.energy_mj is not None]
    if any(after < before for before, after in pairwise(values)):
        raise InputError(
            f"GPU {uuid}: its energy counter went backwards: was the driver loaded anew?"
        )
    joules = (values[-1] - values[0]) / 1000
    if joules == 0:
        raise InputError(
            f"GPU {uuid}: its energy counter stood still for {times[-1] - times[0]:.1f} s: that is "
            "no measurement"
        )
    return GpuEnergy(joules, integrated, COUNTER)


def _integrated(times: Sequence[float], readings: Sequence[Gpu]) -> float | None:
    watts = [reading.power_w for reading in readings if reading.power_w is not None]
    if len(watts) < len(times) or _longest_gap(times) > LONGEST_GAP_S:
        return None
    return integral_j(times, watts)


def _power_only(
    uuid: str, times: Sequence[float], readings: Sequence[Gpu], integrated: float | None
) -> float:
    if integrated is None:
        raise InputError(
            f"GPU {uuid} counts no energy, and its power was not sampled for "
            f"{_longest_gap(times):.1f} s: that is no measurement"
        )
    if integrated == 0:
        raise InputError(f"GPU {uuid}: NVML says 0 W: that is no measurement")
    _refuse_stuck(uuid, times, readings)
    return integrated


def _refuse_stuck(uuid: str, times: Sequence[float], readings: Sequence[Gpu]) -> None:
    working = [(reading.busy or 0.0) >= AT_WORK for reading in readings]
    for least, counts in ((STUCK_S, [True] * len(readings)), (STUCK_AT_WORK_S, working)):
        watts = zip((reading.power_w for reading in readings), counts, strict=True)
        for (watt, counted), times_read, seconds in _unchanged(zip(times, watts, strict=True)):
            if counted and seconds >= least:
                raise InputError(
                    f"GPU {uuid}: NVML gave the same {watt} W {times_read} times, over "
                    f"{seconds:.1f} s: its sensor is stuck"
                )


def _longest_gap(times: Sequence[float]) -> float:
    return max((after - before for before, after in pairwise(times)), default=0.0)

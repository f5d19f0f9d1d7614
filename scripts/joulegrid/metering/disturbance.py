"""Whether a window was disturbed, or read wrongly: the rules, in one place.

A window during which somebody else used the CPUs or the GPU, or in which the hardware was slowed
down, says nothing about the configuration. Such windows are kept, marked and replaced. So are those
whose reading cannot be right; they never count, also where the study accepts disturbed ones.
"""

from collections.abc import Iterable, Sequence

from joulegrid.metering.energy import DISAGREEMENT, GpuEnergy
from joulegrid.metering.estimates import IDLE_SHARE
from joulegrid.metering.nvml import SLOWED
from joulegrid.metering.samples import Equipment, Sample

# Of the time of this job's CPUs. An idle Linux with a workflow manager and a few daemons takes
# below 1 % of two cores; a busy loop beside the job takes 1/cpus. Half of the 5 % by which two
# boards of one model differ (Yang et al. 2024), so that it is not seen in a comparison
FOREIGN = 0.025
# A hypervisor that takes more than this sells the same core twice
STEAL = 0.01
# cgroup CPU limit, and waiting for memory: any noticeable part of the time
THROTTLED = 0.01
MEMORY_STALL = 0.01
# Short windows: clock ticks are 10 ms, and processes that start and end are not worth a word
LEAST_S = 0.1
# Mean power above the limit is a wrong reading: boards exceed it by some percent only for
# milliseconds (ML.ENERGY's benchmark refuses the same)
ABOVE_LIMIT = 1.1
# A counter goes on about each 100 ms, so that up to as much is missing or too much at either end of
# a stretch: nothing of a long one, 20 % of 1 s
EDGES_S = 0.2
# A board without instant power tells a mean over the last second, which is late by as much
MEAN_EDGES_S = 1.2
WRONG = "a wrong reading"


def disturbances(equipment: Equipment, samples: Sequence[Sample], gpus: Iterable[str]) -> list[str]:
    """Why the stretch between the first and the last sample was disturbed; empty: it was not."""
    return [*_of_cpus(equipment, samples), *_of_gpus(samples, gpus)]


def wrong_readings(
    equipment: Equipment, samples: Sequence[Sample], gpus: dict[str, GpuEnergy]
) -> list[str]:
    """Why what the boards said of the stretch cannot be right; empty: it can."""
    found, seconds = [], samples[-1].t_s - samples[0].t_s
    if seconds < LEAST_S:
        return []
    for uuid, energy in gpus.items():
        edges = (EDGES_S if equipment.gpus[uuid].is_instant else MEAN_EDGES_S) / seconds
        limit = equipment.gpus[uuid].limit_w
        if limit and energy.energy_j / seconds > (ABOVE_LIMIT + edges) * limit:
            found.append(
                f"{WRONG}: GPU {uuid}: {energy.energy_j / seconds:.0f} W on average, its limit is "
                f"{limit:.0f} W"
            )
        if energy.disagreement is not None and abs(energy.disagreement) > DISAGREEMENT + edges:
            found.append(
                f"{WRONG}: GPU {uuid}: integrated power differs from the counter by "
                f"{energy.disagreement:+.0%}"
            )
    return found


def foreign_share(equipment: Equipment, samples: Sequence[Sample]) -> float:
    """Share of the time of this job's CPUs that other processes used."""
    first, last = samples[0], samples[-1]
    busy = last.host.busy_s - first.host.busy_s
    own = last.host.own_s - first.host.own_s
    return max(busy - own, 0.0) / (equipment.cpus * (last.t_s - first.t_s))


def neighbours_share(equipment: Equipment, samples: Sequence[Sample]) -> float | None:
    """Busy share of the machine's CPUs that are not this job's; None where all are."""
    rest = equipment.node_cpus - equipment.cpus
    if rest <= 0:
        return None
    first, last = samples[0], samples[-1]
    node = last.host.node_busy_s - first.host.node_busy_s
    return max(node - (last.host.busy_s - first.host.busy_s), 0.0) / (rest * (last.t_s - first.t_s))


def _of_cpus(equipment: Equipment, samples: Sequence[Sample]) -> list[str]:
    first, last = samples[0].host, samples[-1].host
    seconds = samples[-1].t_s - samples[0].t_s
    if seconds < LEAST_S:
        return []
    capacity, found = equipment.cpus * seconds, []
    foreign = foreign_share(equipment, samples)
    if foreign > FOREIGN and foreign * capacity > LEAST_S:
        found.append(f"other processes used {foreign:.0%} of the CPUs")
    beside = neighbours_share(equipment, samples)
    counted = any(zone.domain == "package" for zone in equipment.zones.values())
    rest = equipment.node_cpus - equipment.cpus
    # held against what is counted, in busy CPUs: those of this job, and all that idle
    reading = equipment.cpus + IDLE_SHARE * equipment.node_cpus
    if counted and beside is not None and beside * rest > FOREIGN * reading:
        found.append(
            f"the machine's other CPUs were {beside:.1%} busy, and RAPL counts their energy too"
        )
    steal = (last.steal_s - first.steal_s) / capacity
    if steal > STEAL:
        found.append(f"the hypervisor took {steal:.0%} of the CPUs (steal)")
    held = (last.throttled_s - first.throttled_s) / seconds
    if held > THROTTLED:
        found.append(f"the CPU limit of the cgroup held the job back {held:.0%} of the time")
    if first.memory_stall_s is not None and last.memory_stall_s is not None:
        stall = (last.memory_stall_s - first.memory_stall_s) / seconds
        if stall > MEMORY_STALL:
            found.append(f"everything waited for memory {stall:.0%} of the time")
    if (last.throttles or 0) > (first.throttles or 0):
        found.append("the CPU was slowed down by heat")
    return found


def _of_gpus(samples: Sequence[Sample], gpus: Iterable[str]) -> list[str]:
    found = []
    for uuid in gpus:
        readings = [sample.gpus[uuid] for sample in samples]
        bits = 0
        for reading in readings:
            bits |= reading.reasons or 0
        slow = [name for bit, name in SLOWED.items() if bits & bit]
        if slow:
            found.append(f"GPU {uuid}: {', '.join(slow)}")
        if any(reading.others for reading in readings):
            found.append(f"GPU {uuid}: other processes computed on it")
    return found

"""Energy of CPU and memory, which no data sheet tells: by the power that sessions on the same
hardware entry drew, before that by what the study says of the machine.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from joulegrid.planning.ranges import Range, product, spread, times
from joulegrid.planning.taken import Host
from joulegrid.units import J_PER_KWH

# σ of the logarithm of what a session draws among others of its hardware entry, at least
SAME_MACHINE = 0.15
# Of thermal design power at idle and full load (Teads 2021, as the meter takes it), and the load of
# a job that waits for its GPUs, or computes itself: medians and σ are assumptions
IDLE_SHARE, FULL_SHARE = 0.12, 1.0
LOAD = {"cuda": (0.2, 0.6), "cpu": (0.9, 0.2)}
PER_HOUR = 3600.0


class Power(NamedTuple):
    """W of CPU and memory of a machine, and what it rests on."""

    watts: Range
    rests_on: str


def power(measured: Sequence[Host], hardware: dict[str, Any]) -> Power | None:
    """Power of the host of a hardware entry; None where nothing is known of it.

    Parameters
    ----------
    measured
        of its sessions that are there.
    hardware
        the entry.
    """
    if measured:
        logs = [math.log(max(each.watts, 1e-9)) for each in measured]
        mean = sum(logs) / len(logs)
        varied = math.sqrt(sum((log - mean) ** 2 for log in logs) / max(len(logs) - 1, 1))
        bases = " and ".join(sorted({each.basis for each in measured}))
        many = "s" if len(logs) > 1 else ""
        watts = spread(math.exp(mean), max(varied, SAME_MACHINE))
        return Power(watts, f"{len(logs)} session{many}, {bases}")
    if "cpu_power_w" not in hardware:
        return None
    load, sigma = LOAD[hardware["device"]]
    share = IDLE_SHARE + (FULL_SHARE - IDLE_SHARE) * load
    cpu = spread(share * hardware["cpu_power_w"], sigma)
    memory = hardware.get("ram_power_w", 0.0)
    rests_on = "cpu_power_w" + (", ram_power_w" if memory else "; memory is not in it")
    return Power(Range(*(watts + memory for watts in cpu)), f"{rests_on}, assumed load")


def kwh(hours: Range, host: Power | None) -> Range | None:
    """Energy of the host in so many hours."""
    if host is None or not hours.median:
        return None
    return times(product(hours, host.watts), PER_HOUR / J_PER_KWH)

"""Energy of CPU and memory, which no data sheet tells: by the power that sessions on the same
hardware entry drew, before that by the models of the meter (`metering.estimates`) for what the
study says of the machine. As there, a job is charged for its share of the machine's CPUs.
"""

import math
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from joulegrid.metering import estimates, tables
from joulegrid.planning.ranges import Range, product, spread, times
from joulegrid.planning.taken import Host
from joulegrid.units import J_PER_KWH

# σ of the logarithm of what a session draws among others of its hardware entry, at least
SAME_MACHINE = 0.15
# The load of a job that waits for its GPUs, or computes itself: medians and σ are assumptions
LOAD = {"cuda": (0.2, 0.6), "cpu": (0.9, 0.2)}
PER_HOUR = 3600.0
# What the names of CPUs say of their generation, as the meter's table of servers calls it
GENERATIONS = MappingProxyType(
    {
        r"EPYC 7\w\w1": "AMD Zen (",
        r"EPYC 7\w\w2": "AMD Zen 2 ",
        r"EPYC 7\w\w3": "AMD Zen 3 ",
        r"EPYC (97|8\d)\w4": "AMD Zen 4c ",
        r"EPYC 9[0-6]\w4": "AMD Zen 4 ",
        r"EPYC 9(645|745|825|845|965)": "AMD Zen 5c ",
        r"EPYC 9\w\w5": "AMD Zen 5 ",
        r"E[57]-\d+ v3": "Intel Haswell ",
        r"E[57]-\d+ v4": "Intel Broadwell ",
        r"(Platinum|Gold|Silver|Bronze) \d1\d\d": "Intel Skylake ",
        r"(Platinum|Gold|Silver|Bronze) \d2\d\d": "Intel Cascade Lake ",
        r"(Platinum|Gold) \d3\d\dH": "Intel Cooper Lake ",
        r"(Platinum|Gold|Silver) \d3\d\d": "Intel Ice Lake ",
        r"(Platinum|Gold|Silver|Bronze) \d4\d\d": "Intel Sapphire Rapids ",
        r"(Platinum|Gold|Silver|Bronze) \d5\d\d": "Intel Emerald Rapids ",
        r"Xeon 6?\s*6\d\d\dP": "Intel Granite Rapids ",
        r"Xeon 6?\s*6\d\d\dE": "Intel Sierra Forest ",
    }
)


class Power(NamedTuple):
    """W of CPU and memory of a machine, and what it rests on."""

    watts: Range
    rests_on: str


class Part(NamedTuple):
    """What of a machine's CPUs a job has.

    Parameters
    ----------
    cpus
        hardware threads; None where nobody says.
    share
        of all that the machine has; 1 where that is not known.
    words
        for people, where it is not.
    """

    cpus: float | None
    share: float
    words: str = ""


ALL = Part(None, 1.0)


def part_of(label: str, hardware: dict[str, Any], site: dict[str, Any] | None) -> Part:
    """What the jobs of a hardware entry have of a machine's CPUs: those of `cpus_per_task` in the
    site file, of the node's `node_cpus` there. Without a site file they have the machine for
    themselves; how many CPUs that are, `threads` says.
    """
    if site is None:
        return Part(hardware.get("threads"), 1.0)
    resources = {**site["default"], **site["hardware"].get(label, {})}
    cpus, node = resources.get("cpus_per_task"), site.get("node_cpus", {}).get(label)
    if cpus is None:
        return Part(hardware.get("threads"), 1.0, "of the whole machine: no cpus_per_task")
    if node is None:
        return Part(cpus, 1.0, "of the whole machine: no node_cpus in the site file")
    return Part(cpus, min(cpus / node, 1.0))


def power(measured: Sequence[Host], hardware: dict[str, Any], part: Part = ALL) -> Power | None:
    """Power of the host of a hardware entry; None where nothing is known of it.

    Parameters
    ----------
    measured
        of its sessions that are there.
    hardware
        the entry.
    part
        what its jobs have of the machine.
    """
    if measured:
        logs = [math.log(max(each.watts, 1e-9)) for each in measured]
        mean = sum(logs) / len(logs)
        varied = math.sqrt(sum((log - mean) ** 2 for log in logs) / max(len(logs) - 1, 1))
        bases = " and ".join(sorted({each.basis for each in measured}))
        many = "s" if len(logs) > 1 else ""
        watts = spread(math.exp(mean), max(varied, SAME_MACHINE))
        return Power(watts, f"{len(logs)} session{many}, {bases}")
    cpu, server = _cpu(hardware, part), False
    if cpu is None and part.cpus is not None:
        cpu = _server(hardware, part.cpus)
        server = cpu is not None
    if cpu is None:
        cpu = _by_design(hardware, part)
    memory = None if server else _memory(hardware, part)
    if cpu is None and memory is None:
        return None
    return _added(cpu, memory, server, part)


def _added(cpu: Power | None, memory: Power | None, server: bool, part: Part) -> Power:
    parts = [each for each in (cpu, memory) if each is not None]
    said = [each.rests_on for each in parts]
    if cpu is None:
        said.append("the CPU is not in it")
    elif memory is None and not server:
        said.append("memory is not in it")
    said += [part.words] if part.words and not server else []
    said += ["assumed load"] if cpu is not None else []
    watts = Range(*(sum(values) for values in zip(*(p.watts for p in parts), strict=True)))
    return Power(watts, "; ".join(said))


def _cpu(hardware: dict[str, Any], part: Part) -> Power | None:
    """By the study's own wattage."""
    if "cpu_power_w" not in hardware:
        return None
    full = hardware["cpu_power_w"] * part.share
    return Power(_loaded(estimates.IDLE_SHARE * full, full, hardware), "cpu_power_w")


def _server(hardware: dict[str, Any], cpus: float) -> Power | None:
    """By the share of a whole server, memory included, that CPUs of a generation have."""
    found = server_of(hardware.get("cpu", ""))
    if found is None:
        return None
    watts = _loaded(cpus * found.idle_w.mean, cpus * found.full_w.mean, hardware)
    return Power(watts, f"{cpus:g} CPUs of servers with {found.generation}, memory included")


def _by_design(hardware: dict[str, Any], part: Part) -> Power | None:
    """By the thermal design power of one CPU of this name."""
    words = hardware.get("cpu", "")
    watts = estimates.design_power(words) if server_of(words) is None else None
    if watts is None:
        return None
    idle, full = (s * watts * part.share for s in (estimates.IDLE_SHARE, estimates.FULL_SHARE))
    return Power(_loaded(idle, full, hardware), f"thermal design power of one {words}")


def _memory(hardware: dict[str, Any], part: Part) -> Power | None:
    if "ram_power_w" in hardware:
        key, watts = "ram_power_w", hardware["ram_power_w"]
    elif "ram_modules" in hardware:
        key, watts = "ram_modules", estimates.modules_w(hardware["ram_modules"])
    else:
        return None
    return Power(Range(*[watts * part.share] * 3), key)


def _loaded(idle: float, full: float, hardware: dict[str, Any]) -> Range:
    """Between idle and full at the load that is assumed."""
    load, sigma = LOAD[hardware["device"]]
    return spread(idle + (full - idle) * load, sigma)


def server_of(words: str) -> tables.Server | None:
    """The servers of the meter's table with a CPU of this name, as far as the name says it."""
    name = words.replace("(R)", "")
    found = (begin for known, begin in GENERATIONS.items() if re.search(rf"{known}(?!\d)", name))
    begin = next(found, None)
    if begin is None:
        return None
    return next(server for server in tables.SERVERS if server.generation.startswith(begin))


def kwh(hours: Range, host: Power | None) -> Range | None:
    """Energy of the host in so many hours."""
    if host is None or not hours.median:
        return None
    return times(product(hours, host.watts), PER_HOUR / J_PER_KWH)

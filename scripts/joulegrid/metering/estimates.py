"""Power of CPU and memory where no counter can be read: models with a source, or a guess.

Power is taken as linear in the load of the job's CPUs, from idle to full. Measured curves bend both
ways, by 5 to 31 % of full load on average (RAPL at 0 to 100 % of four CPUs, CodeCarbon's data).

Servers (`tables.SERVERS`) are whole ones at the wall: they hold memory, fans and power supply, and
nothing is added to them.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from joulegrid.metering import tables
from joulegrid.metering.host import cpu_quota

ESTIMATED, GUESS = "estimated", "guess"
# Shares of thermal design power that a package takes at idle and under full load (Teads 2021,
# measured on AWS instances)
IDLE_SHARE, FULL_SHARE = 0.12, 1.02
# A Xeon W is a workstation's
SERVER_NAME = re.compile(r"\bEPYC\b|\bXeon\b(?!.*\bW\d?-)", re.IGNORECASE)
# Of a CPU that no table knows; CodeCarbon's fallback
GUESSED_FULL_W = 4.0
# Cloud Carbon Footprint's memory coefficient, a mean of Crucial's and Micron's figures
RAM_W_PER_GB = 0.392
# Others: an external meter at DDR4 without load (Broadwell), Teads' table at full load
LEAST_RAM_W_PER_GB, MOST_RAM_W_PER_GB = 0.04, 0.6


@dataclass(frozen=True)
class Power:
    """A model of power in W: `idle_w` to `full_w` by load; whether memory is in it already.

    Parameters
    ----------
    full_at
        the load of the CPUs that the job may run on at which it takes `full_w`: below 1 where a
        quota lets it use a part of their time only.
    """

    idle_w: float
    full_w: float
    basis: str
    method: str
    holds_memory: bool = False
    full_at: float = 1.0

    def energy_j(self, load: float, seconds: float) -> float:
        """J over `seconds` at a mean load of 0 to 1."""
        part = min(max(load / self.full_at, 0.0), 1.0)
        return (self.idle_w + (self.full_w - self.idle_w) * part) * seconds


def cpu_power(hardware: dict[str, Any], cpus: int, node_cpus: int) -> Power:
    """The CPU of a job that may run on `cpus` of the `node_cpus` hardware threads of a machine, and
    is charged for no more of them than its cgroup's quota lets it use.
    """
    charged = charged_cpus(cpus)
    power = _cpu_power(hardware, charged, node_cpus)
    if charged == cpus:
        return power
    text = f"{power.method}; a quota of {charged:g} CPUs, of {cpus}"
    return replace(power, method=text, full_at=charged / cpus)


def charged_cpus(cpus: int) -> float:
    """How many CPUs a job is charged for that may run on `cpus`: as many as its cgroup's quota lets
    it use.
    """
    quota = cpu_quota()
    return cpus if quota is None else min(cpus, quota)


def _cpu_power(hardware: dict[str, Any], cpus: float, node_cpus: int) -> Power:
    """The CPU of a job that has `cpus` hardware threads.

    The study's own wattage wins, of which a job takes the share that it has of the machine's CPUs;
    then the table of servers, CodeCarbon's table of thermal design
    power, a guess.
    """
    if "cpu_power_w" in hardware:
        whole = hardware["cpu_power_w"]
        watts = whole * cpus / node_cpus
        text = (
            f"{whole:g} W at full load, given by the study; {IDLE_SHARE:.0%} of it at idle"
            f"{_part(watts, cpus / node_cpus)}"
        )
        return Power(IDLE_SHARE * watts, watts, ESTIMATED, text)
    facts = cpu_facts()
    server = _server(facts)
    if server is not None:
        each, said = _threads_per_cpu(server, facts)
        idle, full = (
            tables.Range(*(cpus * each * w for w in per)) for per in (server.idle_w, server.full_w)
        )
        text = (
            f"{idle.mean:.3g} W idle to {full.mean:.3g} W full by load, for {cpus:g} CPUs{said}: "
            f"share of a whole server, memory and fans included; {server.generation}, mean of "
            f"{server.results} SPECpower results, of which 80% say {idle.low:.3g} to "
            f"{idle.high:.3g} W idle, {full.low:.3g} to {full.high:.3g} W full"
        )
        return Power(idle.mean, full.mean, ESTIMATED, text, holds_memory=True)
    # of a virtual machine's CPU it is not known what part of the socket it is
    design = None if _is_virtual(facts) else design_power(facts.get("model name", ""))
    if design is not None:
        watts = design * int(facts["sockets"]) * cpus / node_cpus
        text = (
            f"thermal design power {design:g} W of {facts['model name']} (CodeCarbon's table), "
            f"share of {cpus:g} of {node_cpus} CPUs: {IDLE_SHARE:.0%} of it at idle, "
            f"{FULL_SHARE:.0%} at full load (Teads); how far off is not known"
        )
        return Power(IDLE_SHARE * watts, FULL_SHARE * watts, ESTIMATED, text)
    watts = GUESSED_FULL_W * cpus
    unknown = "no table knows this CPU" + (" of a virtual machine" if _is_virtual(facts) else "")
    text = f"{unknown}: {GUESSED_FULL_W:g} W per CPU at full load, set cpu_power_w"
    return Power(IDLE_SHARE * watts, watts, GUESS, text)


def design_power(name: str) -> float | None:
    """Thermal design power in W of one CPU of this name, None where CodeCarbon's table has none."""
    from joulegrid.metering import tracker  # of all here this alone takes CodeCarbon

    return tracker.design_power(name)


def ram_power(hardware: dict[str, Any], share: float) -> Power:
    """The memory of a job; `share` of the machine's, by its CPUs."""
    if "ram_power_w" in hardware:
        whole = hardware["ram_power_w"]
        watts, text = whole * share, f"{whole:g} W, given by the study"
        return Power(watts, watts, ESTIMATED, text + _part(watts, share))
    if "ram_modules" in hardware:
        whole = modules_w(hardware["ram_modules"])
        text = f"{whole:g} W for {hardware['ram_modules']} modules, CodeCarbon's wattage per DIMM"
        watts = whole * share
        return Power(watts, watts, ESTIMATED, text + _part(watts, share))
    gigabytes = psutil.virtual_memory().total / 1e9 * share
    watts = RAM_W_PER_GB * gigabytes
    text = (
        f"{watts:.3g} W for {gigabytes:.3g} GB, {RAM_W_PER_GB} W/GB (Cloud Carbon Footprint); "
        f"sources differ from {LEAST_RAM_W_PER_GB} to {MOST_RAM_W_PER_GB} W/GB"
    )
    return Power(watts, watts, ESTIMATED, text)


def _part(watts: float, share: float) -> str:
    """What to say of a job that has a part of a machine."""
    return "" if share == 1 else f"; {watts:.3g} W of it are this job's, by {share:.3g} of the CPUs"


def modules_w(count: int) -> float:
    """W of memory modules (DIMMs) as CodeCarbon counts them: 5 W for each of the first four, then
    4.5, from the ninth 4, from the seventeenth 3.5, at least 10 in all.

    Dosquet (2025) corrects CodeCarbon's figure by the number of modules that a node really has:
    16 of them are 70 W, not the 10 W of a small memory.
    """
    steps = ((4, 5.0), (4, 4.5), (8, 4.0), (count, 3.5))
    watts, left = 0.0, count
    for number, each in steps:
        watts += min(number, left) * each
        left -= min(number, left)
    return max(watts, 10.0)


@cache
def cpu_facts() -> dict[str, Any]:
    """/proc/cpuinfo of the first CPU, and the number of sockets; {} where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {"sockets": 1}
    pairs = [[part.strip() for part in line.partition(":")[::2]] for line in text.splitlines()]
    sockets = {value for key, value in pairs if key == "physical id"}
    first: dict[str, Any] = {}
    for key, value in pairs:
        first.setdefault(key, value)
    return {**first, "sockets": max(len(sockets), 1)}


def _server(facts: dict[str, Any]) -> tables.Server | None:
    """The servers with a CPU like this one, None where the table has none.

    Desktop and workstation CPUs share family and model with server ones (a Ryzen 1800X with EPYC
    7001, a Core i9-7980XE with Xeon Scalable): the name decides too.
    """
    if not SERVER_NAME.search(facts.get("model name", "")):
        return None
    try:
        family, model, stepping = (int(facts[k]) for k in ("cpu family", "model", "stepping"))
    except (KeyError, ValueError):
        return None
    fitting = [
        server
        for server in tables.SERVERS
        if server.vendor == facts.get("vendor_id")
        and server.family == family
        and server.first_model <= model <= server.last_model
        and stepping >= server.first_stepping
    ]
    return fitting[-1] if fitting else None


def _is_virtual(facts: dict[str, Any]) -> bool:
    return "hypervisor" in facts.get("flags", "").split()


def _threads_per_cpu(server: tables.Server, facts: dict[str, Any]) -> tuple[int, str]:
    """How many hardware threads of the servers in the table a CPU of this machine stands for, and
    what to say of it: with SMT off, a core.

    A virtual machine shows what its host wants to show; its CPUs are threads in most clouds.
    """
    if server.threads == 1:
        return 1, ""
    if _is_virtual(facts):
        return 1, " (a virtual machine's, taken for threads; are they cores, it is twice that)"
    if facts.get("siblings") == facts.get("cpu cores") is not None:
        return server.threads, " (SMT is off: a whole core each)"
    return 1, ""

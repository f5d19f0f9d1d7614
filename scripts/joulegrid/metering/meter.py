"""Energy of a stretch of work by component, and for each component whether it was measured.

Counters of GPUs (NVML) and CPU packages and memory (RAPL) are read where there are any; what has
none is estimated by a model with a source, or guessed. CodeCarbon's figures stand beside ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from joulegrid.errors import InputError
from joulegrid.jobs.devices import refuse_parts, visible_gpus
from joulegrid.metering import disturbance, energy, estimates, rapl
from joulegrid.metering.cut import cut
from joulegrid.metering.energy import GpuEnergy
from joulegrid.metering.samples import Equipment, Sample
from joulegrid.metering.sensors import INTERVAL_WITH_GPUS_S, MachineSensors, Sampler, Sensors
from joulegrid.metering.tracker import Tracker

COMPONENTS = ("cpu", "gpu", "ram")
MEASURED, ABSENT = "measured", "absent"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Reading:
    """What a stretch of work took.

    Parameters
    ----------
    energy_j
        J by component.
    codecarbon_j
        the same as CodeCarbon says it; None where it was not asked.
    disturbances
        why the stretch says nothing about the work; empty: nothing disturbed it.
    foreign
        share of this job's CPUs that others used; `neighbours` the load of the other CPUs.
    clock_mhz
        mean clock of this job's CPUs; None where the machine does not say.
    gpus
        by UUID: temperature at both ends in °C, least and mean SM clock in MHz, integrated power
        relative to the counter.
    wrong
        why the reading cannot be right; empty: it can.
    """

    seconds: float
    energy_j: dict[str, float]
    codecarbon_j: dict[str, float] | None
    disturbances: list[str]
    foreign: float
    neighbours: float | None
    clock_mhz: float | None = None
    gpus: dict[str, dict[str, Any]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """As a record stores it: `disturbed` holds all reasons not to count it, `wrong` those that
        nobody may accept.
        """
        reasons = [*self.wrong, *self.disturbances]
        return {
            "seconds": self.seconds,
            "energy_j": self.energy_j,
            "codecarbon_j": self.codecarbon_j,
            "foreign_cpu": self.foreign,
            "neighbours_cpu": self.neighbours,
            **({} if self.clock_mhz is None else {"cpu_mhz": self.clock_mhz}),
            **({"disturbed": reasons} if reasons else {}),
            **({"wrong": self.wrong} if self.wrong else {}),
            **({"gpus": self.gpus} if self.gpus else {}),
        }


class Meter:
    """Meters work on this machine, or replays a recording.

    Parameters
    ----------
    tracking
        "machine" (all that this job's CPUs do) or "process" (this process and its children).
    hardware
        the study's hardware entry: its device, and wattages where the study knows better than the
        tables.

    Raises
    ------
    InputError
        where a GPU cannot be measured, or process tracking meets counters that count everybody.
    """

    def __init__(self, tracking: str, hardware: dict[str, Any], sensors: Sensors | None = None):
        uuids = [gpu["uuid"] for gpu in visible_gpus()] if hardware["device"] == "cuda" else []
        machine = MachineSensors(uuids) if sensors is None else None
        self._sensors: Sensors = sensors or machine  # type: ignore[assignment]
        self._tracking, self._equipment = tracking, self._sensors.equipment
        if hardware["device"] == "cuda" and not self._equipment.gpus:
            refuse_parts()
            raise InputError("the cell runs on a GPU, but NVML shows this job none")
        self._refuse_process_with_counters()
        cpus, node_cpus = self._equipment.cpus, self._equipment.node_cpus
        share = estimates.charged_cpus(cpus) / node_cpus
        self._cpu = estimates.cpu_power(hardware, cpus, node_cpus)
        self._ram = estimates.ram_power(hardware, 1.0 if self._counts("package") else share)
        self._nvml = machine.nvml if machine else None
        indices = self._nvml.indices if self._nvml else []
        cpu_w = None if self._counts("package") else self._cpu.full_w
        self._tracker = Tracker(tracking, indices, cpu_w, self._ram.full_w)
        self._beside = machine.rapl if machine else rapl.Rapl()
        self._streams: list[list[Sample]] = []
        self.basis = self._describe()

    @property
    def equipment(self) -> Equipment:
        """What is sampled."""
        return self._equipment

    @property
    def recorded(self) -> list[Sample]:
        """All samples so far, also of stretches that were cut short."""
        return [sample for stream in self._streams for sample in stream]

    def forget(self) -> None:
        """Let the samples so far go."""
        self._streams.clear()

    @property
    def warnings(self) -> list[str]:
        """What CodeCarbon warned of, and what NVML cannot say here."""
        return [*self._tracker.warnings, *(self._nvml.warnings if self._nvml else ())]

    def measure(self, work: Callable[[], Result]) -> tuple[Result, Reading]:
        """Run `work` and read the energy that was used meanwhile."""
        self._tracker.start()
        try:
            with Sampler(self._sensors) as sampler:
                self._streams.append(sampler.samples)
                result = work()
        finally:
            beside = self._tracker.stop()
        return result, self.reading(sampler.samples, beside)

    def measure_part(self, work: Callable[[], tuple[float, float]]) -> Reading:
        """Run `work`, and read the energy that was used between the two instants that it gives, on
        the clock of the samples; CodeCarbon cannot say it.
        """
        with Sampler(self._sensors, INTERVAL_WITH_GPUS_S) as sampler:
            self._streams.append(sampler.samples)
            begin_s, end_s = work()
        return self.reading(cut(self._equipment, sampler.samples, begin_s, end_s), None)

    def cost(self, reading: Reading) -> dict[str, Any]:
        """A reading as the record of a job stores what its work took. That is not measured
        again where it was disturbed or read wrongly: the record says so.
        """
        facts = reading.facts()
        kept = ("seconds", "energy_j", "disturbed", "wrong")
        return {**{key: facts[key] for key in kept if key in facts}, "basis": self.basis}

    def reading(self, samples: list[Sample], beside: dict[str, float] | None) -> Reading:
        """What samples say; `beside` is CodeCarbon's word, where it has one."""
        equipment, seconds = self._equipment, samples[-1].t_s - samples[0].t_s
        gpus = {uuid: energy.gpu_j(uuid, equipment, samples) for uuid in equipment.gpus}
        joules = self._cpu_and_ram(samples, seconds)
        joules["gpu"] = sum((gpu.energy_j for gpu in gpus.values()), 0.0)
        return Reading(
            seconds,
            {name: joules[name] for name in COMPONENTS},
            beside,
            disturbance.disturbances(equipment, samples, gpus),
            disturbance.foreign_share(equipment, samples),
            disturbance.neighbours_share(equipment, samples),
            _mean([sample.host.mhz for sample in samples]),
            {uuid: _gpu_facts(uuid, samples, gpu) for uuid, gpu in gpus.items()},
            disturbance.wrong_readings(equipment, samples, gpus),
        )

    def _cpu_and_ram(self, samples: list[Sample], seconds: float) -> dict[str, float]:
        first, last = samples[0].host, samples[-1].host
        own, busy = last.own_s - first.own_s, last.busy_s - first.busy_s
        # under a quota it shares all of them with others: none of them is its own
        used = own if self._tracking == "process" or self._cpu.full_at < 1 else busy
        load = used / (self._equipment.cpus * seconds)
        zones = energy.zones_j(self._equipment, samples)
        joules = {}
        for component, domain, power in (
            ("cpu", "package", self._cpu),
            ("ram", "dram", self._ram),
        ):
            counted = self._counts(domain)
            if counted:
                joules[component] = sum(zones[name] for name in counted)
            elif component == "ram" and self._memory_is_in_cpu():
                joules[component] = 0.0
            else:
                joules[component] = power.energy_j(load, seconds)
        return joules

    def _counts(self, domain: str) -> list[str]:
        """The zones that are added for a domain."""
        zones = self._equipment.zones.items()
        return [name for name, zone in zones if zone.domain == domain]

    def _memory_is_in_cpu(self) -> bool:
        return self._cpu.holds_memory and not self._counts("package")

    def _refuse_process_with_counters(self) -> None:
        if self._tracking == "process" and self._counts("package"):
            raise InputError(
                "protocol.tracking: 'process' cannot be measured here: RAPL counts the whole "
                "package, whoever computes on it; take 'machine' on a machine of your own"
            )

    def _describe(self) -> dict[str, dict[str, Any]]:
        """For each component: was it measured, estimated, guessed or not there, and how."""
        packages, memory = self._counts("package"), self._counts("dram")
        cpu: dict[str, Any] = {"basis": self._cpu.basis, "method": self._cpu.method}
        ram: dict[str, Any] = {"basis": self._ram.basis, "method": self._ram.method}
        if packages:
            cpu = {"basis": MEASURED, "method": f"RAPL: {', '.join(packages)}"}
            if self._equipment.cpus < self._equipment.node_cpus:
                cpu["method"] += "; the whole machine, of which this job has a part"
        elif self._beside.denied:
            cpu["method"] += f"; RAPL is there and may not be read: {rapl.GRANT}"
        if memory:
            ram = {"basis": MEASURED, "method": f"RAPL: {', '.join(memory)}"}
        elif self._memory_is_in_cpu():
            ram = {"basis": ABSENT, "method": "in the figure of the CPU, which is a whole server's"}
        if self._beside.beside:
            cpu["not_added"] = self._beside.beside
        return {"cpu": cpu, "gpu": self._describe_gpus(), "ram": ram}

    def _describe_gpus(self) -> dict[str, Any]:
        boards = self._equipment.gpus.values()
        if not boards:
            return {"basis": ABSENT, "method": "no such device in this hardware entry"}
        methods = sorted(set(map(energy.method, boards)))
        return {"basis": MEASURED, "method": " and ".join(methods)}


def _gpu_facts(uuid: str, samples: list[Sample], gpu: GpuEnergy) -> dict[str, Any]:
    readings = [sample.gpus[uuid] for sample in samples]
    clocks = [reading.sm_clock_mhz for reading in readings if reading.sm_clock_mhz is not None]
    return {
        "temperature_c": [readings[0].temperature_c, readings[-1].temperature_c],
        "least_sm_clock_mhz": min(clocks, default=None),
        "mean_sm_clock_mhz": _mean(clocks),
        "integral_to_counter": None if gpu.disagreement is None else 1 + gpu.disagreement,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

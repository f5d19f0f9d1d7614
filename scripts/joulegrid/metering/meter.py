"""Energy of a piece of work, by component, through CodeCarbon; and for each component whether it
was measured.

CodeCarbon reads hardware counters where the machine has them (RAPL for the CPU, NVML for GPUs) and
falls back on models where it has not (load times thermal design power for the CPU, a wattage per
DIMM for RAM). The first is a measurement, the second an estimate, and every reading says which it
is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from codecarbon import OfflineEmissionsTracker
from codecarbon.external.hardware import CPU, GPU, Raspberry
from codecarbon.external.ram import RAM

from joulegrid.errors import InputError
from joulegrid.units import J_PER_KWH

COMPONENTS = ("cpu", "gpu", "ram")
MEASURED, ESTIMATED, ABSENT = "measured", "estimated", "absent"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Reading:
    """Energy of one piece of work: its wall time in seconds and J per component."""

    seconds: float
    energy_j: dict[str, float]


class Meter:
    """Meters work on this machine.

    Parameters
    ----------
    tracking
        "machine" (all that the machine draws) or "process" (this process's share of CPU time and
        memory).
    hardware
        the study's hardware entry: its device, and `cpu_power_w` and `ram_power_w` in W where the
        study knows better
        than CodeCarbon's tables.
    """

    def __init__(self, tracking: str, hardware: dict[str, Any]):
        self._gpus = hardware["device"] == "cuda"
        # Everything that a .codecarbon.config in a home directory could change is given here: no
        # hidden settings.
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="FRA",  # asked for, but its emissions are never read
            tracking_mode=tracking,
            force_cpu_power=hardware.get("cpu_power_w"),
            force_ram_power=hardware.get("ram_power_w"),
            force_mode_cpu_load=False,
            pue=1.0,
            wue=0.0,
            rapl_include_dram=False,
            rapl_prefer_psys=False,
            save_to_file=False,
            save_to_api=False,
            save_to_logger=False,
            save_to_prometheus=False,
            save_to_logfire=False,
            allow_multiple_runs=True,
            log_level="error",
        )
        self.measure(lambda: None)  # sets up the hardware, so that no reading pays for it
        self.basis = self._describe()
        if self._gpus and self.basis["gpu"]["basis"] == ABSENT:
            raise InputError(
                "energy meter: the cell runs on a GPU, but CodeCarbon found none to read (is NVML "
                "there?)"
            )

    def measure(self, work: Callable[[], Result]) -> tuple[Result, Reading]:
        """Run `work` and read the energy that the machine used meanwhile."""
        self._tracker.start_task()
        try:
            result = work()
        finally:
            data = self._tracker.stop_task()
        kwh = {
            "cpu": data.cpu_energy,
            "gpu": data.gpu_energy if self._gpus else 0.0,
            "ram": data.ram_energy,
        }
        return result, Reading(
            data.duration, {name: float(kwh[name]) * J_PER_KWH for name in COMPONENTS}
        )

    def _describe(self) -> dict[str, dict[str, str]]:
        """For each component: was it measured, estimated or not there, and how."""
        absent = {"basis": ABSENT, "method": "no such device in this hardware entry"}
        basis = {name: dict(absent) for name in COMPONENTS}
        for device in self._tracker._hardware:
            if isinstance(device, CPU):
                basis["cpu"] = _cpu_basis(device)
            elif isinstance(device, RAM):
                basis["ram"] = _ram_basis(device)
            elif isinstance(device, GPU) and self._gpus:
                basis["gpu"] = _gpu_basis(device)
            elif isinstance(device, Raspberry):
                rails = {
                    "basis": MEASURED,
                    "method": "Raspberry Pi power management chip (vcgencmd pmic_read_adc)",
                }
                basis[device.chip_part.lower()] = rails
        return basis


def _cpu_basis(device: CPU) -> dict[str, str]:
    if device._mode == "intel_rapl":
        return {"basis": MEASURED, "method": "RAPL energy counters of the CPU packages"}
    generic = ", a generic value, no table entry for this CPU" if device._is_generic_tdp else ""
    if device._mode == "cpu_load":
        share = (
            "0.1 + 0.9 load^3 of the machine"
            if device._tracking_mode == "machine"
            else "the process's CPU time"
        )
        return {
            "basis": ESTIMATED,
            "method": f"CodeCarbon cpu_load: {device._tdp:g} W{generic} × ({share})",
        }
    return {"basis": ESTIMATED, "method": f"CodeCarbon {device._mode}: {device._tdp:g} W{generic}"}


def _ram_basis(device: RAM) -> dict[str, str]:
    watts = device.total_power().W
    source = (
        "given by the study"
        if device._force_ram_power is not None
        else "CodeCarbon's wattage per DIMM"
    )
    return {"basis": ESTIMATED, "method": f"constant {watts:.3g} W, {source}"}


def _gpu_basis(device: GPU) -> dict[str, str]:
    if any(getattr(gpu, "_counter_error", None) for gpu in device.devices.devices):
        return {
            "basis": MEASURED,
            "method": "NVML power, sampled each second (the GPU has no energy counter)",
        }
    return {"basis": MEASURED, "method": "NVML total energy counter"}

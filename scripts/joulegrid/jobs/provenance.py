"""What else a reader may want to know of the machine that measured: settings that move joules."""

import os
from pathlib import Path
from typing import Any

CPU = Path("/sys/devices/system/cpu")
CONTAINERS = ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "container")


def host_settings() -> dict[str, Any]:
    """Sockets, governor, NUMA nodes, cgroup and container of this process; None where unknown."""
    info = _text(Path("/proc/cpuinfo")) or ""
    sockets = {line.split(":")[1].strip() for line in info.splitlines() if "physical id" in line}
    named = [os.environ[name] for name in CONTAINERS if name in os.environ]
    if not named and any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))):
        named = ["docker or podman"]
    return {
        "sockets": len(sockets) or None,
        "governor": _text(CPU / "cpu0/cpufreq/scaling_governor"),
        "numa_nodes": len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or None,
        "cgroup": _cgroup(_text(Path("/proc/self/cgroup")) or ""),
        "container": named[0] if named else None,
    }


def _cgroup(listed: str) -> str | None:
    """The group of version 2; where there is none, that which shares out CPU time."""
    found = [line.split(":", 2)[1:] for line in listed.splitlines()]
    paths = {name: path for controllers, path in found for name in controllers.split(",")}
    return paths.get("", paths.get("cpu"))


def gpu_settings(pynvml: Any, handle: Any) -> dict[str, Any]:
    """PCI id, driver, power limits in W, clocks in MHz, persistence, ECC and MIG of a board; None
    where it does not say.
    """

    def ask(function: str, *arguments: Any) -> Any:
        try:
            return getattr(pynvml, function)(*arguments)
        except Exception:  # an answer that a board does not give; NVML has a class for each reason
            return None

    def watts(function: str) -> float | None:
        milliwatts = ask(function, handle)
        return None if milliwatts is None else milliwatts / 1000

    pci, ecc = ask("nvmlDeviceGetPciInfo", handle), ask("nvmlDeviceGetEccMode", handle)
    mig = ask("nvmlDeviceGetMigMode", handle)
    return {
        "pci": str(getattr(pci, "busId", "")) or None,
        "driver": ask("nvmlSystemGetDriverVersion"),
        "power_limit_w": watts("nvmlDeviceGetEnforcedPowerLimit"),
        "default_power_limit_w": watts("nvmlDeviceGetPowerManagementDefaultLimit"),
        "max_sm_clock_mhz": ask("nvmlDeviceGetMaxClockInfo", handle, 1),
        "sm_clock_mhz": ask("nvmlDeviceGetClockInfo", handle, 1),
        "persistence": ask("nvmlDeviceGetPersistenceMode", handle),
        "ecc": ecc[0] if ecc else None,
        "mig": mig[0] if mig else None,
    }


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None

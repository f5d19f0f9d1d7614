"""The machine a job got: what it is, and whether it is the one that the study's hardware entry asks for."""

import os
import platform
import resource
from typing import Any

import torch

from joulegrid.records import InputError


def check(hardware: dict[str, Any]) -> dict[str, Any]:
    """Compare this machine with a hardware entry before anything is measured on it.

    Returns
    -------
    What `describe` says of the machine.

    Raises
    ------
    InputError
        naming the device that was asked for and the one that is here.
    """
    available = len(os.sched_getaffinity(0))
    cpu = cpu_name()
    if hardware.get("cpu", "").lower() not in cpu.lower():
        raise InputError(f"wrong CPU: the hardware entry asks for {hardware['cpu']!r}, this job got {cpu!r}")
    threads = hardware.get("threads", available)
    if threads > available:
        raise InputError(f"too few CPUs: the hardware entry asks for {threads} threads, this job got {available}")
    if hardware["device"] == "cuda":
        _check_gpus(hardware)
    torch.set_num_threads(threads)
    return describe(hardware["device"] == "cuda")


def describe(with_gpus: bool = True) -> dict[str, Any]:
    """The CPU, the threads that computations use, and with `with_gpus` the GPUs that this job sees."""
    gpus = _visible_gpus() if with_gpus else []
    return {
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "gpus": [gpu.name for gpu in gpus],
        "gpu_capability": [f"{gpu.major}.{gpu.minor}" for gpu in gpus],
        "gpu_memory_bytes": [gpu.total_memory for gpu in gpus],
    }


def peak_memory() -> dict[str, int]:
    """Peak bytes so far: resident memory of this process, and what PyTorch allocated on all GPUs together."""
    peak = {"ram": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if torch.cuda.is_available():
        peak["gpu"] = sum(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count()))
    return peak


def _visible_gpus() -> list:
    return [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]


def _check_gpus(hardware: dict[str, Any]) -> None:
    found = _visible_gpus()
    names = ", ".join(gpu.name for gpu in found) or "no GPU"
    wanted = f"{hardware['gpus']}× {hardware['gpu']!r}"
    if len(found) != hardware["gpus"] or any(hardware["gpu"].lower() not in gpu.name.lower() for gpu in found):
        raise InputError(f"wrong GPU: the hardware entry asks for {wanted}, this job got {names}")


def cpu_name() -> str:
    """The CPU's name as the kernel gives it; on Arm boards, where it gives none, the board's."""
    for path, key in (("/proc/cpuinfo", "model name"), ("/proc/cpuinfo", "Model")):
        try:
            with open(path, encoding="utf-8") as stream:
                for line in stream:
                    if line.split(":")[0].strip() == key:
                        return line.split(":", 1)[1].strip()
        except OSError:
            break
    return platform.processor() or platform.machine()

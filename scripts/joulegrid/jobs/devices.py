"""The machine a job got: what it is, and whether it is the one that the study's hardware entry asks
for.

Read from the operating system and from NVML, so that the process that checks needs no PyTorch.
"""

import os
import platform
import re
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.jobs import cuda, orphans
from joulegrid.jobs.provenance import gpu_settings, host_settings

# CUDA numbers boards by speed unless told otherwise: an integer in CUDA_VISIBLE_DEVICES shall mean
# the board that nvidia-smi and most schedulers call so. CUDA reads this when it is first used,
# which is after every job has imported this module
os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
# Why a part of a GPU is refused
MIG = (
    "of a board that is divided by MIG energy can be read for the whole only, not for a part of "
    "it; use a board with MIG off"
)
# Words in a device's name that make it another device than the one without them
VARIANT = re.compile(r"ti|super|d|laptop|mobile|max|q|ada|blackwell|nvl|x|v\d?|mig")
# Sockets of GPUs: who asks for SXM means whichever generation the GPU has
SOCKET = re.compile(r"(sxm)\d")


def check(hardware: dict[str, Any]) -> dict[str, Any]:
    """Compare this machine with a hardware entry before anything is measured on it.

    Returns
    -------
    What `describe` says of the machine.

    Raises
    ------
    InputError
        naming the device that was asked for and the one that is here, or a part of a GPU, whose
        energy nobody can say.
    """
    found = describe(hardware["device"] == "cuda")
    if "cpu" in hardware and not is_device(hardware["cpu"], found["cpu"]):
        raise InputError(
            f"wrong CPU: the hardware entry asks for {hardware['cpu']!r}, this job got "
            f"{found['cpu']!r}"
        )
    if hardware.get("threads", 1) > found["cpus"]:
        raise InputError(
            f"too few CPUs: the hardware entry asks for {hardware['threads']} threads, this job "
            f"got {found['cpus']}"
        )
    if hardware["device"] == "cuda":
        refuse_parts()
        _check_gpus(hardware, found["gpus"])
    return found


def is_device(wanted: str, name: str) -> bool:
    """Whether a device called `name` is a `wanted` one: A10 is no A100, an RTX 4070 no RTX 4070 Ti.

    Whole words count: those of `wanted` stand in `name`, in whatever order, and no other word in
    `name` makes it another device. A part of a GPU (MIG) is another device.
    """
    asked, there = set(_words(wanted)), set(_words(name))
    sockets = {found[1] for word in there if (found := SOCKET.fullmatch(word))}
    if not asked or not asked <= there | sockets:
        return False
    return not any(VARIANT.fullmatch(word) for word in there - asked)


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm)\)", " ", name.lower()))


def refuse_parts() -> None:
    """See that `CUDA_VISIBLE_DEVICES` names whole boards: NVML lists no others.

    Raises
    ------
    InputError
        naming the part.
    """
    for item in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(","):
        if item.strip().startswith("MIG-"):
            raise InputError(f"this job got a part of a GPU, {item.strip()}: {MIG}")


def _check_gpus(hardware: dict[str, Any], gpus: list[dict[str, Any]]) -> None:
    wanted = f"{hardware['gpus']}× {hardware['gpu']!r}"
    names = (
        ", ".join(f"{gpu['name']} ({gpu['memory_bytes'] / 1e9:.0f} GB)" for gpu in gpus) or "no GPU"
    )
    wrong = len(gpus) != hardware["gpus"] or not all(
        is_device(hardware["gpu"], g["name"]) for g in gpus
    )
    if "gpu_memory_gb" in hardware:
        wanted += f" with {hardware['gpu_memory_gb']:g} GB"
        # boards report a little less or more than the number they are sold by
        wrong |= any(
            abs(g["memory_bytes"] / 1e9 / hardware["gpu_memory_gb"] - 1) > 0.1 for g in gpus
        )
    if wrong:
        raise InputError(f"wrong GPU: the hardware entry asks for {wanted}, this job got {names}")


def describe(with_gpus: bool = True) -> dict[str, Any]:
    """The CPU, how many CPUs this job may use, its memory, and with `with_gpus` the GPUs that it
    sees.
    """
    return {
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": _meminfo()["MemTotal"],
        "gpus": visible_gpus() if with_gpus else [],
        **host_settings(),
    }


def visible_gpus() -> list[dict[str, Any]]:
    """Name, UUID, memory and compute capability of the GPUs that CUDA shows this job, in its order;
    [] without NVML.

    By UUID: schedulers and containers may hide boards from CUDA and not from NVML, and each then
    counts the rest in its own way.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except (ImportError, Exception):  # a machine without the driver raises an error of NVML's own
        return []
    uuids = cuda_uuids(os.environ.get("CUDA_VISIBLE_DEVICES"))
    return [_gpu(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)) for uuid in uuids]


@cache
def cuda_uuids(visible: str | None) -> list[str]:
    """UUIDs of the boards that CUDA shows this job, where it may see the `visible` ones."""
    command = [sys.executable, "-IS", cuda.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return list(dict.fromkeys(done.stdout.split()))


def _gpu(pynvml: Any, handle: Any) -> dict[str, Any]:
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return {
        "name": pynvml.nvmlDeviceGetName(handle),
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "memory_bytes": _memory(pynvml, handle)[0],
        "capability": f"{major}.{minor}",
        **gpu_settings(pynvml, handle),
    }


def _memory(pynvml: Any, handle: Any) -> tuple[int, int]:
    """Total and free bytes of a board: of main memory where it has none of its own (GB10), of which
    NVML says nothing.
    """
    try:
        found = pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError_NotSupported:
        main = _meminfo()
        return main["MemTotal"], main["MemAvailable"]
    return found.total, found.free


def free_memory(with_gpus: bool) -> dict[str, Any]:
    """Memory before the work: what is there, what is free, what other processes hold; of the GPUs,
    or of the machine.
    """
    if with_gpus:
        total, free = _gpu_memory()
        return {
            "what": "GPU memory",
            "total_bytes": total,
            "free_bytes": free,
            "held_by_others_bytes": total - free,
        }
    memory = _meminfo()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    total, available = memory["MemTotal"], memory["MemAvailable"]
    return {
        "what": "main memory",
        "total_bytes": total,
        "free_bytes": available,
        "held_by_others_bytes": max(total - available - own, 0),
    }


def _gpu_memory() -> tuple[int, int]:
    """Total and free bytes of the GPUs that this job sees."""
    import pynvml

    handles = [pynvml.nvmlDeviceGetHandleByUUID(gpu["uuid"]) for gpu in visible_gpus()]
    found = [_memory(pynvml, handle) for handle in handles]
    return sum(total for total, _ in found), sum(free for _, free in found)


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def peak_memory() -> int:
    """The peak resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_memory_of_all() -> int:
    """Sum of the peaks of this process and its descendants that still run, in bytes.

    An upper bound: peaks may have been at different times, and shared pages count in each.
    """
    peaks = []
    for pid in (os.getpid(), *orphans.descendants(os.getpid())):
        try:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:  # it has ended
            continue
        peaks += re.findall(r"^VmHWM:\s+(\d+) kB", lines, re.MULTILINE)
    return sum(map(int, peaks)) * 1024


def gpu_memory_in_use() -> int:
    """Bytes in use on the GPUs that this job sees, by whatever process."""
    total, free = _gpu_memory()
    return total - free


def cpu_name() -> str:
    """The CPU's name as the kernel gives it; on Arm boards, where it gives none, the board's."""
    for key in ("model name", "Model"):
        try:
            with open("/proc/cpuinfo", encoding="utf-8") as stream:
                for line in stream:
                    if line.split(":")[0].strip() == key:
                        return line.split(":", 1)[1].strip()
        except OSError:
            break
    return platform.processor() or platform.machine()

"""Whether a device is the one that was asked for, by the names that drivers give."""

import ctypes
import shutil
import sys
import uuid

import pytest

from helpers.fake_nvml import SilentNvml
from joulegrid.errors import InputError, OutOfMemory, Unsupported
from joulegrid.jobs import cuda, devices, outcomes, provenance

# NVML's names
A100_40, A100_80 = "NVIDIA A100-PCIE-40GB", "NVIDIA A100-SXM4-80GB"


@pytest.mark.parametrize(
    ("wanted", "name", "same"),
    [
        ("A100", A100_40, True),
        ("A100", A100_80, True),
        ("A100 80GB", A100_80, True),
        ("A100 80GB", A100_40, False),
        ("A100-SXM4", A100_40, False),
        ("A100 SXM 80GB", A100_80, True),
        ("80GB A100-SXM", A100_80, True),
        ("A100 SXM", A100_40, False),
        ("H100 SXM5", "NVIDIA H100-SXM4-80GB", False),
        ("A100", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", False),
        ("A100 80GB", "A100-SXM-80GB MIG 1g.10gb", False),
        ("4309Y Xeon", "Intel(R) Xeon(R) Silver 4309Y CPU @ 2.80GHz", True),
        ("A10", A100_80, False),
        ("A10", "NVIDIA A10", True),
        ("A10", "NVIDIA A10G", False),
        ("L4", "NVIDIA L40S", False),
        ("L4", "NVIDIA L4", True),
        ("L40", "NVIDIA L40S", False),
        ("A40", "NVIDIA RTX A4000", False),
        ("A30", "NVIDIA RTX A3000 Laptop GPU", False),
        ("A30", "NVIDIA A30", True),
        ("H100", "NVIDIA H100 80GB HBM3", True),
        ("H100", "NVIDIA H100 NVL", False),
        ("H100 NVL", "NVIDIA H100 NVL", True),
        ("RTX 4090", "NVIDIA GeForce RTX 4090", True),
        ("RTX 4090", "NVIDIA GeForce RTX 4090 D", False),
        ("RTX 4070", "NVIDIA GeForce RTX 4070 Ti", False),
        ("RTX 4090", "NVIDIA GeForce RTX 4090 Laptop GPU", False),
        ("RTX 4000", "NVIDIA RTX 4000 Ada Generation", False),
        ("T4", "Tesla T4", True),
        ("Xeon Silver 4309Y", "Intel(R) Xeon(R) Silver 4309Y CPU @ 2.80GHz", True),
        ("EPYC 75", "AMD EPYC 7513 32-Core Processor", False),
        ("EPYC 7513", "AMD EPYC 7513 32-Core Processor", True),
        ("E5-2680", "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", False),
        ("Cortex-A72", "Raspberry Pi 4 Model B Rev 1.4", False),
    ],
)
def test_names_are_compared_word_by_word(wanted, name, same):
    assert devices.is_device(wanted, name) is same


def gpu(name, gigabytes, uuid="GPU-1"):
    return {"name": name, "memory_bytes": int(gigabytes * 1e9), "uuid": uuid, "capability": "8.0"}


def test_boards_of_one_name_are_told_apart_by_their_memory(monkeypatch):
    monkeypatch.setattr(devices, "visible_gpus", lambda: [gpu(A100_80, 85.9)])
    entry = {"device": "cuda", "gpu": "A100", "gpus": 1}
    assert devices.check(entry)["gpus"][0]["name"] == A100_80
    assert devices.check({**entry, "gpu_memory_gb": 80})
    with pytest.raises(
        InputError,
        match=r"asks for 1× 'A100' with 40 GB, this job got NVIDIA A100-SXM4-80GB \(86 GB\)",
    ):
        devices.check({**entry, "gpu_memory_gb": 40})


def test_a_part_of_a_board_is_named_and_not_called_no_gpu(monkeypatch):
    """NVML lists whole boards: none of them is the one that CUDA_VISIBLE_DEVICES names."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7f0ee3c3")
    with pytest.raises(
        InputError, match=r"a part of a GPU, MIG-7f0ee3c3: .* use a board with MIG off"
    ):
        devices.check({"device": "cuda", "gpu": "A100", "gpus": 1})


class Driver:
    """The CUDA driver of a job that got the third and the first board of its machine."""

    def cuInit(self, flags):
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device, number):
        device._obj.value = [2, 0][number]
        return 0

    def cuDeviceGetUuid(self, found, device):
        found._obj[:] = UUIDS[device.value].bytes
        return 0


UUIDS = [uuid.UUID(int=number) for number in (1, 2, 3)]


class Driverless(Driver):
    def cuInit(self, flags):
        return 100


@pytest.mark.parametrize(("driver", "seen"), [(Driver, [2, 0]), (Driverless, [])])
def test_cuda_is_asked_which_boards_it_shows(monkeypatch, capsys, driver, seen):
    monkeypatch.setattr(ctypes, "CDLL", {"libcuda.so.1": driver()}.get)
    cuda.main()
    assert capsys.readouterr().out.split() == [f"GPU-{UUIDS[number]}" for number in seen]


def test_boards_are_those_that_cuda_shows_wherever_nvml_has_them(monkeypatch):
    """A scheduler gave the third board and hides the others from CUDA, which calls it 0."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(devices, "cuda_uuids", {"0": ["GPU-c"]}.get)
    monkeypatch.setitem(sys.modules, "pynvml", SeveralBoards())
    assert [(board["uuid"], board["name"]) for board in devices.visible_gpus()] == [
        ("GPU-c", "NVIDIA A30")
    ]


def test_without_a_driver_cuda_shows_nothing():
    assert devices.cuda_uuids(None) == [] or shutil.which("nvidia-smi")


class UnifiedMemory(SilentNvml):
    """NVML of one GB10, which shares the machine's memory and tells nothing of it."""

    NVMLError_NotSupported = RuntimeError

    def nvmlInit(self):
        return None

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return 0

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return 12, 1

    def nvmlDeviceGetName(self, handle):
        return "NVIDIA GB10"

    def nvmlDeviceGetUUID(self, handle):
        return "GPU-a"


class SeveralBoards(UnifiedMemory):
    """NVML of a machine with two A100 and an A30; it lists all of them, and opens one."""

    def nvmlDeviceGetCount(self):
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):
        if index < 2:
            raise RuntimeError("Insufficient Permissions")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return ["GPU-a", "GPU-b", "GPU-c"].index(uuid)

    def nvmlDeviceGetName(self, handle):
        return ["NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB", "NVIDIA A30"][handle]

    def nvmlDeviceGetUUID(self, handle):
        return ["GPU-a", "GPU-b", "GPU-c"][handle]


def test_a_board_that_shares_main_memory_has_that(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", UnifiedMemory())
    monkeypatch.setattr(devices, "cuda_uuids", lambda _: ["GPU-a"])
    monkeypatch.setattr(devices, "_meminfo", lambda: {"MemTotal": 128e9, "MemAvailable": 100e9})
    entry = {"device": "cuda", "gpu": "GB10", "gpus": 1, "gpu_memory_gb": 128}
    (found,) = devices.check(entry)["gpus"]
    assert (found["name"], found["memory_bytes"]) == ("NVIDIA GB10", 128e9)
    free = devices.free_memory(True)
    assert (free["total_bytes"], free["free_bytes"]) == (128e9, 100e9)


def test_findings_are_results_and_other_errors_are_not():
    def fail(error):
        def work():
            raise error

        return work

    assert outcomes.outcome(fail(Unsupported("no kernel")))["status"] == "unsupported"
    assert outcomes.outcome(fail(OutOfMemory("too big")))["status"] == "oom"
    assert outcomes.outcome(fail(MemoryError()))["status"] == "oom"
    torchs = type("OutOfMemoryError", (RuntimeError,), {})
    assert outcomes.outcome(fail(torchs("CUDA out of memory")))["status"] == "oom"
    with pytest.raises(KeyError):
        outcomes.outcome(fail(KeyError("x")))


def test_memory_that_another_process_holds_makes_an_error_of_out_of_memory():
    """A GPU half filled by another job says nothing about the model: no record, and the cell is
    tried again.
    """

    def work():
        raise OutOfMemory("no room")

    half = {
        "what": "GPU memory",
        "total_bytes": 80e9,
        "free_bytes": 40e9,
        "held_by_others_bytes": 40e9,
    }
    with pytest.raises(
        InputError, match=r"other processes held 40\.0 of 80\.0 GB of the GPU memory"
    ):
        outcomes.outcome(work, half)
    free = {**half, "free_bytes": 79.5e9, "held_by_others_bytes": 0.5e9}
    assert outcomes.outcome(work, free)["memory_before"] == free


GIB = 1 << 30


@pytest.mark.parametrize(
    ("what", "total", "held", "recorded"),
    [
        # a laptop with a browser, a node whose file system holds 40 GB, a board of 4 GB
        ("main memory", 16 * GIB, 3.5 * GIB, True),
        ("main memory", 256 * GIB, 40 * GIB, True),
        ("main memory", 4 * GIB, 1.6 * GIB, True),
        # another job beside this one
        ("main memory", 16 * GIB, 8 * GIB, False),
        ("main memory", 4 * GIB, 2.5 * GIB, False),
        ("GPU memory", 24 * GIB, 0.6 * GIB, True),
        ("GPU memory", 24 * GIB, 3.5 * GIB, False),
    ],
)
def test_memory_that_a_machine_never_has_free_does_not_hide_a_finding(what, total, held, recorded):
    def work():
        raise OutOfMemory("no room")

    memory = {
        "what": what,
        "total_bytes": total,
        "free_bytes": total - held,
        "held_by_others_bytes": held,
    }
    if recorded:
        assert outcomes.outcome(work, memory)["status"] == "oom"
    else:
        with pytest.raises(InputError, match="other processes held"):
            outcomes.outcome(work, memory)


def test_settings_that_a_board_does_not_tell_are_none():
    class Mute:
        def nvmlDeviceGetEnforcedPowerLimit(self, handle):
            return 300_000

        def nvmlDeviceGetEccMode(self, handle):
            return [1, 1]

    found = provenance.gpu_settings(Mute(), 0)
    assert (found["power_limit_w"], found["ecc"]) == (300.0, 1)
    assert {found[key] for key in ("pci", "driver", "mig", "persistence")} == {None}

"""Whether a device is the one that was asked for, by the names that drivers give."""

import pytest

from joulegrid.errors import InputError, OutOfMemory, Unsupported
from joulegrid.jobs import devices, outcomes

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


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [("1", ["GPU-b"]), ("GPU-a", ["GPU-a"]), ("1,0", ["GPU-b", "GPU-a"]), ("", [])],
)
def test_visible_devices_are_chosen_by_index_or_uuid(visible, uuids):
    there = [gpu("NVIDIA A30", 24, "GPU-a"), gpu("NVIDIA A30", 24, "GPU-b")]
    assert [g["uuid"] for g in devices._chosen(there, visible)] == uuids


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

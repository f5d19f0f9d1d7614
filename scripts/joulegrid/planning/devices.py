"""What is known of boards: data sheets, and idle power as measured or assumed.

The table is devices.csv beside this module. Peak rates are dense (without structured sparsity).
NVLink is given as data sheets give it, both directions added; PCIe one way.
"""

import csv
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("devices.csv")
GIGA, TERA = 1e9, 1e12
PCIE_4 = 32e9  # x16, bytes/s one way
WITHOUT_PEERS = 6e9  # of an all-reduce through the host over it, bytes/s
# A Quadro of 24 GB and two generations before is an RTX 6000 too
NAMESAKES = ({"rtx6000"}, {"rtx", "6000"})


@dataclass(frozen=True)
class Device:
    """One board, or the processor and memory of a small computer.

    Parameters
    ----------
    name, nvml_name
        ours, and what NVML calls it.
    compute_capability
        (major, minor); None of a CPU.
    memory_kind
        HBM, GDDR or LPDDR.
    memory
        bytes.
    bandwidth
        of the memory, bytes/s: the peak on paper, of CPUs what STREAM measured.
    peak
        what it computes with (fp32, fp16, bf16, int8, fp8) -> dense FLOP/s, of fp32 outside tensor
        cores; what it lacks is missing.
    limit_w
        power limit as sold, W.
    idle_w, loaded_idle_w
        power without and with a loaded model, W.
    idle_is, loaded_idle_is
        measured or assumed.
    pcie, nvlink
        bytes/s, one way and both ways; 0 where there is none.
    source
        the data sheet.
    """

    name: str
    nvml_name: str
    architecture: str
    compute_capability: tuple[int, int] | None
    memory_kind: str
    memory: float
    bandwidth: float
    peak: dict[str, float] = field(hash=False)
    limit_w: float
    idle_w: float
    idle_is: str
    loaded_idle_w: float
    loaded_idle_is: str
    pcie: float
    nvlink: float
    source: str

    @property
    def is_gpu(self) -> bool:
        """Processors have no compute capability."""
        return self.compute_capability is not None

    @property
    def bus(self) -> float:
        """Bytes/s one way between boards: half of the sum of NVLink of modules, or what PCIe leaves
        without peer-to-peer. Bridges, which may join pairs of other boards, are not assumed.
        """
        if self.nvlink and "SXM" in self.name:
            return self.nvlink / 2
        return WITHOUT_PEERS * min(self.pcie / PCIE_4, 1.0) or WITHOUT_PEERS

    def peak_in(self, dtype: str) -> float:
        """FLOP/s in a type; where it lacks it, of FP16, which it is emulated in at best."""
        return self.peak.get(dtype, self.peak["fp16"])


@cache
def devices() -> dict[str, Device]:
    """Name -> device, all of the table."""
    with open(TABLE, encoding="utf-8", newline="") as stream:
        return {row["name"]: _device(row) for row in csv.DictReader(stream)}


@cache
def matching(words: str, memory_gb: float | None = None) -> list[Device]:
    """The devices whose names have all these words, as a study's `gpu` or a cluster's `gres` names
    a board; none where a board that is not in the table is called the same.

    Parameters
    ----------
    memory_gb
        where a study says it: that of the board, within 5 %.
    """
    wanted = _words(words)
    if memory_gb is None and set(wanted) - {"nvidia"} in NAMESAKES:
        return []
    return [
        device
        for device in devices().values()
        if _has(device, wanted)
        and (memory_gb is None or abs(device.memory / GIGA / memory_gb - 1) <= 0.05)
    ]


@cache
def processor(words: str) -> Device:
    """The one of the table whose architecture has all these words, as a study's `cpu` names it; one
    of which nothing is known, where there is none.
    """
    wanted = _words(words)
    known = (d for d in devices().values() if not d.is_gpu and _within(wanted, d.architecture))
    return next(known, ANY_CPU) if wanted else ANY_CPU


def _has(device: Device, wanted: list[str]) -> bool:
    return any(_within(wanted, name) for name in (device.name, device.nvml_name))


def _within(wanted: list[str], name: str) -> bool:
    """Whole words: A10 is no A100."""
    return set(wanted) <= set(_words(name))


def _words(name: str) -> list[str]:
    """Of a name, as people write it or Slurm: nvidia_a100-sxm4-80gb."""
    return name.lower().replace("-", " ").replace("_", " ").split()


def _device(row: dict[str, str]) -> Device:
    peaks = {
        "fp32": "fp32_tflop_s",
        "fp16": "fp16_tflop_s",
        "bf16": "bf16_tflop_s",
        "int8": "int8_top_s",
    }
    peaks |= {"fp8": "fp8_tflop_s"}
    capability = row["compute_capability"]
    return Device(
        name=row["name"],
        nvml_name=row["nvml_name"],
        architecture=row["architecture"],
        compute_capability=_pair(capability) if capability else None,
        memory_kind=row["memory_kind"],
        memory=float(row["memory_gb"]) * GIGA,
        bandwidth=float(row["bandwidth_gb_s"]) * GIGA,
        peak={dtype: float(row[key]) * TERA for dtype, key in peaks.items() if row[key]},
        limit_w=float(row["limit_w"]),
        idle_w=float(row["idle_w"]),
        idle_is=row["idle_is"],
        loaded_idle_w=float(row["loaded_idle_w"]),
        loaded_idle_is=row["loaded_idle_is"],
        pcie=float(row["pcie_gb_s"] or 0) * GIGA,
        nvlink=float(row["nvlink_gb_s"] or 0) * GIGA,
        source=row["source"],
    )


def _pair(capability: str) -> tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major), int(minor)


# Of CPUs nothing is known before one was measured: nominal rates that its sessions correct
ANY_CPU = Device(
    name="CPU",
    nvml_name="",
    architecture="",
    compute_capability=None,
    memory_kind="DDR",
    memory=0.0,
    bandwidth=2e10,
    peak={"fp32": 1e11, "fp16": 1e11},
    limit_w=2.0,
    idle_w=1.0,
    idle_is="assumed",
    loaded_idle_w=1.0,
    loaded_idle_is="assumed",
    pcie=0.0,
    nvlink=0.0,
    source="nominal",
)

"""The factors between what a data sheet promises and what happens: priors, with their spread.

Every factor is positive and has a log-normal prior: `mean` is its median, `spread` the standard
deviation of its logarithm, so that 80 % of laboratories lie within mean × exp(±1.28 spread). Means
and the ranges behind the spreads are those that the fits of docs/planning.md gave. A measured row
turns a prior into a posterior (posterior.py); no factor fitted at one site is used at another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from joulegrid.planning import formats
from joulegrid.planning.devices import ANY_CPU, Device

Factors = Mapping[str, float]


@dataclass(frozen=True)
class Prior:
    """A factor before anything was measured.

    Parameters
    ----------
    mean
        median of the factor, in its own unit.
    spread
        standard deviation of its natural logarithm.
    """

    mean: float
    spread: float


@dataclass(frozen=True)
class Kernel:
    """What multiplies with a format.

    Parameters
    ----------
    share
        of the bandwidth that a 16-bit kernel reaches.
    launch
        host time per layer against 16 bits (transformers).
    unpacks
        whether more than one token at a time is computed in 16 bits: all weights are unpacked
        first, written to memory and read again.
    slowness
        of all that is computed, where it is emulated.
    """

    share: Prior
    launch: Prior = Prior(1.0, 0.01)
    unpacks: bool = False
    slowness: Prior = Prior(1.0, 0.01)


EXACT = Prior(1.0, 0.01)
EMULATED = Prior(10.4, 0.43)  # bfloat16 on boards without it: 6 to 18 times slower was measured
KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        "dense": Kernel(EXACT),
        "dense-32": Kernel(EXACT),
        "emulated": Kernel(Prior(0.5, 0.40), Prior(2.0, 0.40)),
        formats.EMULATED: Kernel(EXACT, slowness=EMULATED),
        "fp8": Kernel(Prior(0.8, 0.25)),
        "marlin": Kernel(Prior(0.8, 0.20)),
        "gptq": Kernel(Prior(0.5, 0.50), Prior(1.3, 0.30)),
        "awq": Kernel(Prior(0.3, 0.60), Prior(1.3, 0.30)),
        "bitsandbytes-4bit": Kernel(Prior(0.5, 0.40), Prior(1.8, 0.30), unpacks=True),
        "llm-int8": Kernel(Prior(0.5, 0.40), Prior(4.0, 0.35)),
        "int8": Kernel(Prior(0.5, 0.40), Prior(2.0, 0.30)),
        "gguf": Kernel(EXACT),
        "k-quants": Kernel(Prior(0.75, 0.30)),
        "mxfp4": Kernel(Prior(0.8, 0.40)),
    }
)

# Of every engine. eff_b fits 0.45–0.86 and eff_c 0.42–0.80 in the laboratories of docs/planning.md,
# a0 0.08–0.25, am 0.5–0.9, ac 1.6–2.4
COMMON: Mapping[str, Prior] = MappingProxyType(
    {
        "slowness": Prior(1.0, 0.10),  # of every pass: what nothing below explains
        "bandwidth": Prior(0.80, 0.15),  # of the data sheet's, for 16-bit weights
        "compute": Prior(0.50, 0.22),  # of the data sheet's dense peak
        "power_floor": Prior(0.15, 0.40),  # of limit − loaded idle, whatever it does
        "power_memory": Prior(0.70, 0.25),  # at full bandwidth
        "power_compute": Prior(2.0, 0.30),  # at full FLOP/s
        "experts": Prior(0.50, 0.50),  # share of the bandwidth in kernels of experts
        "all_reduce_s": Prior(12e-6, 0.50),  # latency of one all-reduce, s
        "bus": Prior(1.0, 0.35),  # of `Device.bus`
    }
)
SINGLE = Prior(0.85, 0.20)  # outside tensor cores, which are harder to feed
GDDR_POWER = Prior(1.0, 0.20)  # small boards are at their limit when reading
NOMINAL = Prior(1.0, 1.0)  # of a CPU of which nothing is known
# Host time. Per sequence and step it fits 0.38 ms behind the server of vLLM 0.5, called in the same
# process about 0.06; 0.015 ms from 0.11 on
VLLM = {"step_s": Prior(2e-3, 0.80), "sequence_s": Prior(15e-6, 1.0)}
OLD_VLLM = {"step_s": Prior(6e-3, 0.60), "sequence_s": Prior(100e-6, 1.10)}
# transformers: 0.4 ms per layer on a workstation of 2026 to 0.95 on a server of 2023
TRANSFORMERS = {"launch_s": Prior(0.85e-3, 0.45)}
LLAMACPP = {"step_s": Prior(1e-3, 0.60), "compute": Prior(0.29, 0.35)}
V1_OF_VLLM = (0, 8)  # the rewritten engine, its default from this version on


def priors(engine: str, version: str, kernel: str, device: Device) -> dict[str, Prior]:
    """The factors of an engine's version with a kernel on a device, before anything was measured.

    Parameters
    ----------
    engine
        transformers, llamacpp or vllm.
    version
        of the engine; empty where it is not known: a current one.
    kernel
        a key of `KERNELS`.
    """
    known = KERNELS[kernel]
    found = {**COMMON, "kernel": known.share}
    if device.memory_kind != "HBM":
        found["power_memory"] = GDDR_POWER
    if kernel == "dense-32":
        found["compute"] = SINGLE
    if kernel == formats.EMULATED:
        found["slowness"] = known.slowness
    if device == ANY_CPU:
        found["slowness"] = NOMINAL
    found["idle"] = Prior(1.0, 0.10 if device.loaded_idle_is == "measured" else 0.25)
    if engine == "vllm":
        return found | (OLD_VLLM if _is_old(version) else VLLM)
    if engine == "llamacpp":
        return found | LLAMACPP
    return found | TRANSFORMERS | {"kernel_launch": known.launch}


def _is_old(version: str) -> bool:
    parts = version.split(".")[:2]
    return bool(version) and tuple(int(part) for part in parts if part.isdigit()) < V1_OF_VLLM

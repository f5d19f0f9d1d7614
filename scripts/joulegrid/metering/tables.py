"""What data sheets and published measurements say of CPUs and GPUs.

Tables are code here: what a number was computed from is a part of its identity.
"""

from typing import NamedTuple


class Server(NamedTuple):
    """W per hardware thread of a server at the wall, idle and full, as a mean of `results`
    SPECpower_ssj2008 results of its CPU's generation; recognized by its name and what CPUID says.
    """

    vendor: str
    family: int
    first_model: int
    last_model: int
    first_stepping: int
    generation: str
    idle_w: float
    full_w: float
    results: int


class Memory(NamedTuple):
    """Size in GB and bandwidth in GB/s of a GPU's memory; of boards with one name and size the
    fastest.
    """

    gpu: str
    gigabytes: float
    bandwidth: float


# SPECpower_ssj2008 (spec.org) as of 2026-03-09, by way of Cloud Carbon Footprint's coefficients
# (Apache-2.0), grouped by CPU name here: the published per-generation means mix in other CPUs for
# EPYC 9004 and do not follow from the list for EPYC 9005. Desktop CPUs may have the same numbers.
# Of two rows that fit the later one counts
SERVERS = (
    Server("AuthenticAMD", 23, 0, 31, 0, "AMD Zen (EPYC 7001)", 0.807, 2.523, 9),
    Server("AuthenticAMD", 23, 48, 63, 0, "AMD Zen 2 (EPYC 7002)", 0.464, 1.681, 32),
    Server("AuthenticAMD", 25, 0, 15, 0, "AMD Zen 3 (EPYC 7003)", 0.456, 1.957, 28),
    Server("AuthenticAMD", 25, 16, 31, 0, "AMD Zen 4 (EPYC 9004)", 0.259, 1.438, 76),
    Server("AuthenticAMD", 25, 160, 175, 0, "AMD Zen 4c (EPYC 9004)", 0.259, 1.438, 76),
    Server("AuthenticAMD", 26, 0, 31, 0, "AMD Zen 5 (EPYC 9005)", 0.235, 1.323, 41),
    Server("GenuineIntel", 6, 63, 63, 0, "Intel Haswell (E5 v3)", 0.673, 3.898, 16),
    Server("GenuineIntel", 6, 79, 79, 0, "Intel Broadwell (E5 v4)", 0.526, 3.049, 13),
    Server("GenuineIntel", 6, 85, 85, 0, "Intel Skylake (Xeon Scalable)", 0.578, 4.041, 78),
    Server("GenuineIntel", 6, 85, 85, 5, "Intel Cascade Lake (Xeon Scalable 2)", 0.724, 4.067, 77),
    Server("GenuineIntel", 6, 106, 106, 0, "Intel Ice Lake (Xeon Scalable 3)", 0.989, 4.194, 51),
    Server(
        "GenuineIntel", 6, 143, 143, 0, "Intel Sapphire Rapids (Xeon Scalable 4)", 1.068, 4.041, 63
    ),
    Server(
        "GenuineIntel", 6, 207, 207, 0, "Intel Emerald Rapids (Xeon Scalable 5)", 0.827, 3.502, 32
    ),
    Server("GenuineIntel", 6, 173, 173, 0, "Intel Granite Rapids (Xeon 6)", 0.591, 2.506, 28),
    Server("GenuineIntel", 6, 175, 175, 0, "Intel Sierra Forest (Xeon 6)", 0.681, 2.396, 17),
)
# NVIDIA's data sheets and product briefs of these boards
GPU_MEMORY = (
    Memory("A30", 24, 933),
    Memory("A100", 40, 1555),
    Memory("A100", 80, 2039),
    Memory("A800", 80, 2039),
    Memory("A10", 24, 600),
    Memory("A40", 48, 696),
    Memory("A2", 16, 200),
    Memory("L4", 24, 300),
    Memory("L40S", 48, 864),
    Memory("H100", 80, 3350),
    Memory("H100 NVL", 94, 3938),
    Memory("H200", 141, 4800),
    Memory("B200", 180, 8000),
    Memory("RTX 4090", 24, 1008),
    Memory("RTX 3090", 24, 936),
    Memory("RTX 6000 Ada", 48, 960),
    Memory("RTX PRO 6000 Blackwell", 96, 1597),
    Memory("T4", 16, 320),
    Memory("V100", 32, 900),
    Memory("V100", 16, 900),
    Memory("GB10", 128, 273),
)

"""What data sheets and published measurements say of CPUs and GPUs.

Tables are code here: what a number was computed from is a part of its identity.
"""

from typing import NamedTuple


class Range(NamedTuple):
    """The mean of some results, and between which values 80 % of them are (10th and 90th
    percentile).
    """

    mean: float
    low: float
    high: float


class Server(NamedTuple):
    """W per hardware thread of a server at the wall, idle and full, of `results` SPECpower_ssj2008
    results of its CPU's generation; recognized by its name and what CPUID says. `threads` of each
    core ran there.
    """

    vendor: str
    family: int
    first_model: int
    last_model: int
    first_stepping: int
    generation: str
    results: int
    idle_w: Range
    full_w: Range
    threads: int = 2


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
# Of rows that fit the last one counts
# fmt: off
SERVERS = (
    Server("AuthenticAMD", 23, 0, 31, 0, "AMD Zen (EPYC 7001)", 9,
           Range(0.807, 0.628, 0.966), Range(2.523, 2.212, 2.788)),
    Server("AuthenticAMD", 23, 48, 63, 0, "AMD Zen 2 (EPYC 7002)", 32,
           Range(0.464, 0.322, 0.68), Range(1.681, 1.532, 1.922)),
    Server("AuthenticAMD", 25, 0, 15, 0, "AMD Zen 3 (EPYC 7003)", 28,
           Range(0.456, 0.327, 0.621), Range(1.957, 1.772, 2.221)),
    Server("AuthenticAMD", 25, 16, 31, 0, "AMD Zen 4 (EPYC 9654)", 20,
           Range(0.343, 0.314, 0.382), Range(1.879, 1.707, 2.13)),
    Server("AuthenticAMD", 25, 160, 175, 0, "AMD Zen 4c (EPYC 9754)", 30,
           Range(0.243, 0.209, 0.277), Range(1.358, 1.198, 1.564)),
    Server("AuthenticAMD", 26, 0, 15, 0, "AMD Zen 5 (EPYC 9655, 9755)", 8,
           Range(0.341, 0.285, 0.383), Range(1.934, 1.799, 2.001)),
    Server("AuthenticAMD", 26, 16, 31, 0, "AMD Zen 5c (EPYC 9845, 9965)", 33,
           Range(0.209, 0.181, 0.227), Range(1.174, 1.092, 1.32)),
    Server("GenuineIntel", 6, 63, 63, 0, "Intel Haswell (E5 v3)", 16,
           Range(0.673, 0.556, 0.76), Range(3.898, 3.681, 4.231)),
    Server("GenuineIntel", 6, 79, 79, 0, "Intel Broadwell (E5 v4)", 13,
           Range(0.526, 0.474, 0.612), Range(3.049, 2.766, 3.433)),
    Server("GenuineIntel", 6, 85, 85, 0, "Intel Skylake (Xeon Scalable)", 78,
           Range(0.578, 0.4, 0.751), Range(4.041, 3.229, 4.471)),
    Server("GenuineIntel", 6, 85, 85, 5, "Intel Cascade Lake (Xeon Scalable 2)", 77,
           Range(0.724, 0.433, 1.045), Range(4.067, 3.177, 4.462)),
    Server("GenuineIntel", 6, 85, 85, 10, "Intel Cooper Lake (Xeon Scalable 3, H)", 8,
           Range(0.822, 0.444, 1.139), Range(4.455, 3.572, 5.042)),
    Server("GenuineIntel", 6, 106, 106, 0, "Intel Ice Lake (Xeon Scalable 3)", 43,
           Range(1.020, 0.739, 1.469), Range(4.145, 3.565, 4.794)),
    Server("GenuineIntel", 6, 143, 143, 0, "Intel Sapphire Rapids (Xeon Scalable 4)", 63,
           Range(1.068, 0.654, 1.681), Range(4.041, 3.088, 4.945)),
    Server("GenuineIntel", 6, 207, 207, 0, "Intel Emerald Rapids (Xeon Scalable 5)", 34,
           Range(0.853, 0.588, 0.99), Range(3.647, 2.479, 4.659)),
    Server("GenuineIntel", 6, 173, 173, 0, "Intel Granite Rapids (Xeon 6 P)", 30,
           Range(0.584, 0.442, 0.718), Range(2.522, 1.871, 2.892)),
    Server("GenuineIntel", 6, 175, 175, 0, "Intel Sierra Forest (Xeon 6 E)", 20,
           Range(0.691, 0.506, 0.824), Range(2.492, 2.064, 3.031), threads=1),
)
# fmt: on
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

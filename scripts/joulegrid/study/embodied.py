"""What making a machine emitted, and the water of its data centre: the study's own numbers, or
published ones by name.
"""

from typing import Any

# Of LLMCarbon's server for 8 GPUs (data/hardware.csv of its code): the CPU's die, 256 GB of DRAM,
# 32 TB of SSD, the dies of everything else. Of a GPU it counts the die alone, without memory and
# board, and it spreads all over five years without idle time
LLMCARBON = {
    "server_kg": 1.47 + 102.4 + 576 + 148.2,
    "years": 5.0,
    "utilisation": 1.0,
    "source": "Faiz et al. 2024 (LLMCarbon), arXiv 2309.14393, and the hardware table of its code",
}
# BLOOM: Luccioni, Viguier and Ligozat, section 4.1: an HPE ProLiant DL345 Gen10 Plus without GPUs,
# a lower bound for an A100, and what IDRIS said of lifetime and use of its machines
PRESETS: dict[str, dict[str, Any]] = {
    "llmcarbon-v100": {**LLMCARBON, "gpu_kg": 9.78},
    "llmcarbon-h100": {**LLMCARBON, "gpu_kg": 14.652},
    "bloom": {
        "server_kg": 2500.0,
        "gpu_kg": 150.0,
        "years": 6.0,
        "utilisation": 0.85,
        "source": "Luccioni et al. 2023 (BLOOM), JMLR 24(253), section 4.1",
    },
}


def resolve(carbon: dict[str, Any], hardware: dict[str, dict]) -> dict[str, dict[str, Any]]:
    """What the account needs of the machines, by hardware label.

    Parameters
    ----------
    carbon
        the study's entry, with its defaults.
    hardware
        the study's hardware entries.

    Returns
    -------
    `embodied`, label -> server_kg, gpu_kg (kg CO2e), years, utilisation, server_share, gpus,
    source; `water`, label -> litres_per_kwh, source with its year. Empty where the study asks for
    neither.
    """
    embodied = {}
    for label, entry in carbon.get("embodied", {}).items():
        own = {key: value for key, value in entry.items() if key != "preset"}
        machine = hardware[label]
        gpus = machine.get("gpus", 1) if machine["device"] == "cuda" else 0
        known = PRESETS.get(entry.get("preset", ""), {})
        embodied[label] = {"gpu_kg": 0.0, **known, **own, "gpus": gpus}
    water = {label: _with_year(entry) for label, entry in carbon.get("water", {}).items()}
    return {"embodied": embodied, "water": water}


def _with_year(entry: dict[str, Any]) -> dict[str, Any]:
    """The year stands in the source, which is shown wherever the number is."""
    year = f", {entry['year']}" if "year" in entry else ""
    return {"litres_per_kwh": entry["litres_per_kwh"], "source": f"{entry['source']}{year}"}

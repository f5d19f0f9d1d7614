"""What making a machine emitted, and the water of its data centre: the study's own numbers, or
published ones by name.
"""

from typing import Any

# Luccioni, Viguier and Ligozat, section 4.1: an HPE ProLiant DL345 Gen10 Plus without GPUs, a
# lower bound for an A100, and what IDRIS said of lifetime and use of its machines
PRESETS: dict[str, dict[str, Any]] = {
    "bloom": {
        "server_kg": 2500.0,
        "gpu_kg": 150.0,
        "years": 6.0,
        "utilisation": 0.85,
        "source": "Luccioni et al. 2023 (BLOOM), JMLR 24(253), section 4.1",
    }
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
    source; `water`, label -> litres_per_kwh, source, year or None. Empty where the study asks for
    neither.
    """
    embodied = {}
    for label, entry in carbon.get("embodied", {}).items():
        own = {key: value for key, value in entry.items() if key != "preset"}
        machine = hardware[label]
        gpus = machine.get("gpus", 1) if machine["device"] == "cuda" else 0
        known = PRESETS.get(entry.get("preset", ""), {})
        embodied[label] = {"gpu_kg": 0.0, **known, **own, "gpus": gpus}
    water = {label: {"year": None, **entry} for label, entry in carbon.get("water", {}).items()}
    return {"embodied": embodied, "water": water}

"""What a piece of work took, as variables of a group: energy by component, wall time, basis."""

from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.recorded.quality import Metered
from joulegrid.analysis.variables import BASIS, COMPONENTS, PER_COMPONENT, Variable

BASIS_OF = Variable(
    "how the energy of the component was obtained", None, PER_COMPONENT, BASIS, dtype="i1"
)


def row_of(cost: Metered | None) -> dict[str, Any]:
    """`energy`, `duration` and `basis`; nothing where it was not metered."""
    if cost is None:
        return {}
    ways = [getattr(cost.basis, name).basis for name in COMPONENTS]
    return {
        "energy": cost.energy_j.listed(),
        "duration": cost.seconds,
        "basis": [BASIS.index(way) for way in ways],
    }


def bases(one: xr.Dataset) -> str:
    """How the energy of the components that have some was obtained, in words."""
    energy, basis = (one[name].transpose(..., "component").values for name in ("energy", "basis"))
    return " and ".join(BASIS[number] for number in np.unique(basis[energy > 0]))

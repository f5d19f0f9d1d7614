"""How metrics of generated answers were computed, and what was counted of the answers."""

import numpy as np
import xarray as xr

from joulegrid.study.grid import CONFIGURATION_AXES, short_name


def signatures(tree: xr.DataTree) -> list[tuple[str, str]]:
    """Metric and signature, of those that have one; several where results of earlier versions were
    kept.
    """
    found = tree["quality"].signature
    texts = {
        str(m): sorted({*found.sel(metric=m).values.ravel()} - {""}) for m in found.metric.values
    }
    return [(metric, "; ".join(map(str, said))) for metric, said in texts.items() if said]


def notes(tree: xr.DataTree) -> list[tuple[str, str]]:
    """Configuration and what was counted of its answers, each once."""
    found = tree["quality"].notes
    rows = found.transpose(*CONFIGURATION_AXES, "metric")
    varying = [axis for axis in CONFIGURATION_AXES if rows.sizes[axis] > 1] or ["quantization"]
    told: dict[tuple[str, str], None] = {}
    for index in zip(*np.nonzero(rows.values != ""), strict=True):
        labels = [rows[axis].values[index[rows.dims.index(axis)]] for axis in varying]
        told[(short_name(labels), str(rows.values[index]))] = None
    return [*told]

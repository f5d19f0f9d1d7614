"""From rows, one per record, to a dataset with the axes as dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.variables import Variable


class Table:
    """Collects one row per record and spreads them over axes.

    Parameters
    ----------
    axes
        the dimensions that rows are told apart by, each with all its labels.
    extra
        further dimensions inside a row.
    """

    def __init__(
        self,
        axes: Mapping[str, Sequence[Any]],
        variables: Mapping[str, Variable],
        extra: Mapping[str, Sequence[Any]] | None = None,
    ):
        self.axes, self.variables, self.extra = axes, variables, extra or {}
        self._labels: list[tuple] = []
        self._rows: list[Mapping[str, Any]] = []

    def add(self, labels: Sequence[Any], row: Mapping[str, Any]) -> None:
        """Add a row; variables that it lacks, or where it says None, are filled."""
        self._labels.append(tuple(labels))
        self._rows.append(row)

    def _column(self, name: str) -> np.ndarray:
        """The values of all rows, shape (rows, labels of each extra dimension)."""
        variable = self.variables[name]
        shape = tuple(len(self.extra[d]) for d in variable.extra)
        if variable.dtype == "f8" and not shape:  # NumPy takes None for NaN
            return _array([row.get(name) for row in self._rows], shape, "f8")
        fill = np.full(shape, variable.fill, variable.dtype).tolist()
        values = [fill if (value := row.get(name)) is None else value for row in self._rows]
        return _array(values, shape, variable.dtype)

    def dataset(self) -> xr.Dataset:
        """All rows over the axes; NaN, an empty text or the last flag where there is no row."""
        shape = tuple(len(labels) for labels in self.axes.values())
        columns = zip(*self._labels, strict=True)
        index = [
            np.array([*map({label: n for n, label in enumerate(labels)}.__getitem__, column)])
            for labels, column in zip(self.axes.values(), columns, strict=False)
        ]
        # one index for all axes: NumPy takes several times as long with one per axis
        flat = np.ravel_multi_index(index, shape) if self._labels else None
        arrays = {}
        for name, variable in self.variables.items():
            extra = tuple(len(self.extra[d]) for d in variable.extra)
            full = np.full((*shape, *extra), variable.fill, variable.dtype)
            if flat is not None:
                full.reshape(-1, *extra)[flat] = self._column(name)
            # CF: which variable says why a number is missing
            linked = (
                {"ancillary_variables": "status"}
                if variable.units and "status" in self.variables
                else {}
            )
            arrays[name] = ((*self.axes, *variable.extra), full, variable.attrs | linked)
        return xr.Dataset(
            arrays, coords={k: list(v) for k, v in {**self.axes, **self.extra}.items()}
        )


def _array(values: list[Any], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An array of values that have a shape, along the first axis; one number of all of them at a
    time, since `np.array` on a list of lists takes three times as long.
    """
    if not shape:
        return np.fromiter(values, dtype, len(values))
    parts = ([value[n] for value in values] for n in range(shape[0]))
    return np.stack([_array(part, shape[1:], dtype) for part in parts], axis=1)

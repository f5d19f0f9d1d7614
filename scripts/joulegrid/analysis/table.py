"""From rows, one per record, to a dataset with the axes as dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.variables import Variable

# Of what JSON knows; true and false are no numbers, though Python takes them for such
NUMBERS = frozenset({int, float})


def _kinds_of(variable: Variable) -> frozenset[type]:
    """The types that a value of a variable may have; None stands where there is none."""
    one = frozenset({str}) if variable.dtype == "O" else NUMBERS
    return (frozenset({list}) if variable.extra else one) | {type(None)}


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
        extra: Mapping[str, Sequence[str]] | None = None,
    ):
        self.axes, self.variables, self.extra = axes, variables, extra or {}
        self._labels: list[tuple] = []
        self._rows: list[Mapping[str, Any]] = []
        # of every variable: the types it may have, the length of a list, and the least value
        self._expected = {
            name: (_kinds_of(v), len(self.extra[v.extra[0]]) if v.extra else 0, v.least)
            for name, v in variables.items()
        }

    def add(self, labels: Sequence[Any], row: Mapping[str, Any]) -> None:
        """Add a row; variables that it lacks, or where it says None, are filled."""
        self._labels.append(tuple(labels))
        self._rows.append(row)

    def checked(self, row: dict[str, Any]) -> dict[str, Any]:
        """`row` itself, if each of its values is one of the variable that it is named after.

        It runs for every record of a study: hence types that are compared, and nothing converted.

        Raises
        ------
        TypeError, ValueError
            where a number is no number, a text no text, a list too short or too long, or a number
            less than the variable can be.
        """
        for name, value in row.items():
            kinds, length, least = self._expected[name]
            if type(value) not in kinds:
                raise TypeError(f"{name}: got {value!r}")
            if length and value is not None:
                if len(value) != length or not NUMBERS.issuperset(map(type, value)):
                    raise TypeError(f"{name}: got {value!r}")
            elif least is not None and value is not None and value < least:
                raise ValueError(f"{name}: got {value!r}, less than {least}")
        return row

    def _column(self, name: str) -> list[Any]:
        variable = self.variables[name]
        many = variable.extra and len(self.extra[variable.extra[0]])
        fill = [variable.fill] * many if many else variable.fill
        return [fill if (value := row.get(name)) is None else value for row in self._rows]

    def dataset(self) -> xr.Dataset:
        """All rows over the axes; NaN, an empty text or the last flag where there is no row."""
        position = [{label: n for n, label in enumerate(labels)} for labels in self.axes.values()]
        index = tuple(
            np.fromiter(
                (position[axis][row[axis]] for row in self._labels), "i8", len(self._labels)
            )
            for axis in range(len(position))
        )
        shape = tuple(len(labels) for labels in self.axes.values())
        arrays = {}
        for name, variable in self.variables.items():
            full = np.full(
                (*shape, *(len(self.extra[d]) for d in variable.extra)),
                variable.fill,
                variable.dtype,
            )
            if self._labels:
                full[index] = np.array(self._column(name), variable.dtype)
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

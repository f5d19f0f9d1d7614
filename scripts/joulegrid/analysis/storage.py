"""The dataset as a file: NetCDF-4 with groups, written in one step, read whole into memory."""

from pathlib import Path
from typing import Any

import netCDF4
import xarray as xr
from xarray.backends import NetCDF4DataStore

from joulegrid.analysis import describe
from joulegrid.errors import InputError
from joulegrid.records import SCHEMA_VERSION, in_one_step


def _encoding(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """How the variables of a group are stored: compressed, texts as characters, since texts of
    any length cannot be compressed and take most of the file. A label is never missing, and CF
    allows no fill value of it.
    """
    labels = {str(name): {"_FillValue": None} for name in dataset.dims if name in dataset.coords}
    return labels | {
        str(name): {"zlib": True, "complevel": 4}
        | ({"dtype": "S1"} if variable.dtype.kind in "UO" else {})
        for name, variable in dataset.data_vars.items()
        if variable.ndim
    }


class _Later(list[tuple[Any, Any]]):
    """Keeps the values of variables until all variables are there; takes the place of xarray's own
    writer. With each variable that follows values netCDF goes through all those before it again,
    which is half the time of writing.
    """

    def add(self, values: Any, variable: Any) -> None:
        """Called by xarray, once for each variable."""
        self.append((variable, values))


def write(tree: xr.DataTree, path: Path) -> None:
    """Write the tree as NetCDF-4, compressed, each group with what it is, in one step: a reader
    never sees half a file.
    """
    later = _Later()
    with in_one_step(path) as temporary, netCDF4.Dataset(temporary, "w") as file:
        for node in tree.subtree:
            store = NetCDF4DataStore(file, group=node.path, mode="a")
            dataset = node.to_dataset(inherit=False)
            if about := describe.about(node.path):
                dataset.attrs["comment"] = about
            dataset.dump_to_store(store, encoding=_encoding(dataset), writer=later)
        for variable, values in later:
            variable[...] = values


def read(path: Path) -> xr.DataTree:
    """The tree in `path`, in memory.

    Group by group: `DataTree.load` of xarray 2026.9 leaves some variables in the file, which is
    closed then.

    Raises
    ------
    InputError
        where the file is missing, is not NetCDF, or has another schema version.
    """
    try:
        with xr.open_datatree(path, engine="netcdf4") as tree:
            groups = {node.path: node.to_dataset(inherit=False).load() for node in tree.subtree}
            found = xr.DataTree.from_dict(groups, name=tree.name)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run snakemake to make it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read as NetCDF ({error.strerror or error})") from None
    version = found.attrs.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version is {version}, this joulegrid reads {SCHEMA_VERSION}; run "
            "snakemake again"
        )
    return found


def read_group(path: Path, group: str) -> xr.Dataset:
    """One group of the tree in `path`, in memory; empty where the tree has no such group."""
    with netCDF4.Dataset(path) as file:
        if group not in file.groups:
            return xr.Dataset()
    with xr.open_dataset(path, group=group, engine="netcdf4") as dataset:
        return dataset.load()


def read_attributes(path: Path, group: str) -> dict[str, Any]:
    """The attributes of one group of the tree in `path`, without the rest."""
    with xr.open_dataset(path, group=group, engine="netcdf4") as dataset:
        return dict(dataset.attrs)

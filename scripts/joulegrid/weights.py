"""Folders of weights: the record says where they are, scratch may have lost them."""

import shutil
from pathlib import Path

from joulegrid.records import OK, InputError


def finding_of(record: dict) -> dict[str, str] | None:
    """Status and reason of weights that could not be made (out of memory, say): what is made of them shares both."""
    return None if record["status"] == OK else {key: record[key] for key in ("status", "reason")}


def require_weights(record: dict, path: str) -> Path:
    """The folder of weights that a record names.

    Raises
    ------
    InputError
        where it is gone (scratch file systems are purged), naming the record to delete.
    """
    folder = Path(record["weights"])
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: the weights that {path} names are gone; delete {path} and run snakemake again, to make them "
            "and what depends on them anew"
        )
    return folder


def fresh_folder(path: str) -> Path:
    """An empty folder at `path`, absolute, so that a half-written earlier attempt cannot mix with this one."""
    folder = Path(path).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder

"""A model that is already on disk; used where it lies, never copied."""

from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.jobs.weights import link_files
from joulegrid.models.content import content_hash, data_files
from joulegrid.records import ROOT


def fetch(entry: dict, folder: Path) -> None:
    """Links in `folder` to the model's files in `entry["path"]["path"]`.

    Raises
    ------
    InputError
        where they are not those of the spec: weights would be measured under the id of others.
    """
    name = entry["path"]["path"]
    source = (ROOT / name).resolve()
    if not source.is_dir():
        raise InputError(f"{name}: no such folder")
    if content_hash(source) != entry["path"]["sha256"]:
        raise InputError(
            f"{name}: the model has changed since this job was planned; run snakemake again"
        )
    link_files(data_files(source), folder)

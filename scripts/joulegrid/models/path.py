"""A model that is already on disk; used where it lies, never copied."""

from pathlib import Path

from joulegrid.records import ROOT


def fetch(entry: dict, folder: Path) -> Path:
    """The folder `entry["path"]`, absolute."""
    return (ROOT / entry["path"]).resolve()

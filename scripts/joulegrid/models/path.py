"""A model that is already on disk; used where it lies, never copied."""

from pathlib import Path

from joulegrid.jobs.weights import link_files
from joulegrid.models import PATTERNS
from joulegrid.records import ROOT


def fetch(entry: dict, folder: Path) -> None:
    """Links in `folder` to the model's files in `entry["path"]["path"]`."""
    source = (ROOT / entry["path"]["path"]).resolve()
    link_files(
        [file for file in sorted(source.iterdir()) if any(map(file.match, PATTERNS))], folder
    )

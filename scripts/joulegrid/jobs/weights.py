"""Folders of weights: whole or not there, with a list of what belongs in them.

A folder is filled under another name and renamed when it is complete. `made.json` in it lists its
files with their sizes, or says why the weights could not be made: what is made of them shares that
finding. A model's folder holds links to the files where they lie (the hub's cache, say) and needs
no list.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import OK, SCHEMA_VERSION, read_json, umask, write_json

MANIFEST = "made.json"
CONFIG = "config.json"


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder to fill; it becomes `path` when the block ends without an error."""
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~umask())
        shutil.rmtree(target, ignore_errors=True)
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Write down that the weights in `folder` are complete, or the finding that `facts` tell
    instead.
    """
    found: dict[str, Any] = {key: facts[key] for key in ("status", "reason") if key in facts}
    files = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(_files(folder))}
    write_json(folder / MANIFEST, {"schema_version": SCHEMA_VERSION, **found, "files": files})


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]


def link_files(files: list[Path], folder: Path) -> None:
    """Links in `folder` to `files`: a model stays where it is, nothing else of it is seen."""
    for path in files:
        (folder / path.name).symlink_to(path.absolute())


def finding_in(folder: str | Path) -> dict[str, str] | None:
    """Status and reason of weights that could not be made, None where they are there.

    Raises
    ------
    InputError
        where the folder is not there, or a file of it is gone or cut short.
    """
    folder = Path(folder)
    if (folder / MANIFEST).is_file():
        made = read_json(folder / MANIFEST)
        if made["status"] != OK:
            return {key: made[key] for key in ("status", "reason")}
        sizes = made["files"]
    else:
        sizes = {path.name: None for path in folder.glob("*")} or {CONFIG: None}
    for name, size in sizes.items():
        if not (folder / name).is_file() or (size or 0) > (folder / name).stat().st_size:
            raise InputError(
                f"{folder}: {name} is gone or cut short (scratch may have been purged); delete "
                "this folder and run "
                "snakemake again: the weights are made anew, and what was measured on them stays"
            )
    return None

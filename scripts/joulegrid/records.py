"""Records: JSON files that are whole or not there, the identity of specs, and provenance.

Importable in every environment: the standard library only.
"""

import hashlib
import json
import os
import platform
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from joulegrid import __version__
from joulegrid.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_VERSION = 2

OK, OOM, UNSUPPORTED, DIVERGED = "ok", "oom", "unsupported", "diverged"
# of a point that could not be tried, and of a record that is not there
MISSING = "missing"
# Ends the name of a file beside a record that could not be written: windows of a disturbed session
DISTURBED = ".disturbed.json"
# and of one beside the record of a replay: its requests
REQUESTS = ".requests.parquet"
# and of one beside the record of an lm-eval task: what was answered to each document
SAMPLES = ".samples.jsonl.gz"

Spec = dict[str, Any]


def canonical_json(value: Any) -> str:
    """One text per value: keys sorted, no spaces. Equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def nameless(value: Any) -> Any:
    """`value` with every file, {path, sha256 …}, reduced to its hash: where it lies decides
    nothing.
    """
    if isinstance(value, dict):
        if "sha256" in value and "path" in value:
            return {"sha256": value["sha256"]}
        return {key: nameless(inner) for key, inner in value.items()}
    return [nameless(inner) for inner in value] if isinstance(value, list) else value


def part_digest(value: Any) -> str:
    """The digest of one top-level value of a spec."""
    return digest(nameless(value))


def identity(spec: Spec) -> str:
    """The id of a spec, which stands in the name of its record."""
    return identity_of_parts({key: part_digest(value) for key, value in spec.items()})


def identity_of_parts(digests: dict[str, str]) -> str:
    """The id of a spec by names and digests of its top-level values: 16 hex digits of a SHA-256
    over them.
    """
    text = "".join([f"{key}:{digests[key]}\n" for key in _ordered(tuple(digests))])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _ordered(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted keys, once for all specs of a kind: ids are wanted by the ten thousand."""
    return tuple(sorted(keys))


def write_json(path: str | Path, record: dict[str, Any]) -> None:
    """Write `record` so that a reader sees the old file, the new file, and nothing in between."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(record, stream, indent=1, sort_keys=True, allow_nan=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def in_one_step(path: Path) -> Iterator[Path]:
    """A place to write a file to, with the same ending, that takes the place of `path` at the end
    of the block: a reader never sees half of it, and none is left where the block fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@cache
def umask() -> int:
    """The process's umask: a results folder that a group shares stays writable for the group."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_json(path: str | Path) -> dict[str, Any]:
    """Read one record.

    Raises
    ------
    InputError
        where the file is missing, is not JSON, or has another schema version.
    """
    try:
        with open(path, "rb") as stream:
            record = json.loads(stream.read())
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run snakemake to make it") from None
    except ValueError as error:
        message = f"{path}: not JSON ({error}); delete the file and run snakemake again"
        raise InputError(message) from None
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version is {version!r}, this joulegrid reads {SCHEMA_VERSION}; "
            "delete the file and run snakemake again"
        )
    return record


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a file's content, 64 hex digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def git_commit() -> str | None:
    """The commit of the checkout, `-dirty` behind it if files differ; None outside git."""
    command = [
        "git",
        "-C",
        str(ROOT),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Who makes a record, when, where and with which versions of `packages`."""
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "schema_version": SCHEMA_VERSION,
        "started": now(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "git_commit": git_commit(),
        "versions": versions,
    }


def written_by() -> dict[str, Any]:
    """Who makes a dataset, as attributes."""
    return {
        "history": f"{now()} merged by joulegrid {__version__}",
        "schema_version": SCHEMA_VERSION,
        "joulegrid_version": __version__,
        "git_commit": git_commit() or "unknown",
    }

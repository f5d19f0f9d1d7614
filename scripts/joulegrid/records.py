"""Files: atomic JSON records, strict YAML, hashes, and the provenance that every record carries.

Importable in every environment: the standard library, and PyYAML only where YAML is read.
"""

import hashlib
import json
import os
import platform
import socket
import subprocess
import tempfile
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_VERSION = 1
J_PER_KWH = 3.6e6

OK, OOM, UNSUPPORTED = "ok", "oom", "unsupported"


class InputError(Exception):
    """What a user or a file got wrong. The text is the whole message: where, what, what was expected."""


def write_json(path: str | Path, record: dict[str, Any]) -> None:
    """Write `record` to `path` so that a reader sees the old file, the new file, and nothing in between."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(record, stream, indent=1, sort_keys=True, allow_nan=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: str | Path) -> dict[str, Any]:
    """Read one record.

    Raises InputError where the file is missing, is not JSON, or has another schema version.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            record = json.load(stream)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run snakemake to make it") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); delete the file and run snakemake again") from None
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version is {version!r}, this joulegrid reads {SCHEMA_VERSION}; "
            "delete the file and run snakemake again"
        )
    return record


def canonical_json(value: Any) -> str:
    """One text per value: keys sorted, no spaces. Equal specs give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def sha256_file(path: str | Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_yaml(path: str | Path) -> Any:
    """Read YAML, refusing a key that stands twice (plain YAML would keep the last one and say nothing).

    Raises InputError with file and line where the file is missing, malformed or has a duplicate key.
    """
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        pass

    def mapping(loader, node):
        seen = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # <<: another mapping's keys, which this one's override
            key = loader.construct_object(key_node, deep=True)
            if key in seen:
                raise InputError(
                    f"{path}:{key_node.start_mark.line + 1}: the key {key!r} stands twice here (first in line "
                    f"{seen[key]}); labels and keys are unique, rename or delete one"
                )
            seen[key] = key_node.start_mark.line + 1
        loader.flatten_mapping(node)
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml.load(stream, Loader=Loader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a text file in UTF-8 ({error})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None


@cache
def git_commit() -> str | None:
    """The commit of the checkout, with `-dirty` behind it where tracked files differ; None outside git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def provenance(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Who made a record, when, where and with which versions of `packages`."""
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "schema_version": SCHEMA_VERSION,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "git_commit": git_commit(),
        "versions": versions,
    }

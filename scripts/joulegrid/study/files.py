"""What a study's files hold: their hashes, by which they are known whatever they are called and
wherever they lie.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.models.content import content_hash
from joulegrid.records import ROOT, digest, sha256_file
from joulegrid.study import architectures, frozen
from joulegrid.study.trainings import is_data
from joulegrid.study.validation import files_in, nearest
from joulegrid.texts.files import decode, parse_text
from joulegrid.texts.questions import parse_lines
from joulegrid.texts.rows import content_of, rows_in
from joulegrid.texts.traces import parse_trace

Problem = str
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def resolve(data: dict[str, Any]) -> tuple[dict[tuple[str, ...], dict[str, Any]], list[Problem]]:
    """Every file that a study names, by its keys, as `{path, sha256}`; and a line for each that
    cannot be used.

    What lies outside the repository is marked `outside`: its content is never copied into a report.
    """
    found, problems = {}, []
    for keys, kind, name in files_in("study", data):
        try:
            found[keys] = reference(kind, name)
        except InputError as error:
            problems.append(f"{'.'.join(keys)}: {error}")
    return found, problems


def reference(kind: str, name: str) -> dict[str, Any]:
    """The file or folder `name`, relative to the repository, as a spec holds it.

    Parameters
    ----------
    kind
        `prompts`, `questions`, `text` and `trace` are files that are read here once, `folder` and
        `model` are folders, `config` is the configuration of a model of random weights, `rows` is
        a file or a folder of rows; of prompts and rows also those that a YAML file chooses.

    Raises
    ------
    InputError
        where it is not there or is not of its kind.
    """
    if kind == "config":
        return architectures.reference(name)
    if kind in frozen.FOLDERS:
        name = frozen.file_of(name, kind)
    path = ROOT / name
    there = path.is_dir() if kind in ("folder", "model") else path.is_file()
    there |= kind == "rows" and path.is_dir()
    if not there:
        thing = "folder" if kind in ("folder", "model") else "file"
        near = sorted(str(p.relative_to(ROOT)) for p in path.parent.glob("*") if _inside(p.parent))
        hint = f"; {nearest(name, near)}" if near else ""  # elsewhere, names are nobody's business
        raise InputError(f"no such {thing} {name!r}{hint}")
    found: dict[str, Any] = {"path": name, "sha256": _HASHES[kind](path, name)}
    return found if _inside(path) else {**found, "outside": True}


def _inside(path: Path) -> bool:
    return path.resolve().is_relative_to(ROOT)


@cache
def _text_hash(path: Path, name: str) -> str:
    content = path.read_bytes()
    text = parse_text(decode(content, name), name)
    if not text.strip():
        raise InputError(f"{name}: the file is empty")
    return hashlib.sha256(content).hexdigest()


@cache
def _prompts_hash(path: Path, name: str) -> str:
    if not name.endswith(".jsonl"):
        raise InputError(f"{name}: {frozen.EXPECTED[frozen.PROMPTS]}")
    return _text_hash(path, name)


@cache
def _questions_hash(path: Path, name: str) -> str:
    content = path.read_bytes()
    parse_lines(decode(content, name), name)
    return hashlib.sha256(content).hexdigest()


@cache
def _trace_hash(path: Path, name: str) -> str:
    content = path.read_bytes()
    parse_trace(decode(content, name), name)
    return hashlib.sha256(content).hexdigest()


def _folder_hash(path: Path, name: str) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file() and _belongs(p.relative_to(path)))
    return digest([[str(p.relative_to(path)), sha256_file(p)] for p in files])


def _belongs(path: Path) -> bool:
    """Whether somebody put a file into a folder: what Python, editors and file managers leave there
    makes no other task.
    """
    left = path.suffix == ".pyc" or "__pycache__" in path.parts
    return not left and not any(part.startswith(".") for part in path.parts)


@cache
def _model_hash(path: Path, name: str) -> str:
    if not (path / "config.json").is_file():
        raise InputError(
            f"{name}: no config.json there; expected a model folder as transformers saves it"
        )
    if not any((path / weights).is_file() for weights in WEIGHTS):
        raise InputError(f"{name}: no {WEIGHTS[0]} there; joulegrid loads safetensors only")
    return content_hash(path)


@cache
def _rows_hash(path: Path, name: str) -> str:
    if not is_data(path):
        raise InputError(f"{name}: {frozen.EXPECTED[frozen.ROWS]}")
    content = content_of(path)
    if not rows_in(content)[0]:
        raise InputError(f"{name}: no line of it is a JSON object in UTF-8")
    return hashlib.sha256(content).hexdigest()


_HASHES: dict[str, Callable[[Path, str], str]] = {
    "text": _text_hash,
    "prompts": _prompts_hash,
    "questions": _questions_hash,
    "rows": _rows_hash,
    "trace": _trace_hash,
    "folder": _folder_hash,
    "model": _model_hash,
}

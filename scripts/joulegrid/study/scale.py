"""A study at another scale: `--config scale=mini` lays the file of the same name in the folder
`mini` beside the study over it. Whole sections of that file replace those of the study; a section
that is null there is left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.study import benchmarks
from joulegrid.study.validation import check_part, nearest, schema_of
from joulegrid.study.yaml import read_yaml

KEY = "scale"
SCALES = ("mini",)
READY_MADE = "config/studies"


def overlay_of(path: str | Path, scale: str) -> Path:
    """What a study file is at a scale: the file of its name in the scale's folder beside it."""
    return Path(path).parent / scale / Path(path).name


def scales_of(path: str | Path) -> list[str]:
    """The scales that a study file has an overlay for."""
    return [scale for scale in SCALES if overlay_of(path, scale).is_file()]


def scaled(data: dict[str, Any], paths: Sequence[str | Path], scale: Any) -> dict[str, Any]:
    """A study at a scale: with the sections of its overlay, as NAME-SCALE.

    Parameters
    ----------
    data
        the study as it was read.
    paths
        its files.

    Raises
    ------
    InputError
        where there is no such scale or overlay, the study is more than one file, or the overlay is
        wrong, with a line for each thing.
    """
    if scale not in SCALES:
        raise InputError(f"--config: {KEY}: got {scale!r}; {nearest(scale, SCALES)}")
    if len(paths) != 1:
        named = ", ".join(map(str, paths))
        raise InputError(f"--config: {KEY}: expected one study file, got {len(paths)}: {named}")
    overlay = overlay_of(paths[0], scale)
    if not overlay.is_file():
        there = sorted(overlay.parent.glob("*.yaml")) or sorted(
            Path(READY_MADE, scale).glob("*.yaml")
        )
        shown = ", ".join(map(str, there)) or "none"
        raise InputError(
            f"--config: {KEY}: {paths[0]} has no {overlay}, which would say what it is at this "
            f"scale; there are: {shown}"
        )
    part = read_yaml(overlay)
    _check(part, str(overlay), str(paths[0]), scale)
    kept = {key: value for key, value in data.items() if key not in part}
    given = {key: value for key, value in part.items() if value is not None}
    name = {"study": f"{data['study']}-{scale}"} if "study" in data else {}
    return {**kept, **given, **name}


def _check(part: Any, where: str, study: str, scale: str) -> None:
    """See that an overlay is sections of a study, each right by itself."""
    if not isinstance(part, dict):
        raise InputError(f"{where}: expected sections of a study, such as model or protocol")
    if "study" in part:
        raise InputError(
            f"{where}: study: the name is that of {study} with -{scale}; drop the key here"
        )
    known = [key for key in schema_of("study")["properties"] if key != "study"]
    wrong = [
        f"{where}: {key}: unknown key; {nearest(key, known)}" for key in part if key not in known
    ]
    if wrong:
        raise InputError("\n".join(wrong))
    given = {key: value for key, value in part.items() if value is not None}
    check_part("study", benchmarks.expand(given, where), where)

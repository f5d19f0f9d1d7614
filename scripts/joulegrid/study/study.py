"""A study: read, validated, with defaults, and with the hashes of the files that it names."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study import (
    benchmarks,
    checks,
    files,
    grid,
    limits,
    loadable,
    scale,
    selection,
    trainings,
)
from joulegrid.study.grid import CELL_AXES, Cell, Configuration
from joulegrid.study.methods import method_name
from joulegrid.study.points import points_of
from joulegrid.study.validation import check, nearest, schema_of
from joulegrid.study.yaml import read_yaml

# What an entry says about analysis only, and therefore determines no measurement
ANALYSIS_KEYS = {"pue", "limits"}


@dataclass(frozen=True)
class Study:
    """A validated study.

    Parameters
    ----------
    data
        the study file with defaults.
    source
        the files it comes from, for messages.
    files
        the files that it names, by their keys, as `{path, sha256}`.
    only
        the cells that it has, where these are not all that the grid keeps.
    """

    data: dict[str, Any]
    source: str
    files: dict[tuple[str, ...], dict[str, Any]] = field(repr=False)
    only: tuple[Cell, ...] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The study's name, and that of its folder below results/studies/."""
        return self.data["study"]

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells that the grid keeps, those that no engine runs included."""
        if self.only is not None:
            return list(self.only)
        return grid.cells({axis: self.data[axis] for axis in CELL_AXES}, **self.data["grid"])

    @cached_property
    def configurations(self) -> list[Configuration]:
        """The configurations of all cells."""
        return list(dict.fromkeys(cell.configuration for cell in self.cells))

    @cached_property
    def loops(self) -> selection.Loops | None:
        """What its selection of trained models decides; None where it has none."""
        return selection.loops(self.data, self.cells)

    def of_cells(self, cells: Iterable[Cell]) -> "Study":
        """The same with these cells alone."""
        return replace(self, only=tuple(cells))

    def labels(self, axis: str) -> list[str]:
        """The labels of an axis, as the file orders them."""
        return list(self.data[axis])

    def entry(self, axis: str, label: str) -> dict[str, Any]:
        """An entry as specs hold it: without what concerns analysis, files as `{path, sha256}`."""
        kept = {k: v for k, v in self.data[axis][label].items() if k not in ANALYSIS_KEYS}
        return _with_files(kept, (axis, label), self.files)

    @property
    def zones(self) -> dict[str, Any]:
        """The zones of the carbon account, files as `{path, sha256}`."""
        return _with_files(self.data["carbon"]["zones"], ("carbon", "zones"), self.files)

    def method(self, axis: str, label: str) -> str:
        """The method of an entry."""
        return method_name(axis, self.data[axis][label])

    def unsupported(self, cell: Cell) -> str | None:
        """Why a cell cannot run on any machine, None where it may: decided here, no job is sent."""
        labels = cell.engine, cell.quantization, cell.hardware, cell.workload
        return self._why_not(*labels, self._contexts[cell.model])

    def takes(self, cell: Cell) -> list[bool]:
        """Of each point of a cell's workload whether its engine runs it, as far as that is known
        here; one that it does not is a finding of that point. Of requests that arrive by themselves
        each may find it.
        """
        workload = self.data["workload"][cell.workload]
        if workload["method"] == "replay":
            return [True]
        engine, context = self.data["engine"][cell.engine], self._contexts[cell.model]
        return [loadable.takes(engine, point, context) for point in points_of(workload)]

    @cached_property
    def _why_not(self) -> Callable[..., str | None]:
        """Why four labels do not go together with a context; asked of every cell, but of few
        different ones.
        """
        data = self.data
        return cache(
            lambda engine, quantization, hardware, workload, context: loadable.why_not(
                data["engine"][engine],
                data["quantization"][quantization],
                data["hardware"][hardware],
                data["workload"][workload],
                context,
            )
        )

    @cached_property
    def _contexts(self) -> dict[str, float]:
        """Of each model, as far as it is known here."""
        return {label: limits.context_of_entry(e) for label, e in self.data["model"].items()}


def _with_files(value: Any, keys: tuple[str, ...], found: dict[tuple[str, ...], dict]) -> Any:
    if keys in found:
        return found[keys]
    if isinstance(value, dict):
        return {key: _with_files(inner, (*keys, key), found) for key, inner in value.items()}
    return value


def load(
    paths: Sequence[str | Path], overrides: dict | None = None, beside: Iterable[str] = ()
) -> Study:
    """Read and validate a study file.

    Parameters
    ----------
    paths
        YAML files; a later one is merged over the earlier.
    overrides
        what `snakemake --config` gave, merged over the files; `scale` is no part of a study, see
        `scale.scaled`.
    beside
        what else `--config` takes, for the message where a key is unknown.

    Raises
    ------
    InputError
        with one line per thing that is wrong.
    """
    settings = _known(overrides or {}, beside)
    data: dict = {}
    for path in paths:
        part = read_yaml(path)
        if not isinstance(part, dict):
            raise InputError(
                f"{path}: expected a study, a mapping of keys such as study, model, quantization"
            )
        data = _merged(data, part)
    sources = [_shown(path) for path in paths]
    if scale.KEY in settings:
        asked = settings.pop(scale.KEY)
        data = scale.scaled(data, paths, asked)
        sources.append(_shown(scale.overlay_of(paths[0], asked)))
    source = ", ".join([*sources, *(["--config"] if set(settings) - {"site"} else [])])
    return from_data(_merged(data, _typed(settings)), source)


def _known(settings: dict, beside: Iterable[str]) -> dict:
    """A copy of what `--config` gave; a name that nobody asks for is an error."""
    known = [*schema_of("study")["properties"], scale.KEY, *sorted(beside)]
    wrong = [key for key in settings if key not in known]
    if wrong:
        lines = (f"--config: {key}: unknown key; {nearest(key, known)}" for key in wrong)
        raise InputError("\n".join(lines))
    return dict(settings)


def from_data(data: dict, source: str) -> Study:
    """Validate a study that is already read; see `load`."""
    written = check("study", benchmarks.expand(data, source), source)
    data = _with_epochs(written, source)
    data.setdefault("carbon", {"zones": {}})
    found, missing = files.resolve(data)
    problems = trainings.as_written([*checks.of_entries(data), *missing], written)
    if problems:
        raise InputError("\n".join(f"{source}: {line}" for line in problems))
    data["ranking"]["metrics"] = checks.ranking_metrics(data)  # one form, however the study puts it
    study = Study(data, source, found)
    problems = checks.of_grid(data, study.cells)
    if problems:
        raise InputError("\n".join(f"{source}: {line}" for line in problems))
    return study


def _with_epochs(data: dict, source: str) -> dict:
    try:
        return trainings.expanded(data)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _typed(value: Any) -> Any:
    """What `--config` gave, with numbers as numbers: Snakemake passes those inside a mapping as
    texts.
    """
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    return float(value) if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d*", value) else value


def _merged(base: dict, over: dict) -> dict:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def _shown(path: str | Path) -> str:
    path = Path(path).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)

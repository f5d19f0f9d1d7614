"""The cheap end of a study: merge, analysis, figures, report; before them the selection, where a
study has one. It is under the study's name.

Each of its steps has a spec too. A step's outputs have plain names; that they were made from its
spec is said by a stamp, a small file beside them with the spec's id in its name, written last.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from joulegrid.records import ROOT, Spec, digest, identity, sha256_file
from joulegrid.study import embodied, infeasible, packages, selection, sites, zones
from joulegrid.study.code import Source
from joulegrid.study.grid import CELL_AXES
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.specs import Job
from joulegrid.study.study import Study

# step -> what it computes with, in the order of the steps
CALLS = {
    "select": ("joulegrid.analysis.selecting:select",),
    "merge": ("joulegrid.analysis.dataset:merge", "joulegrid.analysis.selecting:merged"),
    "analyse": (
        "joulegrid.analysis.comparison:compare",
        "joulegrid.analysis.metric_changes:account",
        "joulegrid.analysis.ranked:table",
        "joulegrid.analysis.carbon:account",
        "joulegrid.analysis.carbon:with_series",
        "joulegrid.analysis.footprint:account",
        "joulegrid.analysis.levers:account",
        "joulegrid.analysis.hourly:account",
        "joulegrid.analysis.tokens:account",
        "joulegrid.analysis.tokens:table",
        "joulegrid.analysis.published:read",
        "joulegrid.analysis.facts:along",
        "joulegrid.analysis.facts:of_tree",
        "joulegrid.analysis.carbon:table",
    ),
    "draw": ("joulegrid.report.figures:draw", "joulegrid.report.figures:fitted"),
    "report": ("joulegrid.report.page:render",),
}
SHAPES = "scripts/joulegrid/analysis/recorded"
PUBLISHED = "config/published"
REPORT = "scripts/joulegrid/report"
PARTS = (".j2", ".css", ".js")


@dataclass(frozen=True)
class Conclusion:
    """One step, and the spec that its outputs are made from."""

    step: str
    spec: Spec

    @property
    def stamp(self) -> str:
        """The stamp's path below the folder of the study."""
        return f"made/{self.step}-{identity(self.spec)}.json"


def conclusions(
    study: Study, jobs: list[Job], unfit: Infeasible = MappingProxyType({})
) -> dict[str, Conclusion]:
    """All steps of a study whose jobs are `jobs`, by name; `unfit` are the cells that are known not
    to fit, and why.

    Raises
    ------
    InputError
        where a zone has no intensity.
    """
    source, found, before = Source(), {}, digest(sorted(job.path for job in jobs))
    for step, settings in _settings(study, unfit).items():
        code = source.used_by(CALLS[step])
        locked = packages.computing(ROOT / "uv.lock", code.imports)
        spec = {
            "step": step,
            "made_from": before,
            **settings,
            "code": digest(code.definitions),
            "packages": digest(locked),
        }
        found[step] = Conclusion(step, spec)
        before = identity(spec)
    return found


def _settings(study: Study, unfit: Infeasible) -> dict[str, dict[str, Any]]:
    """What each step is told of the study, beside what it is made from."""
    data = study.data
    timed = any("series" in zone for zone in study.zones.values())
    measured = {key: data[key] for key in ("study", *CELL_AXES, "grid", "protocol", "quality")}
    measured["hardware"] = {label: study.entry("hardware", label) for label in data["hardware"]}
    reading = {
        "study": measured,
        # what its annotations say is read, and annotations are in no digest of code
        "shapes": [sha256_file(path) for path in sorted((ROOT / SHAPES).glob("*.py"))],
        "files": [
            [list(keys), ref] for keys, ref in sorted(study.files.items()) if keys[0] in measured
        ],
        **({"infeasible": infeasible.packed(unfit)} if unfit else {}),
    }
    selecting = {}
    if "selection" in data:
        measured["selection"] = data["selection"]
        ranking = {**data["ranking"], "weight": selection.weight_of(data)}
        selecting["select"] = {**reading, "ranking": ranking}
    return {
        **selecting,
        "merge": reading,
        "analyse": {
            "ranking": data["ranking"],
            "zones": zones.resolve(study.zones, study.source),
            # of the clock that a series is told on; without one it makes nothing anew
            "time_zone": sites.time_zone_of(data.get("site")) if timed else None,
            "published": [sha256_file(path) for path in sorted((ROOT / PUBLISHED).glob("*.csv"))],
            "pue": {label: entry["pue"] for label, entry in data["hardware"].items()},
            "machines": embodied.resolve(data["carbon"], data["hardware"]),
        },
        "draw": {},
        "report": {
            "study": {key: value for key, value in data.items() if key != "site"},
            "page": [
                sha256_file(path)
                for path in sorted((ROOT / REPORT).iterdir())
                if path.suffix in PARTS
            ],
        },
    }


def study_of(spec: Spec) -> Study:
    """The study as the merge is told it: without ranking and carbon, which come later."""
    return Study(
        spec["study"], "spec", {tuple(keys): reference for keys, reference in spec["files"]}
    )

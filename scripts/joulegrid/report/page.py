"""The report: one HTML file with tables, charts and provenance, readable without a network."""

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import vl_convert
import xarray as xr
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from joulegrid.analysis import carbon, comparison, selected, trained
from joulegrid.analysis.variables import COMPONENTS
from joulegrid.report import (
    beside,
    evaluated,
    failed,
    hourly,
    lengths,
    levers,
    planned,
    published,
    steadiness,
    summary,
    tokens,
    trainings,
)
from joulegrid.report.data import page_data

CAPTIONS = {
    "energy_quality": "Each point is a cell. Left and up is better: less energy, more quality. A "
    "click on a point marks its row.",
    "weight_sensitivity": "The score over the weight w of energy, of the cells that win somewhere.",
    "metric_changes": "Change of each metric against the baseline, on the same samples; to the "
    "right is better. Lines are 95 % intervals of the difference; coloured is what they tell from "
    "none.",
    "bubbles": "Change against the baseline of the place, cell minus baseline: less energy is to "
    "the left, better is up. The larger the circle, the larger the loaded weights; bars are 95 % "
    "intervals. Empty diamonds, where there are any, are published: other models on other "
    "machines, with the mean change of their own metrics.",
    "across_setups": "The same on every setup, against the one baseline: more energy than it is to "
    "the right.",
    "energy_components": "Pale bars are estimates of a model, full ones are readings of a counter.",
    "component_shares": "Shares of the whole energy, estimates included. The number in a bar is "
    "the change of the share, cell minus baseline of the place, in percentage points.",
    "trainings": "Loss after each epoch over the energy of the epochs until then, all components, "
    "estimates included; validating is not in it. The first point of validation is the loss before "
    "training; that of training is the mean over the steps of its epoch. Epochs that two trainings "
    "share lie on each other.",
    "lengths": "How long texts are for the model, chat template included: a line from the shortest "
    "to the longest, a bar over the middle half, a tick at the median. Samples of trainings are "
    "prompt and answer together, before any is dropped or cut. What is of one length alone is not "
    "drawn.",
    "replays": "Requests arrive by themselves; latency counts from the arrival, with the time that "
    "a request waits, for half, 95 % and 99 % of them (no point where that many were not "
    "finished). Energy is that of the whole replay, idling included, by finished request.",
    "carbon_zones": "Energy × PUE × yearly intensity of the zone's electricity.",
    "carbon_levers": "What each lever saves by itself, from each zone; what several leave is the "
    "product of what each leaves. Bars: of compressing the 95 % interval over sessions; of "
    "shifting from the day before's best hour (point) to perfect foresight, a bound; of moving "
    "what 95 % of the hours lie between where both zones have hourly series, else none: the point "
    "is a ratio of two yearly figures. The energy of a moved job cancels; how well the intensities "
    "themselves are known is in no bar.",
    "drift": "The same fixed work, timed before every session, against the median of its machine; "
    "above it the machine was slower than usual. Marks say whether others disturbed the windows of "
    "the session. Of very many sessions a mark is the median of several that follow each other.",
    "grid_profile": "When the electricity of a zone is clean: means of its hourly series.",
}
MANY_PLACES = 12  # of whose tables a browser lays out only those that are in its window
MOST_ANSWERS = 6  # that stand on top; those of more places unfold
FOLDER = Path(__file__).parent
SCRIPTS = ("page-table.js", "page-limits.js", "page-charts.js", "page-savings.js", "page.js")


def number(value: float | None, form: str) -> str:
    """A number in the digits that `form` names ("%.3g"), a large one without a power of ten; a dash
    where there is none.
    """
    if value is None:
        return "–"
    text = form % value
    return f"{float(text):.0f}" if "e+" in text else text


def render(
    tree: xr.DataTree,
    charts: dict[str, dict],
    study: dict[str, Any],
    plan: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """The whole page as text. User text is escaped; scripts are embedded.

    Parameters
    ----------
    plan
        what the plan of the study wrote, as plan.json has it; empty without one.
    """
    templates = Environment(loader=FileSystemLoader(FOLDER), autoescape=True)
    templates.globals["number"] = number
    ranking, energy = tree["ranking"].to_dataset(), tree["energy"].to_dataset()
    data = page_data(tree, study["study"])
    charts = {
        name: spec
        for name, spec in charts.items()
        if any(spec.get("datasets", {"": True}).values())
    }
    return templates.get_template("page.html.j2").render(
        study=study,
        ranking=ranking.attrs,
        baseline=comparison.chosen_in(ranking.attrs)["baseline"],
        data=data,
        most_answers=MOST_ANSWERS,
        many_places=MANY_PLACES,
        data_json=packed(json.dumps(data)),
        measured=summary.measured(tree),
        sessions=energy.sizes["session"],
        methods=methods(tree),
        boards=boards(tree),
        speeds=steadiness.speeds(energy),
        warnings=[
            *steadiness.warnings(energy),
            *steadiness.making(tree["weights"].to_dataset()),
        ],
        signatures=evaluated.signatures(tree),
        notes=[
            *evaluated.notes(tree["quality"].to_dataset()),
            *evaluated.notes(tree["changes"].to_dataset()),
        ],
        failed=failed.without_result(tree),
        answered=evaluated.answered(tree),
        judged=evaluated.judged(tree),
        accepted=accepted(tree),
        zones=zones(tree["carbon"].to_dataset()),
        old=carbon.old_figures(tree["carbon"].to_dataset(), measured_in(energy)),
        cost=summary.cost(tree),
        foreseen=planned.as_asked(plan),
        planned=planned.beside(tree, plan.get("said_before", ())),
        footprint=beside.footprint(tree),
        tokens=tokens.costs(tree),
        epochs=trainings.table(tree),
        trained=trained.sentences(
            tree["training"].to_dataset() if "training" in tree.children else xr.Dataset()
        ),
        lengths=lengths.table(tree),
        quantiles=lengths.QUANTILES,
        break_even=levers.sentences(tree),
        selection=selected.sentences(tree.attrs),
        starts=starts(tree["grid"].to_dataset()) if "grid" in tree.children else [],
        begins=beside.begins(tree),
        replayed=hourly.begun(tree),
        elsewhere=published.beside(tree),
        most_beside=published.MOST_PLACES,
        captions={name: text for name, text in CAPTIONS.items() if name in charts},
        specs=packed(json.dumps({name: shared(spec) for name, spec in charts.items()})),
        css=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        javascript=Markup("\n".join((FOLDER / name).read_text("utf-8") for name in SCRIPTS)),
        vega=packed(vl_convert.javascript_bundle()),  # type: ignore[call-arg]  # its stub asks for a snippet
        attributes=tree.attrs,
        study_json=json.dumps(study, indent=2, ensure_ascii=False),
    )


def packed(text: str) -> str:
    """Text as gzip in base64, which the page unpacks: less room, and nothing to escape."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def shared(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart of all cells without its data: the page gives it the rows of its tables."""
    if not spec.get("usermeta", {}).get("cells"):
        return spec
    return {**spec, "data": {"name": "cells"}, "datasets": {}}


def boards(tree: xr.DataTree) -> list[dict[str, Any]]:
    """For each hardware label the devices that it stood for: more than one GPU or CPU there is
    worth knowing.
    """
    energy, found = tree["energy"].to_dataset(), []
    for hardware in energy.hardware.values:
        one = energy.sel(hardware=hardware)
        names = {
            key: sorted({str(value) for value in one[key].values.ravel()} - {""})
            for key in ("cpu", "gpu", "host")
        }
        sizes = sorted(
            {f"{value / 1e9:.0f} GB" for value in one.gpu_memory.values.ravel() if value == value}
        )
        found.append({"hardware": str(hardware), **names, "memory": sizes})
    return found


def accepted(tree: xr.DataTree) -> list[tuple[str, str]]:
    """What was kept of earlier results, counted, and for which reason.

    A configuration whose weights were kept is among them, also where it was measured anew.
    """
    return [
        *((f"{count} results", why) for why, count in _reasons(tree, ("energy", "quality"))),
        *((f"weights of {n} configurations", why) for why, n in _reasons(tree, ("weights",))),
    ]


def _reasons(tree: xr.DataTree, groups: tuple[str, ...]) -> list[tuple[str, int]]:
    texts = np.concatenate([tree[group].accepted.values.ravel() for group in groups])
    reasons, counts = np.unique(texts[texts != ""].astype(str), return_counts=True)
    return list(zip(reasons.tolist(), counts.tolist(), strict=True))


def methods(tree: xr.DataTree) -> list[dict[str, str]]:
    """For each hardware and component: measured, estimated or absent, and how."""
    method = tree["energy"].method
    return [
        {
            "hardware": str(hardware),
            "component": component,
            "text": str(method.sel(hardware=hardware, component=component).values),
        }
        for hardware in method.hardware.values
        for component in COMPONENTS
    ]


def zones(emitted: xr.Dataset) -> list[dict[str, Any]]:
    """Zones with the emissions of the best and worst measured cell, in g per 1,000 generated
    tokens.
    """
    rows = []
    for zone in emitted.zone.values:
        one = emitted.sel(zone=zone)
        grams = one.emissions_per_token.values[np.isfinite(one.emissions_per_token.values)] * 1000
        rows.append(
            {
                "zone": str(zone),
                "intensity": float(one.intensity),
                "source": str(one.intensity_source.values),
                "basis": str(one.intensity_basis.values),
                "year": int(one.intensity_year) or "",
                "least": float(grams.min()) if grams.size else None,
                "most": float(grams.max()) if grams.size else None,
            }
        )
    return sorted(rows, key=lambda row: row["intensity"])


def measured_in(energy: xr.Dataset) -> int:
    """The year of the last session; 0 where there is none."""
    return max((int(text[:4]) for text in energy.started.values.ravel() if text), default=0)


def starts(grid: xr.Dataset) -> list[dict[str, Any]]:
    """What the best start saves, as shares, by zone, length of the job and slack."""
    now, best, known = (
        grid.start_intensity.sel(start=name) for name in ("now", "foresight", "yesterday")
    )
    saved = xr.Dataset({"foresight": 1 - best / now, "yesterday": 1 - known / now})
    rows = saved.to_dataframe().reset_index().to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]

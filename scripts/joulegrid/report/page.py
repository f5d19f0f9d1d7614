"""The report: one HTML file with tables, charts and provenance, readable without a network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import vl_convert
import xarray as xr
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from joulegrid.analysis import carbon, comparison, ranked
from joulegrid.analysis.answer import answer
from joulegrid.analysis.variables import COMPONENTS
from joulegrid.report import columns
from joulegrid.study.grid import CELL_AXES

# In the order of the page
CAPTIONS = {
    "energy_quality": "Each point is a cell. Left and up is better: less energy, more quality. A "
    "click on a point marks its row.",
    "weight_sensitivity": "The score over the weight w of energy, of the cells that win somewhere.",
    "metric_changes": "Change of each metric against the baseline; to the right is better.",
    "energy_components": "Pale bars are estimates of a model, full ones are readings of a counter.",
    "carbon_zones": "Energy × PUE × yearly intensity of the zone's electricity.",
    "grid_profile": "When the electricity of a zone is clean: means of its hourly series.",
}
FOLDER = Path(__file__).parent
# Weights of energy for which ranks and answers stand in the page; of many cells fewer, each takes
# time and room
WEIGHTS, FEWER_WEIGHTS, MANY = [n / 20 for n in range(21)], [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1], 500
DIGITS = 6
GRAMS = columns.Column(
    "grams", "CO₂e", "g per 10⁶ tokens", ".4g", "energy × PUE × intensity of the chosen zone"
)


def render(tree: xr.DataTree, charts: dict[str, dict], study: dict[str, Any]) -> str:
    """The whole page as text. User text is escaped; scripts are embedded."""
    templates = Environment(loader=FileSystemLoader(FOLDER), autoescape=True)
    ranking, energy = tree["ranking"].to_dataset(), tree["energy"].to_dataset()
    data = page_data(tree, study["study"])
    varying = [axis for axis in CELL_AXES if energy.sizes[axis] > 1]
    return templates.get_template("page.html.j2").render(
        study=study,
        ranking=ranking.attrs,
        baseline=comparison.chosen_in(ranking.attrs)["baseline"],
        data=data,
        data_json=_script(data),
        filters={axis: [str(label) for label in energy[axis].values] for axis in varying},
        sessions=energy.sizes["session"],
        methods=methods(tree),
        boards=boards(tree),
        speeds=speeds(energy),
        warnings=warnings(energy),
        accepted=accepted(tree),
        zones=zones(tree["carbon"].to_dataset()),
        old=carbon.old_figures(tree["carbon"].to_dataset(), measured_in(energy)),
        starts=starts(tree["grid"].to_dataset()) if "grid" in tree.children else [],
        charts=[
            {"name": name, "caption": caption}
            for name, caption in CAPTIONS.items()
            if name in charts
        ],
        specs=_script(charts),
        css=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        javascript=Markup((FOLDER / "page.js").read_text(encoding="utf-8")),
        vega=Markup(_vega()),
        attributes=tree.attrs,
        study_json=json.dumps(study, indent=2, ensure_ascii=False),
    )


def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script; vl-convert carries them."""
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub asks for a snippet
    return bundle.replace("</script", "<\\/script")


def page_data(tree: xr.DataTree, name: str) -> dict[str, Any]:
    """What the page's script shows: columns of numbers, and ranks and answers for each weight.

    Returns
    -------
    `values`, key -> a value per row of `ranked.table`; `ranks`, per weight a rank per row;
    `places`, each with its name, its rows and an answer per weight; and what controls need.
    """
    ranking = tree["ranking"].to_dataset()
    chosen = comparison.chosen_in(ranking.attrs)
    frame = ranked.table(tree, ranking)
    pue = tree["carbon"].pue.to_series()
    frame = frame.assign(pue=frame["hardware"].map(pue))
    known = FEWER_WEIGHTS if len(frame) > MANY else WEIGHTS
    weights = sorted({*known, chosen["weight"]})
    tables = [_at_weight(tree, chosen, weight, frame) for weight in weights]
    shown = _columns(tree, frame)
    keys = [*CELL_AXES, *(c.key for c in shown), "pareto", "pue"]
    places = columns.places(frame, chosen["baseline"])
    zones = tree["carbon"].intensity
    return {
        "study": name,
        "weight": chosen["weight"],
        "weights": weights,
        "columns": [
            {
                "key": c.key,
                "heading": c.heading,
                "explanation": c.explanation,
                "digits": c.format,
                "scale": c.scale,
                "brief": c.brief,
            }
            for c in shown
        ],
        "values": {key: _listed(frame[key]) for key in dict.fromkeys(keys) if key in frame},
        "ranks": [_listed(table["rank"]) for table in tables],
        "places": [
            {
                "name": place,
                "rows": rows.index.tolist(),
                "answers": [
                    answer(table.loc[rows.index], chosen["baseline"], weight)
                    for weight, table in zip(weights, tables, strict=True)
                ],
            }
            for place, rows in places
        ],
        "limits": LIMITS,
        "filters": [axis for axis in CELL_AXES if frame[axis].nunique() > 1],
        "zones": dict(zip(zones.zone.values.tolist(), zones.values.tolist(), strict=True)),
    }


# What a reader may ask of the rows that are shown
LIMITS = [
    {"id": "min-quality", "title": "quality at least, %", "key": "quality", "scale": 1, "least": 1},
    {
        "id": "min-speed",
        "title": "tokens/s at least",
        "key": "tokens_per_s",
        "scale": 1,
        "least": 1,
    },
    {
        "id": "max-energy",
        "title": "J/token at most",
        "key": "energy_per_token",
        "scale": 1,
        "least": 0,
    },
    {"id": "max-memory", "title": "GB at most", "key": "peak_memory", "scale": 1e9, "least": 0},
]


def _at_weight(
    tree: xr.DataTree, chosen: dict[str, Any], weight: float, frame: pd.DataFrame
) -> pd.DataFrame:
    """The table at another weight, its rows in the order and with the index of `frame`."""
    table = ranked.table(tree, comparison.compare(tree, {**chosen, "weight": weight}))
    cells = pd.MultiIndex.from_frame(frame[list(CELL_AXES)])
    return table.set_index(list(CELL_AXES), drop=False).loc[cells].set_index(frame.index)


def _columns(tree: xr.DataTree, frame: pd.DataFrame) -> list[columns.Column]:
    """The columns that say something in this study."""
    metrics = [str(name) for name in tree["quality"].metric.values]
    head, *rest = columns.RANKING
    known = [head, *columns.of_axes(frame), *rest, *columns.of_metrics(metrics), columns.NOTE]
    kept = [c for c in known if any(c.show(value) != "–" for value in frame[c.key])]
    at = [n + 1 for n, c in enumerate(kept) if c.key.startswith("energy_per_token")]
    return [*kept[: at[-1]], GRAMS, *kept[at[-1] :]] if at else kept


def _listed(column: pd.Series) -> list[Any]:
    """A column as JSON has it: null where there is nothing, "inf" for infinity, six digits."""
    plain = (None if pd.isna(value) else value for value in column.tolist())
    rounded = (float(f"{v:.{DIGITS}g}") if isinstance(v, float) else v for v in plain)
    return ["inf" if value == np.inf else value for value in rounded]


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


def speeds(energy: xr.Dataset) -> list[dict[str, Any]]:
    """For each machine how long the reference work took before sessions: least, median, most in s,
    and how much longer it took at the end of the study than at its begin.
    """
    names = ["host", "started", "reference_time"]
    frame = energy[names].to_dataframe()[names].dropna(subset=["reference_time"])
    found = []
    for host, rows in frame.sort_values("started").groupby("host"):
        times = rows["reference_time"].to_numpy()
        third = max(len(times) // 3, 1)
        first, last = np.median(times[:third]), np.median(times[-third:])
        spread = {"least": times.min(), "median": np.median(times), "most": times.max()}
        found.append({"host": host, "sessions": len(times), **spread, "drift": last / first - 1})
    return found


def warnings(energy: xr.Dataset) -> list[str]:
    """What the meter warned of, each text once; and where the machine was disturbed."""
    texts = {str(text) for text in energy.warnings.values.ravel()} - {""}
    disturbed = int((energy.disturbed > 0).sum())
    if disturbed:
        texts.add(f"{disturbed} sessions count although the machine was disturbed")
    replaced = int(energy.replaced.sum())
    if replaced:
        texts.add(f"{replaced} windows were disturbed and measured again")
    return sorted(texts)


def _script(value: Any) -> Markup:
    """JSON that can stand inside a script element whatever the text in it."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))


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

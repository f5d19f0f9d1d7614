"""The report: one HTML file with tables, charts and provenance, readable without a network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert
import xarray as xr
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from joulegrid.analysis import comparison
from joulegrid.analysis.variables import COMPONENTS
from joulegrid.report import columns

# In the order of the page
CAPTIONS = {
    "energy_quality": "Each point is a cell. Left and up is better: less energy, more quality.",
    "energy_components": "Pale bars are estimates of a model, full ones are readings of a counter.",
    "carbon_zones": "Energy × PUE × yearly intensity of the zone's electricity.",
}


def render(tree: xr.DataTree, charts: dict[str, dict], study: dict[str, Any]) -> str:
    """The whole page as text. User text is escaped; scripts are embedded."""
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    ranking = tree["ranking"].to_dataset()
    baseline = {
        k.removeprefix("baseline_"): v
        for k, v in ranking.attrs.items()
        if k.startswith("baseline_")
    }
    return templates.get_template("page.html.j2").render(
        study=study,
        ranking=ranking.attrs,
        baseline=baseline,
        tables=tables(tree, baseline),
        sessions=tree["energy"].sizes["session"],
        methods=methods(tree),
        boards=boards(tree),
        speeds=speeds(tree["energy"].to_dataset()),
        warnings=warnings(tree["energy"].to_dataset()),
        accepted=accepted(tree),
        zones=zones(tree["carbon"].to_dataset()),
        charts=[
            {"name": name, "caption": caption}
            for name, caption in CAPTIONS.items()
            if name in charts
        ],
        specs=_script(charts),
        vega=Markup(_vega()),
        attributes=tree.attrs,
        study_json=json.dumps(study, indent=2, ensure_ascii=False),
    )


def _vega() -> str:
    """Vega, Vega-Lite and the code that embeds charts, as a script that can stand in a page."""
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub asks for a snippet
    return bundle.replace("</script", "<\\/script")


def tables(tree: xr.DataTree, baseline: dict[str, str]) -> list[dict[str, Any]]:
    """A table for each place: its name, its columns, and its rows as texts."""
    frame = comparison.table(tree, tree["ranking"].to_dataset())
    metrics = [str(name) for name in tree["quality"].metric.values]
    head, *rest = columns.RANKING
    found = []
    for name, rows in columns.places(frame, baseline):
        shown = [head, *columns.of_axes(rows), *rest, *columns.of_metrics(metrics), columns.NOTE]
        cells = [
            [column.show(row[column.key]) for column in shown] for row in rows.to_dict("records")
        ]
        # a column of nothing says nothing
        kept = [n for n in range(len(shown)) if any(row[n] != "–" for row in cells)]
        shown = [shown[n] for n in kept]
        cells = [[row[n] for n in kept] for row in cells]
        fronts = [row == 1 for row in rows["pareto"]]
        found.append(
            {"place": name, "columns": shown, "rows": list(zip(cells, fronts, strict=True))}
        )
    return found


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


def zones(carbon: xr.Dataset) -> list[dict[str, Any]]:
    """Zones with the emissions of the best and worst measured cell, in g per 1,000 generated
    tokens.
    """
    rows = []
    for zone in carbon.zone.values:
        one = carbon.sel(zone=zone)
        grams = one.emissions_per_token.values[np.isfinite(one.emissions_per_token.values)] * 1000
        rows.append(
            {
                "zone": str(zone),
                "intensity": float(one.intensity),
                "source": str(one.intensity_source.values),
                "year": int(one.intensity_year) or "",
                "least": float(grams.min()) if grams.size else None,
                "most": float(grams.max()) if grams.size else None,
            }
        )
    return sorted(rows, key=lambda row: row["intensity"])

"""The report: one HTML file with tables, charts and provenance inside, readable without a network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert
import xarray as xr
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from joulegrid import ranking
from joulegrid.dataset import COMPONENTS
from joulegrid.study.grid import CELL_AXES

# In the order of the page
CAPTIONS = {
    "energy_quality": "Each point is a cell. Left and up is better: less energy, more quality.",
    "energy_components": "Pale bars are estimates of a model, full ones are readings of a counter.",
    "carbon_zones": "Energy × PUE × yearly intensity of the zone's electricity.",
}


def render(tree: xr.DataTree, charts: dict[str, dict], study: dict[str, Any]) -> str:
    """The whole page as text. User text is escaped; scripts are embedded."""
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    rows = ranking_rows(tree)
    return templates.get_template("report.html.j2").render(
        study=study,
        ranking=tree["ranking"].attrs,
        rows=rows,
        axes=[axis for axis in CELL_AXES if len({row[axis] for row in rows}) > 1] or ["quantization"],
        metrics=[str(m) for m in tree["quality"].metric.values],
        repeats=tree["energy"].sizes["repeat"],
        methods=methods(tree),
        zones=zones(tree["carbon"].to_dataset()),
        charts=[{"name": name, "caption": caption} for name, caption in CAPTIONS.items() if name in charts],
        specs=_script(charts),
        vega=Markup(vl_convert.javascript_bundle().replace("</script", "<\\/script")),
        attributes=tree.attrs,
        study_json=json.dumps(study, indent=2, ensure_ascii=False),
    )


def _script(value: Any) -> Markup:
    """JSON that can stand inside a script element whatever the text in it."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))


def ranking_rows(tree: xr.DataTree) -> list[dict[str, Any]]:
    """The ranking table, one mapping per cell; None where there is no number."""
    frame = ranking.table(tree, tree["ranking"].to_dataset())
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


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
    """Zones with the emissions of the best and worst measured cell, in g per 1,000 generated tokens."""
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

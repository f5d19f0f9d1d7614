"""What the page's script shows, as columns of plain values."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis import comparison, ranked
from joulegrid.analysis.answer import answer
from joulegrid.analysis.normalisation import RELATIVE
from joulegrid.report import columns, latency, savings, scatter
from joulegrid.report.frames import namer
from joulegrid.study.grid import CELL_AXES

# Weights of energy for which ranks and answers stand in the page; of many cells fewer, each takes
# time and room
WEIGHTS, FEWER_WEIGHTS, MANY = [n / 20 for n in range(21)], [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1], 500
DIGITS = 6
# What of a table the weight decides
WEIGHED = ("rank", "score", "score_ci95", "best_probability")
# What the script reads whatever is shown
NEEDED = (
    "energy_per_token",
    "all_energy_per_token",
    "efficiency",
    "quality",
    "tokens_per_s",
    "peak_memory",
    "energy_per_token_ci95",
    "pareto",
    "pue",
    "configuration",
    "place",
)
# What the savings calculator reads where there is any
TOKENS = (
    "read_per_written",
    *(f"e_{of}{end}" for of in ("token", "prompt", "decoded") for end in ("", "_ci95")),
)
GRAMS = columns.Column(
    "grams", "CO₂e", "g per 10⁶ tokens", ".4g", "energy × PUE × intensity of the chosen zone"
)
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


def page_data(tree: xr.DataTree, name: str) -> dict[str, Any]:
    """What the page's script shows: columns of numbers, and ranks and answers for each weight.

    Returns
    -------
    `values`, key -> a value per row of `ranked.table`; `drawn`, keys of those that the scatter
    shows; `ranks` and `best`, per weight a rank and a probability to be best per row;
    `places`, each with its name, its rows and an answer per weight; and what controls need.
    """
    ranking = tree["ranking"].to_dataset()
    chosen = comparison.chosen_in(ranking.attrs)
    frame = ranked.table(tree, ranking)
    pue = tree["carbon"].pue.to_series()
    frame = frame.assign(pue=frame["hardware"].map(pue))
    frame = namer(tree, chosen["baseline"])(frame)
    frame = latency.with_latencies(tree, savings.token_energies(tree, frame))
    known = FEWER_WEIGHTS if len(frame) > MANY else WEIGHTS
    weights = sorted({*known, chosen["weight"]})
    found = comparison.compared(tree, chosen)
    tables = [_ranked(comparison.weighed(found, weight), frame) for weight in weights]
    shown = _columns(tree, frame, chosen["baseline"])
    relative = chosen["normalisation"] == RELATIVE
    terms = ["efficiency", "quality"] if relative else ["energy_term", "quality_term"]
    tokens = [key for key in TOKENS if frame[key].notna().any()]
    keys = [*CELL_AXES, *(c.key for c in shown), *NEEDED, *terms, *tokens]
    places = columns.places(frame, chosen["baseline"])
    zones = tree["carbon"].intensity
    return {
        "study": name,
        "weight": chosen["weight"],
        "weights": weights,
        "terms": terms,
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
        "drawn": scatter.POINT,
        "ranks": [_listed(table["rank"]) for table in tables],
        "best": [_listed(table["best_probability"]) for table in tables],
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
        "baseline": chosen["baseline"],
        "factors": savings.published_factors(tree),
        "limits": [
            limit
            for limit in (*LIMITS, *latency.limits_of(tree))
            if frame[limit["key"]].notna().any()
        ],
        "filters": {
            axis: sorted(frame[axis].unique()) for axis in CELL_AXES if frame[axis].nunique() > 1
        },
        "zones": dict(zip(zones.zone.values.tolist(), zones.values.tolist(), strict=True)),
    }


def _ranked(ranking: xr.Dataset, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with what another weight makes of its rows; the rest of a table depends on none."""
    cells = pd.MultiIndex.from_frame(frame[list(CELL_AXES)])
    weighed = ranking[list(WEIGHED)].to_dataframe(dim_order=list(CELL_AXES)).loc[cells]
    return frame.assign(**{name: weighed[name].values for name in WEIGHED}).astype(
        {"rank": "Int64"}
    )


def _columns(
    tree: xr.DataTree, frame: pd.DataFrame, baseline: dict[str, str]
) -> list[columns.Column]:
    """The columns that say something in this study, with what decides on the left."""
    metrics = [str(name) for name in tree["quality"].metric.values]
    score = [c.key for c in columns.RANKING].index("score") + 1
    head, *compared = columns.RANKING[:score]
    beside = [columns.NOTE, *latency.columns_of(tree), *columns.of_metrics(metrics)]
    details = columns.RANKING[score:]
    known = [head, *columns.of_axes(frame, baseline), *compared, *beside, *details]
    kept = [c for c in known if any(c.show(value) != "–" for value in frame[c.key])]
    at = [n + 1 for n, c in enumerate(kept) if c.key.startswith("energy_per_token")]
    return [*kept[: at[-1]], GRAMS, *kept[at[-1] :]] if at else kept


def _listed(column: pd.Series) -> list[Any]:
    """A column as JSON has it: null where there is nothing, "inf" for infinity, six digits."""
    plain = (None if pd.isna(value) else value for value in column.tolist())
    rounded = (float(f"{v:.{DIGITS}g}") if isinstance(v, float) else v for v in plain)
    return ["inf" if value == np.inf else value for value in rounded]

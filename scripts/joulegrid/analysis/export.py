"""What a study found, as tables for other programs and for papers."""

import re
from typing import Any

import pandas as pd
import xarray as xr

from joulegrid.analysis import ranked
from joulegrid.analysis.answer import answer
from joulegrid.analysis.concluded import RANKING
from joulegrid.analysis.variables import (
    BASIS,
    COMPONENTS,
    DIMENSIONS,
    ENERGY,
    FACTS,
    STATUS,
    Variable,
    text,
)
from joulegrid.study.grid import CELL_AXES

# Of a ranking in print: column, heading, digits
PRINTED = (
    ("rank", "rank", ".0f"),
    ("energy_per_token", "J/token", ".4g"),
    ("energy_per_token_ci95", "± 95 %", ".2g"),
    ("efficiency", "saved φ", "+.3f"),
    ("quality", "quality ρ", "+.3f"),
    ("score", "score R", "+.3f"),
    ("tokens_per_s", "tokens/s", ".4g"),
)
SPECIAL = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "φ": r"$\varphi$", "ρ": r"$\varrho$"}
SPECIAL |= {"±": r"$\pm$", "$": r"\$", "–": "--", "·": r"$\cdot$", "ω": r"$\omega$"}
# What columns are that are no variable of a session
OF_LABELS = {name: variable for table in FACTS.values() for name, variable in table.items()}
OF_LABELS |= {axis: text(DIMENSIONS[axis]) for axis in (*CELL_AXES, "session")}
# What a hub reads: which files its viewer shows
CARD_HEAD = """---
tags:
- energy
- llm
- quantization
configs:
- config_name: measurements
  data_files: measurements.parquet
  default: true
- config_name: ranking
  data_files: ranking.csv
---
"""


def sessions(tree: xr.DataTree) -> pd.DataFrame:
    """One row per measured session: its cell, every variable of the group `energy`, those by
    component in columns of their own (`energy_cpu`), what its labels stand for (`bits`), status
    and basis as words. SI units.
    """
    energy = tree["energy"].to_dataset().drop_vars("method")
    flat = energy.drop_dims("component")
    for name in [name for name in energy.data_vars if name not in flat.data_vars]:
        for component in COMPONENTS:
            flat[f"{name}_{component}"] = energy[name].sel(component=component, drop=True)
    frame = flat.drop_attrs().to_dataframe(dim_order=[*CELL_AXES, "session"]).reset_index()
    for component in COMPONENTS:
        frame[f"basis_{component}"] = [BASIS[code] for code in frame[f"basis_{component}"]]
    frame["status"] = [STATUS[code] for code in frame["status"]]
    return frame[frame["status"] != "excluded"].reset_index(drop=True)


def ranking(tree: xr.DataTree) -> pd.DataFrame:
    """The table of `ranked.table`."""
    return ranked.table(tree, tree["ranking"].to_dataset())


def _printed(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings and rows as texts: axes that differ, and the columns of `PRINTED`."""
    axes = [axis for axis in CELL_AXES if table[axis].nunique() > 1] or ["quantization"]
    heads = [*axes, *(heading for _, heading, _ in PRINTED)]
    rows = [
        [
            *(str(row[axis]) for axis in axes),
            *(_number(row[key], digits) for key, _, digits in PRINTED),
        ]
        for row in table.to_dict("records")
    ]
    return heads, rows


def _number(value: Any, digits: str) -> str:
    return "–" if pd.isna(value) else format(value, digits)


def markdown(table: pd.DataFrame) -> str:
    """The ranking as a Markdown table."""
    heads, rows = _printed(table)
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(table: pd.DataFrame) -> str:
    """The ranking as a LaTeX tabular, with rules of booktabs."""
    heads, rows = _printed(table)

    def line(cells: list[str]) -> str:
        escaped = ["".join(SPECIAL.get(sign, sign) for sign in cell) for cell in cells]
        # no label begins with a hyphen
        escaped = [re.sub("^-(?!-)", "$-$", cell) for cell in escaped]
        return " & ".join(escaped) + r" \\"

    texts = sum(head not in {heading for _, heading, _ in PRINTED} for head in heads)
    columns = "l" * texts + "r" * (len(heads) - texts)
    body = "\n".join(line(row) for row in rows)
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{line(heads)}\n\\midrule\n{body}\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def card(
    tree: xr.DataTree, measured: pd.DataFrame, table: pd.DataFrame, baseline: dict[str, str]
) -> str:
    """A data-set card for a model hub: what the files are, what was found, what columns mean.

    Parameters
    ----------
    measured, table
        of `sessions` and `ranking`.
    """
    places = [axis for axis in CELL_AXES if axis not in baseline]
    weight = float(tree["ranking"].attrs["weight"])
    answers = [
        f"- {' · '.join(map(str, key))}: {answer(rows, baseline, weight)}\n"
        for key, rows in table.groupby(places, sort=True)
    ]
    attributes = tree.attrs
    against = ", ".join(f"{axis} {label}" for axis, label in baseline.items())
    return (
        f"{CARD_HEAD}# {attributes['title']}\n\nMeasured with joulegrid "
        f"{attributes['joulegrid_version']} (commit {attributes['git_commit']}).\n\n"
        "- `measurements.parquet`, `measurements.csv`: a row per session, SI units\n"
        "- `ranking.csv`, `ranking.md`, `ranking.tex`: a row per cell, best first in its place\n"
        "- `beside.csv`: its energies and qualities beside published ones\n\n"
        f"## Answer\n{''.join(answers)}\n## Ranking\nAgainst {against}: φ is the share of energy "
        f"saved, ρ the mean relative change of quality for the better, R = {weight:g}·φ + "
        f"{1 - weight:.6g}·ρ.\n\n{markdown(table)}\n"
        "## Columns\nOf `measurements`; units as UDUNITS spells them.\n\n"
        f"{_described(measured, {**ENERGY, **OF_LABELS})}\n"
        "Of `ranking.csv`, beside the values of the metrics and what stands above.\n\n"
        f"{_described(table, RANKING)}"
    )


def _described(frame: pd.DataFrame, known: dict[str, Variable]) -> str:
    """A Markdown table of the columns that are known, with unit and meaning."""
    lines = ["| column | unit | meaning |\n| --- | --- | --- |\n"]
    for column in frame.columns:
        name, _, component = str(column).rpartition("_")
        if column in known:
            variable, of = known[column], ""
        elif component in COMPONENTS and name in known:
            variable, of = known[name], f", {component}"
        else:
            continue
        lines.append(f"| {column} | {variable.units or ''} | {variable.long_name}{of} |\n")
    return "".join(lines)

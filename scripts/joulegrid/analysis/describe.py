"""The dataset's documentation, out of the tables that its attributes come from."""

from collections.abc import Mapping

from joulegrid.analysis import variables
from joulegrid.analysis.variables import Variable

CELL = "model, training, pruning, quantization, hardware, engine, workload"
# group -> its variables, its dimensions, what it is
GROUPS: tuple[tuple[str, Mapping[str, Variable], str, str], ...] = (
    ("energy", variables.ENERGY, f"{CELL}, session", "what every session measured"),
    (
        "quality",
        variables.QUALITY,
        "model, training, pruning, quantization, metric",
        "metrics of every configuration; `direction` says which way a metric is better",
    ),
    (
        "samples/TASK",
        variables.SAMPLES,
        "model, training, pruning, quantization, metric, sample",
        "what the metrics of a task are made of, where they are means over samples",
    ),
    (
        "weights",
        variables.WEIGHTS,
        "model, training, pruning, quantization",
        "the weights of every configuration, and what making them took",
    ),
    ("ranking", variables.RANKING, CELL, "the comparison; its attributes are the study's choices"),
    (
        "carbon",
        variables.CARBON,
        f"{CELL}, zone",
        "emissions; beside them `intensity`, `intensity_basis`, `intensity_source` and "
        "`intensity_year` of every zone and the `pue` of every machine",
    ),
    (
        "footprint",
        variables.FOOTPRINT,
        CELL,
        "what the study gives numbers for beside the operational emissions, never added to them; "
        "intensities and sources are over zone or hardware alone",
    ),
    ("grid", variables.GRID, "zone", "of zones with an hourly series, where there are any"),
    (
        "levers",
        variables.LEVERS,
        f"{CELL}; of move and shift those below alone",
        "what compressing, moving and shifting save, each by itself; where there are several zones "
        "or an hourly series",
    ),
    ("cost", variables.COST, "kind", "what the study itself took"),
)
HEAD = """# The dataset

`results/studies/STUDY/study.nc` is a NetCDF-4 file with groups, an `xarray.DataTree`:

    import xarray as xr
    tree = xr.open_datatree("results/studies/quickstart/study.nc")
    tree["energy"].energy.sel(quantization="nf4").sum("component")

Units are spelled for UDUNITS. Cells that were excluded, failed or are missing are NaN, and `status`
says which it is. `component` is cpu, gpu, ram. The attributes of the root hold the whole study as
JSON, the commit, the version of joulegrid and the schema version. The group `published` holds the
rows of `config/published/`. This page is written by `scripts/describe_dataset.py`.
"""


def markdown() -> str:
    """The page docs/dataset.md."""
    parts = [HEAD]
    for name, table, dims, about in GROUPS:
        parts.append(f"\n## {name}\n{about[0].upper()}{about[1:]}. Dimensions: {dims}.\n\n")
        parts.append(
            "| variable | unit | further dimensions | meaning |\n| --- | --- | --- | --- |\n"
        )
        parts += [f"{_row(key, variable)}\n" for key, variable in table.items()]
    return "".join(parts)


def _row(name: str, variable: Variable) -> str:
    meaning = "; ".join(filter(None, [variable.long_name, variable.comment]))
    if variable.flags:
        flags = ", ".join(f"{code} {flag}" for code, flag in enumerate(variable.flags))
        meaning = f"{meaning}: {flags}"
    return f"| {name} | {variable.units or ''} | {', '.join(variable.extra)} | {meaning} |"

"""The dataset's documentation, out of the tables that its attributes come from."""

from collections.abc import Mapping

from joulegrid.analysis import (
    answering,
    concluded,
    hourly,
    judging,
    published,
    replays,
    trained,
    variables,
)
from joulegrid.analysis.variables import Variable

CELL = "model, training, pruning, quantization, hardware, engine, workload"
# group -> its variables, its dimensions, what it is
GROUPS: tuple[tuple[str, Mapping[str, Variable], str, str], ...] = (
    ("energy", variables.ENERGY, f"{CELL}, session", "what every session measured"),
    (
        "points",
        variables.POINTS,
        f"{CELL}, session, point",
        "what every session measured at each point of a sweep, where there is one; "
        "`prompt_tokens`, `new_tokens` and `concurrency` are coordinates",
    ),
    (
        "lengths",
        variables.LENGTHS,
        CELL,
        "how long prompts and answers were, in the first session that says it",
    ),
    (
        "replay",
        {**replays.REPLAY, **replays.BINS},
        f"{CELL}, session; of bins of time also bin",
        "how requests fared that arrived by themselves, and energy over time; where a workload is "
        "a replay",
    ),
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
        "answering",
        answering.ANSWERING,
        "model, training, pruning, quantization, task",
        "what generating answers took, and writing the texts of a guide in their prompts; where a "
        "task generates answers",
    ),
    (
        "judging",
        judging.JUDGING,
        "model, training, pruning, quantization, task",
        "what judges of answers took, where a study has any: apart from the energy of cells",
    ),
    (
        "changes",
        concluded.CHANGES,
        "model, training, pruning, quantization, metric",
        "every metric against the baseline's on the same samples",
    ),
    (
        "weights",
        variables.WEIGHTS,
        "model, training, pruning, quantization",
        "the weights of every configuration, and what making them took",
    ),
    (
        "training",
        trained.TRAINING,
        "model, training",
        "every fine-tuning, epoch by epoch",
    ),
    (
        "tokens",
        concluded.TOKENS,
        CELL,
        "what a token costs that is read, and one that is written, by regression over the points "
        "of a sweep, where there is one",
    ),
    ("ranking", concluded.RANKING, CELL, "the comparison; its attributes are the study's choices"),
    (
        "carbon",
        concluded.CARBON,
        f"{CELL}, zone",
        "emissions; beside them `intensity`, `intensity_basis`, `intensity_source` and "
        "`intensity_year` of every zone and the `pue` of every machine",
    ),
    (
        "footprint",
        concluded.FOOTPRINT,
        CELL,
        "what the study gives numbers for beside the operational emissions, never added to them; "
        "intensities and sources are over zone or hardware alone",
    ),
    ("grid", concluded.GRID, "zone", "of zones with an hourly series, where there are any"),
    (
        "levers",
        concluded.LEVERS,
        f"{CELL}; of move and shift those below alone",
        "what compressing, moving and shifting save, each by itself; where there are several zones "
        "or an hourly series",
    ),
    (
        "hourly",
        hourly.HOURLY,
        f"{CELL}, zone",
        "emissions of replays, hour by hour; where a workload is a replay and a zone has an hourly "
        "series",
    ),
    ("cost", variables.COST, "kind", "what the study itself took"),
    (
        "published",
        {name: variables.text(meaning) for name, meaning in published.ABOUT.items()},
        "row",
        "values of publications, the tables of `config/published/`: what others measured, in no "
        "ranking and no mean",
    ),
)
HEAD = """# The dataset

`results/studies/STUDY/study.nc` is a NetCDF-4 file with groups, an `xarray.DataTree`:

    import xarray as xr
    tree = xr.open_datatree("results/studies/quickstart/study.nc")
    tree["energy"].energy.sel(quantization="nf4").sum("component")
    tree["energy"].energy.where(tree["energy"].bits <= 4, drop=True)

Units are spelled for UDUNITS. Cells that were excluded, failed or are missing are NaN, and `status`
says which it is. `component` is cpu, gpu, ram. The attributes of the root hold the study as JSON,
the commit, the version of joulegrid and the schema version; what the study chose for the ranking
are attributes of `ranking`, and zones and PUE are in `carbon`. This page is written by
`scripts/describe_dataset.py`.
"""
COORDINATES = """
## Coordinates
Beside their labels, the axes have coordinates in every group, to select by what labels stand for:
`energy.where(energy.target_sparsity >= 0.5, drop=True)`. A text is empty and a number is NaN where
it is not known, or where the sessions of a label do not agree.

| coordinate | along | unit | meaning |
| --- | --- | --- | --- |
"""
COMBINED = """
## Several studies
`snakemake combine --configfile ONE --config combine="[other, elsewhere/study.nc]"` writes
`combined.nc` and `combined.csv` beside the study's own files: the union of all cells, without an
axis for the study. One label must mean one thing: the attribute `definitions` of each file says
what stands under its labels (files by their content) and how it measured; with these, the devices
that measured, the zones and the PUE are compared, and a difference ends with a message that names
it. A cell that several studies have must have one record, by its `id`, and stands there once.
Nothing is run: what is there counts.

Ranking and emissions are made anew, with what the first study chose. Cells of two studies that ran
weeks apart are compared as if they had been measured in one: drift between the studies is in no
interval (`reference_time` shows it). What a study took (`cost`), its answers (`answering`) and
judges (`judging`), its hours (`grid`), what its points tell (`points`, `lengths`, `tokens`), its
replays (`replay`, `hourly`) and what stands beside its emissions (`footprint`, `levers`) stay in
its own file.
"""


def about(path: str) -> str:
    """What the group at `path` of the tree is; empty of one that this page does not list."""
    name = "samples/TASK" if path.startswith("/samples/") else path.strip("/")
    return {name: what for name, _, _, what in GROUPS}.get(name, "")


def markdown() -> str:
    """The page docs/dataset.md."""
    parts = [HEAD]
    for name, table, dims, about in GROUPS:
        parts.append(f"\n## {name}\n{about[0].upper()}{about[1:]}. Dimensions: {dims}.\n\n")
        parts.append(
            "| variable | unit | further dimensions | meaning |\n| --- | --- | --- | --- |\n"
        )
        parts += [f"{_row(key, variable)}\n" for key, variable in table.items()]
    return "".join([*parts, _coordinates(), COMBINED])


def _coordinates() -> str:
    """What the labels of the axes stand for."""
    rows = [
        f"| {name} | {axis} | {variable.units or ''} | {_meaning(variable)} |\n"
        for axis, table in variables.FACTS.items()
        for name, variable in table.items()
    ]
    return f"{COORDINATES}{''.join(rows)}"


def _row(name: str, variable: Variable) -> str:
    extra = ", ".join(variable.extra)
    return f"| {name} | {variable.units or ''} | {extra} | {_meaning(variable)} |"


def _meaning(variable: Variable) -> str:
    meaning = "; ".join(filter(None, [variable.long_name, variable.comment]))
    if variable.flags:
        flags = ", ".join(f"{code} {flag}" for code, flag in enumerate(variable.flags))
        meaning = f"{meaning}: {flags}"
    return meaning

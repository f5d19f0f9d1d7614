"""Compare the measured cells and account their CO2, from the merged dataset."""

from pathlib import Path

import xarray as xr

from joulegrid.analysis import (
    carbon,
    comparison,
    facts,
    footprint,
    hourly,
    levers,
    metric_changes,
    published,
    ranked,
    storage,
    tokens,
)
from joulegrid.jobs import run
from joulegrid.records import ROOT


def main(arguments, spec):
    """Write study.nc (the measurements with the groups ranking, carbon and what the study has for
    others), ranking.csv and carbon.csv, and tokens.csv where a workload is a sweep.
    """
    tree = storage.read(Path(arguments.measurements))
    ranking = comparison.compare(tree, spec["ranking"])
    zones, grid = carbon.with_series(spec["zones"], ROOT, spec["time_zone"])
    emitted = carbon.account(tree, zones, spec["pue"])
    table = ranked.table(tree, ranking)
    table.to_csv(arguments.ranking, index=False, float_format="%.6g")
    beside = footprint.account(tree, emitted, zones, spec["machines"])
    carbon.table(emitted, beside).to_csv(arguments.carbon, index=False, float_format="%.6g")
    tree["ranking"], tree["carbon"] = xr.DataTree(ranking), xr.DataTree(emitted)
    tree["changes"] = xr.DataTree(metric_changes.account(tree, spec["ranking"]["baseline"]))
    tree["published"] = xr.DataTree(published.read())
    costs = tokens.account(tree, spec["ranking"])
    if costs is not None:
        tree["tokens"] = xr.DataTree(costs)
        tokens.table(costs).to_csv(arguments.tokens, index=False, float_format="%.6g")
    weighed = levers.account(tree, ranking, emitted, grid)
    replayed = hourly.account(tree, spec["zones"], spec["pue"], ROOT)
    groups = {"grid": grid, "footprint": beside, "levers": weighed, "hourly": replayed}
    for name, group in groups.items():
        if group:
            tree[name] = xr.DataTree(group)
    storage.write(facts.along(tree, facts.of_tree(tree)), Path(arguments.study))


if __name__ == "__main__":
    run.conclude(main, "measurements", "study", "ranking", "carbon", optional=("tokens",))

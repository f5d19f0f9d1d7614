"""Compare the measured cells and account their CO2, from the merged dataset."""

from pathlib import Path

import xarray as xr

from joulegrid.analysis import (
    carbon,
    comparison,
    facts,
    footprint,
    levers,
    metric_changes,
    published,
    ranked,
    storage,
)
from joulegrid.jobs import run
from joulegrid.records import ROOT


def main(arguments, spec):
    """Write study.nc (the measurements with the groups ranking, carbon and what the study has for
    others), ranking.csv and carbon.csv.
    """
    tree = storage.read(Path(arguments.measurements))
    ranking = comparison.compare(tree, spec["ranking"])
    zones, grid = carbon.with_series(spec["zones"], ROOT, spec["time_zone"])
    emitted = carbon.account(tree, zones, spec["pue"])
    table = ranked.table(tree, ranking)
    table.to_csv(arguments.ranking, index=False, float_format="%.6g")
    beside = footprint.account(tree, emitted, zones, spec["machines"], spec["new_tokens"])
    carbon.table(emitted, beside).to_csv(arguments.carbon, index=False, float_format="%.6g")
    tree["ranking"], tree["carbon"] = xr.DataTree(ranking), xr.DataTree(emitted)
    tree["changes"] = xr.DataTree(metric_changes.account(tree, spec["ranking"]["baseline"]))
    tree["published"] = xr.DataTree(published.read())
    weighed = levers.account(tree, ranking, emitted, grid)
    for name, group in {"grid": grid, "footprint": beside, "levers": weighed}.items():
        if group:
            tree[name] = xr.DataTree(group)
    storage.write(facts.along(tree, facts.of_tree(tree)), Path(arguments.study))


if __name__ == "__main__":
    run.conclude(main, "measurements", "study", "ranking", "carbon")

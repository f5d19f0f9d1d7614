"""Compare the measured cells and account their CO2, from the merged dataset."""

from pathlib import Path

import xarray as xr

from joulegrid.analysis import carbon, comparison, dataset, facts, published, ranked
from joulegrid.jobs import run
from joulegrid.records import ROOT


def main(arguments, spec):
    """Write study.nc (the measurements with the groups ranking and carbon), ranking.csv and
    carbon.csv.
    """
    tree = dataset.read(Path(arguments.measurements))
    ranking = comparison.compare(tree, spec["ranking"])
    zones, grid = carbon.with_series(spec["zones"], ROOT)
    emitted = carbon.account(tree, zones, spec["pue"])
    table = ranked.table(tree, ranking)
    table.to_csv(arguments.ranking, index=False, float_format="%.6g")
    carbon.table(emitted).to_csv(arguments.carbon, index=False, float_format="%.6g")
    tree["ranking"], tree["carbon"] = xr.DataTree(ranking), xr.DataTree(emitted)
    tree["published"] = xr.DataTree(published.read())
    if grid:
        tree["grid"] = xr.DataTree(grid)
    dataset.write(facts.along(tree, facts.of_tree(tree)), Path(arguments.study))


if __name__ == "__main__":
    run.conclude(main, "measurements", "study", "ranking", "carbon")

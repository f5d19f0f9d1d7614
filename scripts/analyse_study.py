"""Compare the measured cells and account their CO2, from the merged dataset."""

from pathlib import Path

import xarray as xr

from joulegrid.analysis import carbon, comparison, dataset
from joulegrid.jobs import run


def main(arguments, spec):
    """Write study.nc (the measurements with the groups ranking and carbon), ranking.csv and
    carbon.csv.
    """
    tree = dataset.read(Path(arguments.measurements))
    ranked = comparison.compare(tree, spec["ranking"])
    emitted = carbon.account(tree, spec["zones"], spec["pue"])
    table = comparison.table(tree, ranked)
    table.to_csv(arguments.ranking, index=False, float_format="%.6g")
    carbon.table(emitted).to_csv(arguments.carbon, index=False, float_format="%.6g")
    tree["ranking"], tree["carbon"] = xr.DataTree(ranked), xr.DataTree(emitted)
    dataset.write(tree, Path(arguments.study))


if __name__ == "__main__":
    run.conclude(main, "measurements", "study", "ranking", "carbon")

"""Rank the measured cells and account their CO2, from the merged dataset."""

from pathlib import Path

import xarray as xr

from joulegrid import carbon, dataset, jobs, ranking


def main(arguments, spec):
    """Write study.nc (the measurements with the groups ranking and carbon), ranking.csv and carbon.csv."""
    tree = dataset.read(Path(arguments.measurements))
    chosen = spec["ranking"]
    ranked = ranking.rank(tree, chosen["weight"], chosen["baseline"], chosen["metrics"])
    emitted = carbon.account(tree, spec["zones"], spec["pue"])
    table = ranking.table(tree, ranked)
    table.to_csv(arguments.ranking, index=False, float_format="%.6g")
    carbon.table(emitted).to_csv(arguments.carbon, index=False, float_format="%.6g")
    tree["ranking"], tree["carbon"] = xr.DataTree(ranked), xr.DataTree(emitted)
    dataset.write(tree, Path(arguments.study))


if __name__ == "__main__":
    jobs.run(main, "measurements", "study", "ranking", "carbon")

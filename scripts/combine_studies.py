"""Combine the datasets of several studies into one, and rank it."""

import argparse
from pathlib import Path

from joulegrid.analysis import combination, ranked, storage
from joulegrid.errors import InputError
from joulegrid.jobs import run
from joulegrid.records import ROOT
from joulegrid.study.validation import nearest

STUDIES = Path("results/studies")


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="the study whose ranking is chosen")
    parser.add_argument("--others", nargs="*", default=[], help="names, or paths of study.nc")
    parser.add_argument("--output", type=Path, required=True, help="the combined dataset")
    parser.add_argument("--ranking", type=Path, required=True, help="its ranking as CSV")
    arguments = parser.parse_args()
    paths = list(dict.fromkeys(map(file_of, [arguments.study, *arguments.others])))
    if len(paths) < 2:
        raise InputError(
            "combine: with which studies? Name them, or their study.nc: "
            'snakemake combine … --config combine="[other-study, third/study.nc]"'
        )
    tree = combination.combine({str(path): storage.read(ROOT / path) for path in paths})
    table = ranked.table(tree, tree["ranking"].to_dataset())
    table.to_csv(arguments.ranking, index=False, float_format="%.6g")
    storage.write(tree, arguments.output)
    print(f"{len(paths)} studies, {len(table)} cells: {arguments.output}, {arguments.ranking}")


def file_of(name: str) -> Path:
    """The dataset of a study: where its name puts it, or the path that was given."""
    path = Path(name) if name.endswith(".nc") else STUDIES / name / "study.nc"
    if not (ROOT / path).exists():
        known = [found.parent.name for found in sorted((ROOT / STUDIES).glob("*/study.nc"))]
        hint = f"; {nearest(name, known)}" if known and path.parent.parent == STUDIES else ""
        raise InputError(f"{path}: the file is missing; run snakemake on that study first{hint}")
    return path


if __name__ == "__main__":
    run.command(main)

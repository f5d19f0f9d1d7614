"""List models, weights and records that neither a study in config/ nor the one that is given names,
with their sizes, and how to delete them.
"""

import argparse
import json
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.jobs import run
from joulegrid.records import ROOT
from joulegrid.study import sites, unused
from joulegrid.study.conclusions import study_of
from joulegrid.study.study import Study

LIST = Path("results/unused.txt")
SHOWN = 40


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--parts", nargs="+", default=[], help="the files that it was read from")
    arguments = parser.parse_args()
    study = study_of(arguments.study)
    known, wrong = unused.studies(arguments.parts)
    if wrong:
        raise InputError(
            "\n".join([*wrong, "what these studies name is not known: mend or move them first"])
        )
    known.append(study)
    listed = unused.unused(known, sites.artifacts_of(study.data.get("site")))
    found = [each for each in listed if not each.use]
    print(f"studies: {', '.join(sorted({each.name for each in known}))}")
    show(found)
    total = sum(each.size_bytes for each in found)
    print(f"{len(found)} results that no study names, {total / 1e9:.3f} GB")
    if found:
        warn(known)
        text = "".join(f"{shown(each.path)}\n" for each in found)
        (ROOT / LIST).write_text(text, encoding="utf-8")
        print(f"delete them:  xargs -d '\\n' rm -r < {LIST}")
    else:
        (ROOT / LIST).unlink(missing_ok=True)
    for use in sorted({each.use for each in listed} - {""}):
        useful = [each for each in listed if each.use == use]
        size = sum(each.size_bytes for each in useful)
        print(f"{len(useful)} more that no study names stay, {size / 1e9:.3f} GB: {use}")
        show(useful)


def warn(known: list[Study]) -> None:
    """Say which studies were run here whose files are not: a clone that shares the results may have
    them.
    """
    here, there = {each.name for each in known}, ROOT / "results/studies"
    others = sorted(path.name for path in there.glob("*/") if path.name not in here)
    if others:
        print(
            f"before you delete: {', '.join(others)} in results/studies is of no study here; where "
            "another clone shares these results, its studies may name what is listed"
        )


def show(found: list[unused.Unused]) -> None:
    """A line for each, with its size."""
    for each in found[:SHOWN]:
        print(f"{each.size_bytes / 1e6:12.3f} MB  {shown(each.path)}")
    if len(found) > SHOWN:
        print(f"… and {len(found) - SHOWN} more")


def shown(path: Path) -> str:
    """The path relative to the repository where it is inside."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    run.command(main)

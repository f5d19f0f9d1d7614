"""List models, weights and records that no study in config/ names, with their sizes, and how to
delete them.
"""

import argparse
import sys
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study import sites, unused

LIST = Path("results/unused.txt")
SHOWN = 40


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", nargs="+", default=[], help="studies outside config/")
    parser.add_argument("--site")
    arguments = parser.parse_args()
    known, wrong = unused.studies(arguments.configfile)
    if wrong:
        raise InputError(
            "\n".join([*wrong, "what these studies name is not known: mend or move them first"])
        )
    found = unused.unused(known, sites.artifacts_of(arguments.site))
    print(f"studies: {', '.join(sorted({each.name for each in known}))}")
    for each in found[:SHOWN]:
        print(f"{each.size_bytes / 1e6:12.3f} MB  {shown(each.path)}")
    if len(found) > SHOWN:
        print(f"… and {len(found) - SHOWN} more, in {LIST}")
    total = sum(each.size_bytes for each in found)
    print(f"{len(found)} results that no study names, {total / 1e9:.3f} GB")
    if found:
        (ROOT / LIST).write_text(
            "".join(f"{shown(each.path)}\n" for each in found), encoding="utf-8"
        )
        print(f"delete them:  xargs -d '\\n' rm -r < {LIST}")


def shown(path: Path) -> str:
    """The path relative to the repository where it is inside."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")

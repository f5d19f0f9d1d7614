"""The table of docs/planning.md on what sharing saves, for all studies in config/studies. What
other studies have too is counted as if they were complete.
"""

from joulegrid.planning.sharing import ALL, savings
from joulegrid.records import ROOT
from joulegrid.study import study
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs


def main() -> None:
    """Print the table."""
    specs = [Specs(study.load([path])) for path in sorted((ROOT / "config/studies").glob("*.yaml"))]
    ids = {each.study.name: {job.id for job in jobs_of(each)} for each in specs}
    print("| study | cells | what | alone | shared | saved |")
    for each in specs:
        name = each.study.name
        others = set().union(*(found for other, found in ids.items() if other != name))
        shown = f"{name} | {len(each.study.cells):,}"
        for row in savings(each, ids[name] & others):
            saved = row.alone - row.shared
            if saved or row.what == ALL:
                print(
                    f"| {shown} | {row.what} | {row.alone:,} {row.unit} | {row.shared:,} |"
                    f" {saved / row.alone:.0%} |"
                )
                shown = " |"


if __name__ == "__main__":
    main()

"""The table of docs/planning.md on what sharing saves, for all studies in config/studies. In its
last column what the other studies have too is counted as done.
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
    print("| study | cells | on its own | shared | of these | with the others' results |")
    print("| --- | --- | --- | --- | --- | --- |")
    for each in specs:
        name = each.study.name
        others = set().union(*(found for other, found in ids.items() if other != name))
        *rows, everything = savings(each)
        assert everything.what == ALL
        told = [
            f"{row.what}: {row.shared:,} instead of {row.alone:,} {row.unit}"
            for row in rows
            if row.shared < row.alone
        ]
        left = savings(each, ids[name] & others)[-1].shared
        print(
            f"| {name} | {len(each.study.cells):,} | {everything.alone:,} |"
            f" {everything.shared:,} | {'; '.join(told) or '–'} | {left:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

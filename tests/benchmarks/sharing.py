"""The tables of docs/planning.md and docs/studies.md on what sharing saves, for all studies in
config/studies: jobs, and in brackets hours of those that are predicted, by defaults. In the last
column what the other studies have too is counted as done. What is known not to fit is left out; of
a study that selects trained models the most that may go on is counted.
"""

from functools import cache

from joulegrid.planning import infeasible, making
from joulegrid.planning.cells import judged
from joulegrid.planning.sharing import ALL, Saving, savings
from joulegrid.planning.sizes import architecture_of
from joulegrid.records import ROOT
from joulegrid.study import study
from joulegrid.study.grid import Cell
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.shelf import jobs_of, sent
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
        unfit, loops = infeasible.of_study(each), each.study.loops
        cells = each.study.cells if loops is None else loops.cells(loops.most())
        seconds = seconds_of(each, unfit)
        *rows, everything = savings(each, frozenset(), seconds, unfit.keys())
        assert everything.what == ALL
        told = [said(row) for row in rows if row.shared < row.alone]
        left = savings(each, ids[name] & others, seconds, unfit.keys())[-1].shared
        print(
            f"| {name} | {len(cells):,} | {everything.alone:,} |"
            f" {everything.shared:,} | {'; '.join(told) or '–'} | {left:,} |",
            flush=True,
        )


def seconds_of(specs: Specs, unfit: Infeasible) -> dict[str, float]:
    """Path of a job -> how long it takes, of those that are predicted by defaults."""
    jobs = sent(jobs_of(specs), unfit)
    sessions = {c.cell: c.session for c in judged(specs.study, {}, unfit) if c.session}
    model_of = cache(lambda label: architecture_of(specs.study.data["model"][label]))
    return making.by_default(specs, jobs, None, model_of) | {
        job.path: sessions[cell].seconds
        for job in jobs
        if job.kind == "energy" and (cell := Cell(*job.labels[:-1])) in sessions
    }


def said(row: Saving) -> str:
    """A kind of sharing in words."""
    hours = f" ({row.hours:.3g} h)" if row.hours else ""
    return f"{row.what}: {row.shared:,} instead of {row.alone:,} {row.unit}{hours}"


if __name__ == "__main__":
    main()

"""After an edit, a copy or an upgrade exactly what it invalidates is wanted: none too many, none
too few.
"""

from collections import Counter

import pytest

from helpers import house
from workflow.rerun_table import ROWS, STEPS


def compare(jobs, compute, steps):
    """The same whichever way the jobs were found."""
    found = {job for job in jobs if job[0] not in STEPS}
    assert found - compute == set(), "false reruns"
    assert compute - found == set(), "missed reruns"
    assert {script for script, _ in jobs if script in STEPS} == steps


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if "there and back" in n else []) for n in ROWS],
)
def test_a_row_of_the_table(own, name):
    edit, compute, steps = ROWS[name]
    place, data = own
    edit(place, data)
    compare(house.wanted(place), compute, steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_table_by_a_real_dry_run(own, name):
    edit, compute, steps = ROWS[name]
    place, data = own
    edit(place, data)
    jobs = house.planned(place)
    count = Counter(script for script, _ in jobs)
    listed = ", ".join(f"{number} {script}" for script, number in sorted(count.items()))
    print(f"\n{name}: {listed or 'nothing'}")
    compare(jobs, compute, steps)

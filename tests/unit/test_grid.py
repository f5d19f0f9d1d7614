"""include keeps, exclude drops, a rule matches where all its axes do."""

import pytest

from joulegrid.study import grid

AXES = {
    axis: {"a": {}, "b": {}} if axis in ("model", "hardware") else {"x": {}}
    for axis in grid.CELL_AXES
}


@pytest.mark.parametrize(
    ("include", "exclude", "kept"),
    [
        ([], [], {"aa", "ab", "ba", "bb"}),
        ([], [{"model": "a"}], {"ba", "bb"}),
        ([], [{"model": "a", "hardware": "b"}], {"aa", "ba", "bb"}),
        ([], [{"model": ["a", "b"], "hardware": "b"}], {"aa", "ba"}),
        ([{"model": "a"}], [], {"aa", "ab"}),
        ([{"model": "a"}, {"hardware": "b"}], [], {"aa", "ab", "bb"}),
        ([{"model": "a"}], [{"hardware": "a"}], {"ab"}),
    ],
)
def test_rules(include, exclude, kept):
    assert {c.model + c.hardware for c in grid.cells(AXES, include, exclude)} == kept

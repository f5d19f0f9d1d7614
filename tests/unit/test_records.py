"""Records are whole or not there, and what cannot be read says so."""

import json

import pytest

from joulegrid import records
from joulegrid.errors import InputError


def test_a_failed_write_leaves_the_old_record_and_no_litter(tmp_path):
    path = tmp_path / "r.json"
    records.write_json(path, {"schema_version": 2, "x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write_json(path, {"x": float("nan")})
    assert records.read_json(path) == {"schema_version": 2, "x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "not JSON"),
        ('{"schema_version": 99}', "schema_version is 99"),
        ("[]", "schema_version is None"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, text, part):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=part):
        records.read_json(path)


def test_equal_specs_have_equal_texts_whatever_the_order_of_keys():
    assert records.canonical_json({"a": 1, "b": [2]}) == records.canonical_json(
        json.loads('{"b": [2], "a": 1}')
    )

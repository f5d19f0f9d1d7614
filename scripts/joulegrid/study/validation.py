"""Check a study or site file against its JSON schema, fill in the defaults, and say in plain words what is wrong."""

import difflib
import json
import math
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from joulegrid.records import ROOT, InputError

SCHEMAS = ROOT / "config" / "schemas"


@cache
def _schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def check(name: str, data: Any, where: str) -> dict[str, Any]:
    """Validate `data` against config/schemas/{name}.schema.json.

    Parameters
    ----------
    where
        the file that `data` comes from, for the message.

    Returns
    -------
    A copy of `data` with the schema's defaults filled in.

    Raises
    ------
    InputError
        with one line per thing that is wrong: file, key path, what was expected, the nearest valid name.
    """
    schema = _schema(name)
    errors = sorted(Draft202012Validator(schema).iter_errors(data), key=lambda e: [str(p) for p in e.absolute_path])
    found = [*_not_finite(data), *(line for error in errors for line in _explain(error))]
    lines = list(dict.fromkeys(f"{where}: {line}" for line in found))
    if lines:
        raise InputError("\n".join(lines))
    return _with_defaults(schema, data, schema["$defs"])


def _not_finite(data: Any, path: str = "") -> list[str]:
    """Lines for .nan and .inf, which YAML has and which are no number of anything here."""
    if isinstance(data, float) and not math.isfinite(data):
        return [f"{path}: got {data}; expected a finite number"]
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [line for key, value in items for line in _not_finite(value, f"{path}.{key}" if path else str(key))]


def nearest(name: Any, valid) -> str:
    """`; did you mean 'x'?` where one of `valid` is close to `name`, else the list of what is valid."""
    valid = [str(v) for v in valid]
    close = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(valid[:12]) + (", …" if len(valid) > 12 else "")
    return f"valid: {shown or 'nothing yet'}{hint}"


def _explain(error) -> list[str]:
    """One validation error as lines `key.path: what is wrong; what was expected`."""
    path = ".".join(str(p) for p in error.absolute_path)
    at = f"{path}: " if path else ""
    schema, got = error.schema, error.instance
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        inside = f"{path}." if path else ""
        return [f"{inside}{key}: unknown key; {nearest(key, known)}" for key in got if key not in known]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in got]
        return [f"{at}the key {key!r} is missing" + _expected(schema.get("properties", {}).get(key)) for key in missing]
    if error.validator in ("enum", "const"):
        return [f"{at}got {_show(got)}; {nearest(got, schema.get('enum', [schema.get('const')]))}"]
    if error.validator == "dependentRequired":
        return [f"{at}{error.message.split(' is a dependency of ')[0]} is missing beside the other keys given here"]
    if "propertyNames" in error.absolute_schema_path:
        return [f"{at}the key {_show(got)} is not allowed{_expected(schema)}{_yaml_trap(got)}"]
    if error.validator == "type" and not schema.get("expected"):
        trap = _yaml_trap(got) if schema["type"] == "string" else ""
        return [f"{at}got {_show(got)}; expected {_kind(schema)}{trap}"]
    trap = _yaml_trap(got) if schema.get("type") == "string" else ""
    return [f"{at}got {_show(got)}{_expected(schema) or f'; {error.message}'}{trap}"]


def _expected(schema: dict | None) -> str:
    text = (schema or {}).get("expected") or (schema or {}).get("description")
    return f"; expected {text}" if text else ""


def _kind(schema: dict) -> str:
    kinds = {
        "object": "a mapping (key: value)",
        "array": "a list",
        "string": "a text",
        "integer": "a whole number",
    }
    kind = schema["type"]
    text = f" ({schema['description']})" if schema.get("description") else ""
    return kinds.get(kind, f"a {kind}") + text


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _yaml_trap(value: Any) -> str:
    """YAML 1.1 reads NO, on, n as booleans and 2:4 as a number: say so where the value looks like that."""
    if isinstance(value, bool):
        return " (YAML reads yes, no, on, off, y and n as true or false: put it in quotes)"
    if isinstance(value, int | float):
        return " (a number where a text belongs: put it in quotes)"
    return ""


def _with_defaults(schema: dict, data: Any, defs: dict) -> Any:
    """A copy of valid `data` with every default of the branches of `schema` that apply to it."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].removeprefix("#/$defs/")]
    if schema.get("type") == "integer" and isinstance(data, float):
        return int(data)  # 3.0 is a whole number to JSON schema: one spelling, one spec
    if isinstance(data, list):
        return [_with_defaults(schema.get("items", {}), item, defs) for item in data]
    if not isinstance(data, dict):
        return data
    properties = schema.get("properties", {})
    filled = {key: part["default"] for key, part in properties.items() if "default" in part} | data
    others = schema.get("additionalProperties")
    for key, value in filled.items():
        part = properties.get(key, others if isinstance(others, dict) else {})
        filled[key] = _with_defaults(part, value, defs)
    for branch in schema.get("allOf", []):
        if Draft202012Validator({**branch["if"], "$defs": defs}).is_valid(data):
            filled = _with_defaults(branch["then"], filled, defs)
    return filled

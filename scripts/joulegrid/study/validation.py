"""Check a study or site file against its JSON schema, fill in defaults, say in plain words what is
wrong.

Beside the standard keywords the schemas have two of our own: `expected` says for people what is
expected, and `file` marks a value that names a file or folder, with its kind.
"""

import difflib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from joulegrid.errors import InputError
from joulegrid.records import ROOT

SCHEMAS = ROOT / "config" / "schemas"
# Fewer letters at the begin of a name are chance
LEAST_BEGUN = 3


@cache
def schema_of(name: str) -> dict[str, Any]:
    """config/schemas/{name}.schema.json."""
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


@cache
def _validator(name: str, whole: bool = True) -> Draft202012Validator:
    schema = schema_of(name)
    return Draft202012Validator(schema if whole else {**schema, "required": []})


def check(name: str, data: Any, where: str) -> dict[str, Any]:
    """Validate `data` against a schema.

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
        with one line per thing that is wrong: file, key path, what was expected, the nearest valid
        name.
    """
    _refuse(_validator(name), data, where)
    return _Walk(schema_of(name)).with_defaults(data)


def check_part(name: str, data: Any, where: str) -> None:
    """Validate some of a file's sections, where the rest stands elsewhere; raises as `check`
    does.
    """
    _refuse(_validator(name, whole=False), data, where)


def _refuse(validator: Draft202012Validator, data: Any, where: str) -> None:
    """Raise as `check` does."""
    errors = sorted(validator.iter_errors(data), key=lambda e: [str(p) for p in e.absolute_path])
    lines_of_errors = (line for error in _telling(errors) for line in _explain(error))
    found = [*_not_finite(data), *lines_of_errors]
    lines = list(dict.fromkeys(f"{where}: {line}" for line in found))
    if lines:
        raise InputError("\n".join(lines))


def _telling(errors: list[Any]) -> list[Any]:
    """Of a value of the wrong kind the first error alone: what further rules say of it, of the keys
    of a mapping that is none, contradicts that.
    """
    wrong: dict[tuple, Any] = {}
    for error in sorted(errors, key=lambda e: len(e.absolute_schema_path)):
        if error.validator == "type":
            wrong.setdefault(tuple(error.absolute_path), error)
    return [e for e in errors if wrong.get(tuple(e.absolute_path), e) is e]


def files_in(name: str, data: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """(keys, kind, path) of every value of valid `data` that names a file or folder."""
    yield from _Walk(schema_of(name)).files(data)


class _Walk:
    """Walks data together with the parts of its schema that apply to it."""

    def __init__(self, schema: dict[str, Any]):
        self.schema, self.definitions = schema, schema["$defs"]
        self._conditions: dict[int, Draft202012Validator] = {}

    def _applying(self, schema: dict[str, Any], data: Any) -> Iterator[dict[str, Any]]:
        """`schema`, what it refers to, and the branches whose condition `data` fulfils."""
        yield schema
        if "$ref" in schema:
            yield from self._applying(
                self.definitions[schema["$ref"].removeprefix("#/$defs/")], data
            )
        for branch in schema.get("allOf", ()):
            if self._condition(branch["if"]).is_valid(data):
                yield from self._applying(branch["then"], data)

    def _condition(self, schema: dict[str, Any]) -> Draft202012Validator:
        if id(schema) not in self._conditions:
            self._conditions[id(schema)] = Draft202012Validator(schema)
        return self._conditions[id(schema)]

    def _inner(self, parts: list[dict], key: str) -> dict[str, Any]:
        """The schema of the value under `key`."""
        for part in parts:
            if key in part.get("properties", {}):
                return part["properties"][key]
        others = [
            p["additionalProperties"]
            for p in parts
            if isinstance(p.get("additionalProperties"), dict)
        ]
        return others[0] if others else {}

    def with_defaults(self, data: Any, schema: dict | None = None) -> Any:
        parts = list(self._applying(self.schema if schema is None else schema, data))
        if isinstance(data, float) and any(part.get("type") == "integer" for part in parts):
            return int(data)  # 3.0 is a whole number to JSON schema: one spelling, one spec
        if isinstance(data, list):
            items: dict[str, Any] = next((part["items"] for part in parts if "items" in part), {})
            return [self.with_defaults(item, items) for item in data]
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        for part in parts:
            for key, inner in part.get("properties", {}).items():
                default = self._keyword(inner, "default")
                if default is not None:
                    filled.setdefault(key, default)
        return {
            key: self.with_defaults(value, self._inner(parts, key)) for key, value in filled.items()
        }

    def _keyword(self, schema: dict[str, Any], name: str) -> Any:
        """A keyword of a schema, or of what it refers to."""
        if name in schema or "$ref" not in schema:
            return schema.get(name)
        return self._keyword(self.definitions[schema["$ref"].removeprefix("#/$defs/")], name)

    def files(
        self, data: Any, schema: dict | None = None, keys: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], str, str]]:
        parts = list(self._applying(self.schema if schema is None else schema, data))
        kind = next((part["file"] for part in parts if isinstance(part.get("file"), str)), None)
        if kind and isinstance(data, str):
            yield keys, kind, data
        if isinstance(data, dict):
            for key, value in data.items():
                yield from self.files(value, self._inner(parts, key), (*keys, key))


def _not_finite(data: Any, path: str = "") -> list[str]:
    """Lines for .nan and .inf, which YAML has and which are no number of anything here."""
    if isinstance(data, float) and not math.isfinite(data):
        return [f"{path}: got {data}; expected a finite number"]
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
    return [
        line
        for key, value in items
        for line in _not_finite(value, f"{path}.{key}" if path else str(key))
    ]


def nearest(name: Any, valid: Any) -> str:
    """The list of what is valid, and `; did you mean 'x'?` where one of it is close to `name`."""
    valid = [str(v) for v in valid]
    close = _begun(str(name), valid) or difflib.get_close_matches(str(name), valid, 1, 0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(valid[:12]) + (", …" if len(valid) > 12 else "")
    return f"valid: {shown or 'nothing yet'}{hint}"


def _begun(name: str, valid: list[str]) -> list[str]:
    """Of what begins with `name`, or `name` with it, the one of the nearest length: `rate_per_s`
    for rate, which is spelled more like trace.
    """
    found = [
        v
        for v in valid
        if min(len(v), len(name)) >= LEAST_BEGUN and (v.startswith(name) or name.startswith(v))
    ]
    return sorted(found, key=lambda v: abs(len(v) - len(name)))[:1]


def _explain(error: Any) -> list[str]:
    """One validation error as lines `key.path: what is wrong; what was expected`."""
    path = ".".join(str(p) for p in error.absolute_path)
    at = f"{path}: " if path else ""
    explain: Callable[[Any, str], list[str]] | None = _EXPLANATIONS.get(error.validator)
    if "propertyNames" in error.absolute_schema_path:
        got = error.instance
        return [
            f"{at}the key {_show(got)} is not allowed{_expected(error.schema)}{_yaml_trap(got)}"
        ]
    if explain is not None:
        return explain(error, path)
    schema, got = error.schema, error.instance
    trap = _yaml_trap(got) if schema.get("type") == "string" else ""
    if error.validator == "type" and not schema.get("expected"):
        return [f"{at}got {_show(got)}; expected {_kind(schema)}{trap}"]
    return [f"{at}got {_show(got)}{_expected(schema) or f'; {error.message}'}{trap}"]


def _unknown_keys(error: Any, path: str) -> list[str]:
    known = list(error.schema.get("properties", {}))
    inside = f"{path}." if path else ""
    return [
        f"{inside}{key}: unknown key; {nearest(key, known)}"
        for key in error.instance
        if key not in known
    ]


def _missing_keys(error: Any, path: str) -> list[str]:
    properties, at = error.schema.get("properties", {}), f"{path}: " if path else ""
    missing = [key for key in error.validator_value if key not in error.instance]
    return [f"{at}the key {key!r} is missing{_expected(properties.get(key))}" for key in missing]


def _not_among(error: Any, path: str) -> list[str]:
    valid = error.schema.get("enum", [error.schema.get("const")])
    return [f"{path}: got {_show(error.instance)}; {nearest(error.instance, valid)}"]


def _empty(error: Any, path: str) -> list[str]:
    return [f"{path}: it is empty{_expected(error.schema) or '; expected at least one key'}"]


def _dependent(error: Any, path: str) -> list[str]:
    lacking, at = error.message.split(" is a dependency of ")[0], f"{path}: " if path else ""
    return [f"{at}{lacking} is missing beside the other keys given here"]


_EXPLANATIONS = {
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "enum": _not_among,
    "const": _not_among,
    "dependentRequired": _dependent,
    "minProperties": _empty,
}


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
    text = f" ({schema['description']})" if schema.get("description") else ""
    return kinds.get(schema["type"], f"a {schema['type']}") + text


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _yaml_trap(value: Any) -> str:
    """YAML 1.1 reads NO, on, n as booleans and 2:4 as a number: say so where the value looks like
    that.
    """
    if isinstance(value, bool):
        return " (YAML reads yes, no, on, off, y and n as true or false: put it in quotes)"
    if isinstance(value, int | float):
        return " (a number where a text belongs: put it in quotes)"
    return ""

"""The table of a replay's requests, as Parquet beside its record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joulegrid.records import in_one_step

# name -> (type in Arrow, what it is); seconds count from the begin of the replay
COLUMNS = {
    "request": ("int64", "position in the order of arrival, from 0"),
    "arrival_s": ("float64", "when it arrived"),
    "started_s": ("float64", "when the engine took it up; null where it had not, or does not say"),
    "first_token_s": ("float64", "when its first token was there; null likewise"),
    "done_s": ("float64", "when it was complete; null where it was not finished"),
    "tokens_read": ("int64", "tokens of its prompt"),
    "tokens_written": ("int64", "tokens that were generated"),
    "padding": ("int64", "positions that were computed for it beside prompt and answer"),
}


def rows(
    requests: Sequence[Any], found: Mapping[int, Any], begun: Mapping[int, float] | None = None
) -> list[dict[str, Any]]:
    """One row per request, never its text: what is known of the completions by position.

    Parameters
    ----------
    begun
        when those were taken up that are not complete, s, by position.
    """
    at = begun or {}
    return [_row(n, request, found.get(n), at.get(n)) for n, request in enumerate(requests)]


def _row(number: int, request: Any, done: Any, begun_s: float | None) -> dict[str, Any]:
    said = {name: getattr(done, name) if done else None for name in list(COLUMNS)[2:]}
    if done is None:
        said["started_s"] = begun_s
    return {"request": number, "arrival_s": request.arrival_s, **said}


def write(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """Write rows in one step: a reader never sees half a file."""
    import pyarrow as pa  # most sessions write none
    import pyarrow.parquet as pq

    fields = [pa.field(name, pa.type_for_alias(kind)) for name, (kind, _) in COLUMNS.items()]
    columns = {name: [row[name] for row in table] for name in COLUMNS}
    with in_one_step(path) as temporary:
        pq.write_table(pa.table(columns, schema=pa.schema(fields)), temporary)

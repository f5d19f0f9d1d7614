"""Whether what belongs together in the data of a training stays together."""

from typing import Any

from joulegrid.errors import InputError
from joulegrid.texts.rows import parts_of


def check_groups(entry: dict[str, Any]) -> None:
    """Refuse data of which a group would both train and validate: where all rows that are used have
    one value of `split_by`, they are split as if none were given.

    Raises
    ------
    InputError
        where that is so, or the data cannot be split at all.
    """
    data = entry["data"]
    if "split_by" not in data:
        return
    parts, _ = parts_of(data, entry["seed"])
    groups = [{sample.group for sample in part} for part in parts]
    if groups[0] & groups[1]:
        raise InputError(
            f"{data['file']['path']}: all {sum(map(len, parts))} samples have one value of "
            f"split_by, {data['split_by']!r}, and cannot be split into training and validation; "
            "expected two values at least, or no split_by"
        )

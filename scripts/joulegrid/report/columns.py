"""The columns of the ranking, once for the CSV file, the terminal and the page."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from joulegrid.study.grid import CELL_AXES


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    key
        its name in ranking.csv, where numbers stand unscaled in SI units.
    unit
        what people see it in; the number is divided by `scale` for it.
    format
        of a number for people, as `format(number, …)` takes it; of a text, empty.
    brief
        whether the terminal shows it.
    """

    key: str
    title: str
    unit: str
    format: str
    explanation: str
    scale: float = 1.0
    brief: bool = True

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def show(self, value: Any) -> str:
        """A value for people; – where there is none."""
        if value is None or value is pd.NA or value == "" or value != value:
            return "–"
        return format(value / self.scale, self.format) if self.format else str(value)


RANKING = (
    Column(
        "rank",
        "rank",
        "",
        ".0f",
        "within its place; 1 is best; shared where sessions and samples tell no difference",
    ),
    Column(
        "energy_per_token", "energy", "J/token", ".4g", "per generated token, mean over sessions"
    ),
    Column(
        "energy_per_token_ci95",
        "± 95 %",
        "J/token",
        ".2g",
        "half width of the 95 % interval over sessions",
    ),
    Column(
        "net_energy_per_token",
        "above idle",
        "J/token",
        ".4g",
        "per generated token, without what the machine takes with the model loaded and nothing to "
        "do; – where that was not measured, or was disturbed",
        brief=False,
    ),
    Column("tokens_per_s", "speed", "tokens/s", ".4g", "generated tokens per second"),
    Column(
        "efficiency",
        "saved φ",
        "",
        "+.3f",
        "share of energy saved against the baseline of the place",
    ),
    Column(
        "efficiency_ci95",
        "± φ",
        "",
        ".2g",
        "half width of the 95 % interval of φ, sessions compared in pairs on one board",
    ),
    Column(
        "saves_probability",
        "P(φ > 0)",
        "",
        ".2f",
        "probability that energy is saved, over sessions",
        brief=False,
    ),
    Column(
        "quality",
        "quality ρ",
        "",
        "+.3f",
        "mean relative change of the metrics for the better, against the baseline",
    ),
    Column(
        "quality_ci95",
        "± ρ",
        "",
        ".2g",
        "half width of the 95 % interval of ρ, configurations compared on the same samples",
    ),
    Column(
        "best_probability",
        "P(best)",
        "",
        ".0%",
        "probability to have the highest score of its place, over sessions and samples",
        brief=False,
    ),
    Column("score", "score R", "", "+.3f", "w·φ + (1 − w)·ρ, or of their min-max terms"),
    Column(
        "estimated_share", "estimated", "", ".0%", "share of the energy that no counter measured"
    ),
    Column(
        "energy_per_prompt_token",
        "prefill",
        "J/prompt token",
        ".4g",
        "energy of reading the prompts and one token, per prompt token",
    ),
    Column(
        "energy_per_decoded_token",
        "decode",
        "J/token",
        ".4g",
        "energy of the tokens behind the first, per token",
    ),
    Column("weights_size", "loaded", "MB", ".1f", "memory of the loaded weights", scale=1e6),
    Column(
        "sparsity",
        "zeros",
        "",
        ".2f",
        "share of zeros in the linear layers; a dense kernel multiplies them too",
    ),
    Column("making_time", "made in", "s", ".4g", "wall time of pruning and quantizing"),
    Column(
        "paid_off_after",
        "paid off after",
        "10⁶ tokens",
        ".3g",
        "generated tokens after which the energy of making the weights, beyond that of the "
        "baseline's, is saved",
        scale=1e6,
        brief=False,
    ),
    Column(
        "peak_memory",
        "peak memory",
        "GB",
        ".3g",
        "of the GPUs, or where there is none, of the process",
        scale=1e9,
        brief=False,
    ),
    Column(
        "selection",
        "selection",
        "",
        "",
        "whether a trained model goes on to the second loop, and what is made for one that does",
    ),
    Column("kernel", "kernels", "", "", "what the linear layers computed with", brief=False),
    Column("gpu", "GPU", "", "", "names of the GPUs that measured", brief=False),
)
NOTE = Column("note", "note", "", "", "why there is no number, or what to know of it")


def of_metrics(names: Iterable[str]) -> list[Column]:
    """The columns of quality metrics, TASK.METRIC."""
    return [Column(name, name, "", ".4g", "value of the quality metric") for name in names]


def of_axes(rows: pd.DataFrame, compared: Collection[str] = CELL_AXES) -> list[Column]:
    """The columns of the axes on which the rows of a table differ; at least the quantization. What
    is not compared is one for all rows of a place and stands in its name: shown on request.
    """
    varying = [axis for axis in CELL_AXES if rows[axis].nunique() > 1] or ["quantization"]
    return [
        Column(axis, axis, "", "", f"label of the {axis}", brief=axis in compared)
        for axis in varying
    ]


def places(frame: pd.DataFrame, compared: Iterable[str]) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each place, with its name: the labels of the axes on which places differ."""
    axes = [axis for axis in CELL_AXES if axis not in set(compared)]
    if not axes:
        return [("", frame)]
    naming = [axis for axis in axes if frame[axis].nunique() > 1]
    return [
        (" · ".join(str(rows[axis].iloc[0]) for axis in naming), rows)
        for _, rows in frame.groupby(axes, sort=True)
    ]

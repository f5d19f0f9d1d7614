"""Print the ranked table of a study and say where its report is: show_ranking.py results/STUDY."""

import csv
import sys
from pathlib import Path

COLUMNS = {
    "rank": "rank",
    "energy_per_token": "J/token",
    "energy_per_token_ci95": "±95%",
    "tokens_per_s": "tokens/s",
    "efficiency": "saved φ",
    "quality": "quality ρ",
    "score": "score R",
    "weights_size": "MB",
    "sparsity": "zeros",
    "making_time": "made in s",
    "note": "note",
}
AXES = ("model", "training", "pruning", "quantization", "hardware", "engine", "workload")


def main(folder: Path) -> None:
    """Print the columns that say something: axes with one label are left out."""
    with open(folder / "ranking.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    axes = [axis for axis in AXES if len({row[axis] for row in rows}) > 1]
    metrics = [name for name in rows[0] if "." in name]
    keys = ["rank", *axes, *list(COLUMNS)[1:-1], *metrics, "note"]
    lines = [[COLUMNS.get(key, key) for key in keys]] + [[_shown(key, row[key]) for key in keys] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(keys))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    print(f"\nreport:  {folder / 'report.html'}\ndataset: {folder / 'study.nc'}")


def _shown(key: str, text: str) -> str:
    """A cell of the table: bytes as MB, numbers with four digits."""
    if key == "weights_size" and text:
        return f"{float(text) / 1e6:.1f}"
    try:
        return text if text.isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1], "ranking.csv").is_file():
        sys.exit("usage: show_ranking.py results/STUDY (a study that has a ranking.csv)")
    main(Path(sys.argv[1]))

"""The table of the tests on GPUs: one figure a row, written anew with each, so that a run that ends
early leaves what it has.
"""

import csv
from pathlib import Path

COLUMNS = ("test", "what", "value", "unit", "remark")


class Table:
    """Rows, in table.tsv and table.md of a folder."""

    def __init__(self, folder: Path):
        self.folder, self.rows = folder, []

    def add(self, test, what, value, unit="", remark=""):
        """Add a row; numbers are kept to four digits."""
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        self.rows.append((test, what, text, unit, " ".join(str(remark).split())))
        with open(self.folder / "table.tsv", "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
            writer.writerows([COLUMNS, *self.rows])
        lines = [COLUMNS, ["---"] * len(COLUMNS), *self.rows]
        text = "".join(
            f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in lines
        )
        (self.folder / "table.md").write_text(text, encoding="utf-8")

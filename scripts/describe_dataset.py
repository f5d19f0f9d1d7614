"""Write docs/dataset.md out of the tables that the dataset's attributes come from."""

from joulegrid.analysis.describe import markdown
from joulegrid.records import ROOT

if __name__ == "__main__":
    (ROOT / "docs/dataset.md").write_text(markdown(), encoding="utf-8")

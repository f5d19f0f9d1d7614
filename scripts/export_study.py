"""Write what a study found for other programs: tidy tables, a ranking to print, a data-set card."""

from pathlib import Path

from joulegrid.analysis import comparison, export, published, storage
from joulegrid.jobs import run


def main(arguments, spec):
    """Write measurements.csv, measurements.parquet, ranking.csv, ranking.md, ranking.tex,
    beside.csv and README.md into --folder.
    """
    tree = storage.read(Path(arguments.study))
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    sessions = export.sessions(tree)
    sessions.to_csv(folder / "measurements.csv", index=False)
    sessions.to_parquet(folder / "measurements.parquet", index=False)
    table = export.ranking(tree)
    table.to_csv(folder / "ranking.csv", index=False)
    (folder / "ranking.md").write_text(export.markdown(table), encoding="utf-8")
    (folder / "ranking.tex").write_text(export.latex(table), encoding="utf-8")
    published.beside(tree).to_csv(folder / "beside.csv", index=False, float_format="%.6g")
    baseline = comparison.chosen_in(tree["ranking"].attrs)["baseline"]
    (folder / "README.md").write_text(
        export.card(tree, sessions, table, baseline), encoding="utf-8"
    )
    run.say(f"exported: {folder}")


if __name__ == "__main__":
    run.run(main, "study", "folder")

"""Put files of benchmarks into a folder with the tasks that read them: place_benchmarks.py DATA
FOLDER. DATA holds hellaswag.jsonl, wikitext.txt and the like; the tasks are those of
config/tasks/benchmarks whose files are there.

Task and data lie in one folder, so that a study that names it knows both by their content.
"""

import os
import shutil
import sys
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.jobs import run
from joulegrid.records import ROOT

TASKS = ROOT / "config/tasks/benchmarks"
# What stands in a task for the folder that it is placed in
PLACE = "FOLDER"


def main(data: Path, folder: Path) -> None:
    """Copy every file that a task reads, and these tasks with what they include."""
    files = {task: _file_of(task) for task in sorted(TASKS.glob("*.task"))}
    found = {task: data / name for task, name in files.items() if (data / name).is_file()}
    if not found:
        raise InputError(f"{data}: none of {', '.join(files.values())} is there")
    folder.mkdir(parents=True, exist_ok=True)
    for path in TASKS.iterdir():
        if path.is_file() and path.suffix not in (".task", ".md"):
            shutil.copyfile(path, folder / path.name)
    for task, file in found.items():
        # not its mode: what is read-only there could not be placed again
        shutil.copyfile(file, folder / files[task])
        text = task.read_text(encoding="utf-8").replace(PLACE, folder.as_posix())
        (folder / f"{task.stem}.yaml").write_text(text, encoding="utf-8")
        print(f"{task.stem}: {folder / files[task]}")


def _file_of(task: Path) -> str:
    """The name of the file that a task reads."""
    return task.read_text(encoding="utf-8").partition(f"{PLACE}/")[2].partition("}")[0]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: place_benchmarks.py DATA FOLDER (FOLDER relative to the repository)")
    source = Path(sys.argv[1]).resolve()
    os.chdir(ROOT)
    run.command(lambda: main(source, Path(sys.argv[2])))

"""What sbatch is told of when jobs run: earlier sessions go first, and with a deadline the jobs of
a round have the begin that the plan says.

The executor plugin is the real one; in the place of Slurm's commands stand scripts that note what
they were told and take no job. What Slurm makes of it is in tests/slurm.
"""

import csv
import os
import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from helpers import house

SLURM = (
    *("--profile", "slurm", "--retries", "0", "--latency-wait", "1"),
    *("--slurm-init-seconds-before-status-checks", "1"),
)
SBATCH = '#!/bin/sh\nprintf "%s\\n" "$*" >> "$SBATCH_LOG"\necho "not today" >&2\nexit 1\n'
BOARD = {"device": "cuda", "gpu": "A30"}


@pytest.fixture
def waiting(study_data, tmp_path, monkeypatch):
    """A house whose study has sessions on a board to run, and a forecast: clean from the fifth hour
    on. What sbatch is told is noted.
    """
    place = house.copy_project(tmp_path / "house")
    house.put_stand_in(place)
    shutil.copy(house.ROOT / "config/models/llama-3.2-1b.json", place / "config/model/config.json")
    quantization = {k: study_data["quantization"][k] for k in ("fp32", "nf4")}
    quality = {"text": study_data["quality"]["text"]}
    study_data |= {"quantization": quantization, "quality": quality}
    study_data |= {"hardware": {"board": BOARD}, "pruning": {"none": {"method": "none"}}}
    study_data["model"]["tiny"]["path"] = "config/model"
    house.write_study(place, study_data)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    lines = [f"{now + timedelta(hours=n):%Y-%m-%dT%H:%M},{50 if n > 4 else 500}" for n in range(48)]
    (place / "config/hours.csv").write_text("\n".join(["time,grams", *lines, ""]))
    (place / "config/sites/test.yaml").write_text(
        "forecast: config/hours.csv\nat_once: {board: 2}\n"
        "hardware:\n  board: {slurm_partition: a, slurm_extra: --exclusive}\n"
    )
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scancel", "sinfo", "sacctmgr", "scontrol"):
        (commands / name).write_text(SBATCH if name == "sbatch" else "#!/bin/sh\nexit 0\n")
        (commands / name).chmod(0o755)
    told = tmp_path / "told"
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setenv("SBATCH_LOG", str(told))
    return place, told, now


def nice(told):
    """Session -> by how much sbatch was told to lower the priority of its jobs."""
    found: dict[str, list[int]] = {}
    for line in told.read_text().splitlines():
        if "measure_energy_board" in line:
            session = re.search(r",session=(\d+),", line)[1]
            found.setdefault(session, []).extend(map(int, re.findall(r"--nice=(\d+)", line)))
    told.unlink()
    return found


def test_slurm_is_asked_to_run_earlier_sessions_first(waiting):
    """All of a session before any of the next, whichever job it is given first; who says --nice
    keeps it, and nothing else that users give is lost.
    """
    place, told, _ = waiting
    site = place / "config/sites/test.yaml"
    options = (*SLURM, "--config", "site=config/sites/test.yaml")
    house.snakemake(place, *options, check=False)
    assert told.read_text().count("--exclusive --nice=") == 4
    found = nice(told)
    assert {session: len(each) for session, each in found.items()} == {"1": 2, "2": 2}
    # 200 jobs that are given at once count down by 1 where no other priorities are set
    assert max(found["1"]) + 200 <= min(found["2"])
    assert len(set(found["1"])) == 2
    text = site.read_text()
    site.write_text(text.replace("--exclusive", '"--exclusive --nice=5"'))
    house.snakemake(place, *options, check=False)
    assert nice(told) == {"1": [5, 5], "2": [5, 5]}
    site.write_text(text.replace(", slurm_extra: --exclusive", ""))
    house.snakemake(
        place, *options, "--default-resources", "slurm_extra=--reservation=r", check=False
    )
    assert told.read_text().count("--reservation=r") >= 4
    assert nice(told) == {"1": [], "2": []}


def run(place, deadline, *more):
    config = ("--config", "site=config/sites/test.yaml", f"deadline={deadline}")
    return house.snakemake(place, *more, *config, check=False)


@pytest.mark.slow
def test_sbatch_is_told_when_a_round_begins(waiting):
    place, told, now = waiting
    deadline = f"{now + timedelta(hours=30):%Y-%m-%dT%H:%M}+00:00"
    planned = run(place, deadline, "plan")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "with perfect foresight, a bound" in planned.stdout + planned.stderr
    folder = place / "results/studies/small/plan"
    with open(folder / "begins.tsv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    begin = (now + timedelta(hours=5)).isoformat()
    assert [(row["session"], row["jobs"], row["begin"]) for row in rows] == [
        ("1", "2", begin),
        ("2", "2", begin),
    ]
    sent = run(place, deadline, *SLURM)
    assert sent.returncode == 1
    lines = [line for line in told.read_text().splitlines() if "measure_energy_board" in line]
    local = (now + timedelta(hours=5)).astimezone()
    assert len(lines) == 4
    assert all(f"--exclusive --begin={local:%Y-%m-%dT%H:%M:%S}" in line for line in lines)
    # no machine of its own begins anything later, and the plan says that the past is over
    local = run(place, deadline, "--cores", "1")
    assert "deadline: only Slurm begins jobs later" in local.stdout + local.stderr
    over = run(place, "2026-01-01T00:00", "--dry-run")
    assert over.returncode == 1
    assert re.search(r"^error: deadline: 2026-01-01T00:00 is over", over.stderr, re.MULTILINE)
    assert "Traceback" not in over.stdout + over.stderr
    # two rounds of a quarter of an hour each, at least
    soon = run(place, f"{datetime.now(UTC) + timedelta(minutes=6):%Y-%m-%dT%H:%M}+00:00", "-n")
    assert soon.returncode == 1
    assert re.search(r"^error: deadline: .* the sessions of board take", soon.stderr, re.MULTILINE)
    assert "Traceback" not in soon.stdout + soon.stderr
    # the target makes its own plan, and no other is made before
    assert run(place, "2026-01-01T00:00", "plan", "--dry-run").returncode == 0

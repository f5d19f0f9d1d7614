"""The workflow on a real Slurm: two nodes of this machine, partitions a30 and a100, GPUs declared
but not there.

The hardware entries are therefore CPUs; what is tested is that every job asks for, gets and records
what its hardware's site entry says, and that nothing finished is lost when jobs and nodes go away.
"""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers import house
from joulegrid.planning.deadline import Shift
from joulegrid.planning.ranges import Range
from joulegrid.planning.submission import Submission, options

pytestmark = pytest.mark.alone
SCRIPT = Path(__file__).with_name("cluster.sh")
SITE = """
stages:
  evaluate_quality: {slurm_partition: a30, cpus_per_task: 1, mem_mb: 1500}
  train_model: {slurm_partition: a100, cpus_per_task: 1, mem_mb: 2000, runtime: 5}
  merge_training: {slurm_partition: a30, cpus_per_task: 1, mem_mb: 2000, runtime: 5}
  prune_weights: {slurm_partition: a30, cpus_per_task: 1, mem_mb: 2000, runtime: 5}
hardware:
  a30: {slurm_partition: a30, gres: "gpu:a30:1", cpus_per_task: 1, mem_mb: 2000, runtime: 5}
  a100: {slurm_partition: a100, gres: "gpu:a100:2", cpus_per_task: 2, mem_mb: 2500, runtime: 6}
"""
STUDY = {
    "study": "cluster",
    "model": {"tiny": {"path": "config/tiny"}},
    "quantization": {
        "fp32": {"method": "cast", "dtype": "float32"},
        "bf16": {"method": "cast", "dtype": "bfloat16"},
    },
    "hardware": {"a30": {"device": "cpu", "threads": 1}, "a100": {"device": "cpu", "threads": 1}},
    "engine": {"transformers": {"method": "transformers"}},
    "workload": {"short": house.TWO_PROMPTS},
    "protocol": {
        "sessions": 1,
        "min_seconds": 0.5,
        "max_windows": 2,
        "precision": 0.5,
        "idle_seconds": 0.5,
        "disturbed": "accept",
    },
    "quality": {
        "text": {
            "method": "perplexity",
            "text": "config/texts/evaluation.txt",
            "window": 128,
            "stride": 128,
            "tokens": 256,
        }
    },
    "ranking": {"baseline": {"quantization": "fp32"}},
}
# Two trained models, of which the better one goes on to be pruned
TRAINING = {
    "method": "lora",
    "precision": "float32",
    "epochs": 1,
    "batch_size": 2,
    "sequence_length": 400,
    "too_long": "truncate",
    "data": {
        "file": "config/data/saf/saf.jsonl",
        "template": "{verification}: ",
        "answer": "feedback",
        "limit": 6,
    },
}
LOOPS = {
    **STUDY,
    "study": "loops",
    "training": {
        "none": {"method": "none"},
        "lora": TRAINING,
        "full": {**TRAINING, "method": "full", "learning_rate": 0.01},
    },
    "pruning": {"none": {"method": "none"}, "half": {"method": "magnitude", "ratio": 0.5}},
    "quantization": {"fp32": STUDY["quantization"]["fp32"]},
    "hardware": {"a30": STUDY["hardware"]["a30"]},
    "grid": {"exclude": [{"training": "none", "pruning": "half"}]},
    "selection": {"candidates": [{"pruning": "none"}], "count": 1, "weight": 0},
}
SLOW = {
    "method": "batch",
    "prompts": "config/prompts/questions.jsonl",
    "count": 4,
    "new_tokens": 250,
    "chat": False,
}
TOKEN = "hf_secret_of_the_slurm_test"
PROFILE = (
    "--profile",
    "slurm",
    "--slurm-init-seconds-before-status-checks",
    "2",
    "--latency-wait",
    "20",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A running Slurm, and a project whose study is complete on it."""
    check = subprocess.run([SCRIPT, "check"], capture_output=True, text=True, check=False)
    if check.returncode:
        pytest.skip(f"no private Slurm here: {check.stderr.strip()}")
    os.environ["HF_TOKEN"] = TOKEN
    # short: the sockets below it have a limit of some hundred characters
    folder = tmp_path_factory.mktemp("slurm")
    up = subprocess.run([SCRIPT, "up", folder], capture_output=True, text=True, check=False)
    assert up.returncode == 0, up.stderr
    try:
        yield complete_study(tmp_path_factory.mktemp("cluster") / "house")
    finally:
        del os.environ["HF_TOKEN"]
        subprocess.run([SCRIPT, "down", folder], check=True, capture_output=True)


def complete_study(place):
    python = house.ROOT / "envs/llm/.venv/bin/python"
    house.copy_project(place)
    (place / "envs/llm/.venv").symlink_to(house.ROOT / "envs/llm/.venv")
    subprocess.run(
        [python, house.HELPERS / "tiny_model.py", place / "config/tiny"],
        check=True,
        capture_output=True,
    )
    (place / "config/sites/a30-a100.yaml").write_text(SITE)
    house.write_study(place, STUDY)
    house.snakemake(place, *PROFILE)
    return place


def records(place):
    """The energy records by hardware/quantization/workload."""
    found = {}
    for path in sorted((place / "results/energy").rglob("*.json")):
        quantization, hardware, _, workload = path.parts[-6:-2]
        found[f"{hardware}/{quantization}/{workload}"] = json.loads(path.read_text())
    return found


def accounting(job_id):
    """What sacct says of a job; asked again for a while, since accounting lags behind."""
    fields = [
        "State",
        "Partition",
        "NCPUS",
        "ReqMem",
        "ReqTRES",
        "AllocTRES",
        "Timelimit",
        "NodeList",
        "Start",
    ]
    for _ in range(120):
        command = ["sacct", "-X", "-n", "-P", "-j", job_id, "--duplicates", "-o", ",".join(fields)]
        rows = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        if rows and rows[-1].startswith("COMPLETED"):
            return dict(zip(fields, rows[-1].split("|"), strict=True))
        time.sleep(1)
    raise AssertionError(f"sacct has no completed job {job_id}: {rows}")


def test_every_cell_ran_on_its_partition_with_its_resources(cluster):
    done = records(cluster)
    assert set(done) == {f"{h}/{q}/short" for h in ("a30", "a100") for q in ("fp32", "bf16")}
    for name, record in done.items():
        assert record["status"] == "ok"
        job = accounting(record["slurm_job_id"])
        if name.startswith("a30/"):
            assert (job["Partition"], job["NodeList"], job["Timelimit"]) == (
                "a30",
                "a30n",
                "00:05:00",
            )
            assert (job["NCPUS"], job["ReqMem"]) == ("1", "2000M")
            assert "gres/gpu=1" in job["AllocTRES"]
        else:
            assert (job["Partition"], job["NodeList"], job["Timelimit"]) == (
                "a100",
                "a100n",
                "00:06:00",
            )
            assert (job["NCPUS"], job["ReqMem"]) == ("2", "2500M")
            assert "gres/gpu=2" in job["AllocTRES"]
    # the site leaves this run time out: half an hour, and half a minute of a tiny model, rounded up
    for path in (cluster / "results/quality").rglob("*.json"):
        job = accounting(json.loads(path.read_text())["slurm_job_id"])
        assert (job["Timelimit"], job["ReqMem"]) == ("00:35:00", "1500M")
    assert (cluster / "results/studies/cluster/report.html").exists()


def test_jobs_that_ran_side_by_side_say_so(cluster):
    """Both nodes are one host of few cores: what others used is in the records and in the table."""
    shared = [w for record in records(cluster).values() for w in record["windows"]]
    assert any("other processes used" in text for w in shared for text in w.get("disturbed", ()))
    ranking = (cluster / "results/studies/cluster/ranking.csv").read_text()
    assert "measured while disturbed" in ranking


def test_nothing_runs_again_after_a_change_of_resources(cluster):
    site = cluster / "config/sites/a30-a100.yaml"
    site.write_text(
        SITE.replace("runtime: 6", "runtime: 9").replace("mem_mb: 2000", "mem_mb: 2200")
    )
    assert house.planned(cluster, "--profile", "slurm") == set()


def wait_for(condition, what, seconds=1800):
    for _ in range(seconds * 2):
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds} s for {what}")


def energy_jobs(state):
    """Job ids by comment (the rule and its wildcards) of the energy jobs in this state."""
    command = ["squeue", "-h", "-t", state, "-o", "%i|%k"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        comment: job
        for job, comment in (line.split("|", 1) for line in lines)
        if "measure_energy" in comment
    }


def started(place, *options):
    """Snakemake in the background, and the file of what it says."""
    command = [
        sys.executable,
        house.HELPERS / "run_snakemake.py",
        sys.executable,
        "--configfile",
        "config/study.yaml",
        *PROFILE,
        *options,
    ]
    log = place / "run.log"
    with open(log, "w") as stream:
        return subprocess.Popen(command, cwd=place, stdout=stream, stderr=subprocess.STDOUT), log


def test_a_cancelled_job_and_a_lost_node_lose_nothing_that_is_finished(cluster):
    before = {name: record["slurm_job_id"] for name, record in records(cluster).items()}
    house.write_study(cluster, {**STUDY, "workload": {**STUDY["workload"], "slow": SLOW}})
    run, log = started(cluster, "--retries", "0")
    try:
        jobs = wait_for(
            lambda: len(found := energy_jobs("RUNNING")) == 4 and found, "four running cells"
        )
        cancelled = next(
            job for comment, job in jobs.items() if "a100" in comment and "bf16" in comment
        )
        subprocess.run(["scancel", cancelled], check=True)
        subprocess.run(
            ["scontrol", "update", "nodename=a30n", "state=down", "reason=test"], check=True
        )
        time.sleep(3)
        subprocess.run(["scontrol", "update", "nodename=a30n", "state=resume"], check=True)
        code = run.wait(timeout=1800)
    finally:
        run.kill()
    text = log.read_text()
    after = records(cluster)
    # the cancelled cell is an error that snakemake reports; the cells of the lost node came back by
    # themselves
    assert code == 1, text[-3000:]
    assert set(after) == set(before) | {"a100/fp32/slow", "a30/fp32/slow", "a30/bf16/slow"}, text[
        -3000:
    ]
    assert {name: after[name]["slurm_job_id"] for name in before} == before
    # the second run finishes only the rest
    house.snakemake(cluster, *PROFILE)
    final = records(cluster)
    assert final["a100/bf16/slow"]["status"] == "ok"
    assert {name: final[name]["slurm_job_id"] for name in after} == {
        name: r["slurm_job_id"] for name, r in after.items()
    }
    assert house.planned(cluster, "--profile", "slurm") == set()


def test_jobs_are_not_sent_to_a_cluster_without_a_site(cluster):
    """--config on the command line replaces the profile's, and the site with it."""
    house.write_study(cluster, {**STUDY, "workload": {"other": {**SLOW, "new_tokens": 4}}})
    before = subprocess.run(
        ["sacct", "-X", "-n", "-o", "JobID"], capture_output=True, text=True, check=True
    ).stdout
    done = house.snakemake(cluster, *PROFILE, "--config", "description=words", check=False)
    assert done.returncode == 1
    assert (
        "no site: --config on the command line replaces the profile's" in done.stdout + done.stderr
    )
    after = subprocess.run(
        ["sacct", "-X", "-n", "-o", "JobID"], capture_output=True, text=True, check=True
    ).stdout
    assert before == after


def test_a_token_in_the_environment_reaches_no_record_and_no_log(cluster):
    files = [path for path in (cluster / "results").rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in (cluster / "run.log").read_text()


def test_process_tracking_counts_the_own_load_only(cluster):
    """Beside jobs that keep the host busy, the CPU's estimate follows what the job itself used."""
    protocol = {**STUDY["protocol"], "tracking": "process"}
    hardware = {k: {**v, "cpu_power_w": 10} for k, v in STUDY["hardware"].items()}
    house.write_study(cluster, {**STUDY, "protocol": protocol, "hardware": hardware})
    before = set((cluster / "results/energy").rglob("*.json"))
    house.snakemake(cluster, *PROFILE)
    new = set((cluster / "results/energy").rglob("*.json")) - before
    assert len(new) == 4
    for record in map(json.loads, map(Path.read_text, new)):
        # one thread of work, and the meter's own: 12 % of the job's share of 10 W at idle, all
        # of it at full load
        cpus = record["device"]["cpus"]
        load, share = min(1.3 / cpus, 1), cpus / os.cpu_count()
        for window in record["windows"]:
            assert window["energy_j"]["cpu"] <= share * (1.2 + 8.8 * load) * window["seconds"]


def test_slurm_takes_the_begin_of_a_deadline(cluster):
    """A job that is given as `submission.options` writes it waits until then."""
    when = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)
    nothing = Range(0.0, 0.0, 0.0)
    said = Submission(when, {("a30", 1): when}, [], Shift({}, 0.0, nothing, nothing), [], "")
    told = options(said)["a30", 1]
    command = ["sbatch", "--parsable", "--partition=a30", "--output=/dev/null", told]
    done = subprocess.run([*command, "--wrap=true"], capture_output=True, text=True, check=True)
    job = done.stdout.strip()
    try:
        shown = subprocess.run(
            ["squeue", "-h", "-j", job, "-o", "%T|%r|%S"],
            capture_output=True,
            text=True,
            check=True,
        )
        state, reason, begin = shown.stdout.strip().split("|")
        assert (state, reason) == ("PENDING", "BeginTime")
        assert begin == f"{when.astimezone():%Y-%m-%dT%H:%M:%S}"
    finally:
        subprocess.run(["scancel", job], check=True)


def of_second_loop(training):
    """The jobs that a trained model waits for, beside the steps that conclude."""
    cell = f"tiny/{training}/half/fp32"
    return {
        ("prune_weights", f"pruned/tiny/{training}/half"),
        ("measure_energy", f"energy/{cell}/a30/transformers/short/1"),
        ("evaluate_quality", f"quality/{cell}/text"),
    }


def test_the_best_trained_model_goes_on_by_itself(cluster):
    """One call: what the selection opens is sent to Slurm as well, with its stage's resources."""
    house.write_study(cluster, LOOPS)
    house.snakemake(cluster, *PROFILE)
    selected = json.loads((cluster / "results/studies/loops/selection.json").read_text())
    best, other = selected["candidates"]
    assert (best["goes_on"], other["goes_on"]) == (True, False)
    pruned = (cluster / "results/pruned/tiny").iterdir()
    assert [path.name for path in pruned] == [best["training"]]
    for path, partition in (
        *((f"training/tiny/{each['training']}", "a100") for each in (best, other)),
        *((path, "a30") for _, path in of_second_loop(best["training"])),
    ):
        record = json.loads(house.record(cluster, path).read_text())
        assert record["status"] == "ok"
        assert accounting(record["slurm_job_id"])["Partition"] == partition
    assert house.planned(cluster, "--profile", "slurm") == set()
    # both go on: the other one's second loop is all that is new
    house.write_study(cluster, {**LOOPS, "selection": {**LOOPS["selection"], "count": 2}})
    jobs = {job for job in house.planned(cluster, "--profile", "slurm") if job[1]}
    assert jobs == of_second_loop(other["training"])


def test_earlier_sessions_start_first(cluster):
    """Jobs that wait for a machine get it session by session, in whatever order they were given."""
    site = SITE.replace('gres: "gpu:a30:1", cpus_per_task: 1', "cpus_per_task: 4")
    (cluster / "config/sites/a30-a100.yaml").write_text(site)
    data = {**STUDY, "study": "turns", "hardware": {"a30": STUDY["hardware"]["a30"]}}
    data["protocol"] = {**STUDY["protocol"], "sessions": 3, "seed": 5}
    house.write_study(cluster, data)
    hold = ["sbatch", "--parsable", "--partition=a30", "--exclusive", "--output=/dev/null"]
    held = subprocess.run([*hold, "--wrap=sleep 600"], capture_output=True, text=True, check=True)
    run, log = started(cluster)
    try:
        wait_for(lambda: len(energy_jobs("PENDING")) == 6, "six waiting sessions")
        subprocess.run(["scancel", held.stdout.strip()], check=True)
        assert run.wait(timeout=1800) == 0, log.read_text()[-3000:]
    finally:
        run.kill()
        subprocess.run(["scancel", held.stdout.strip()], check=False)
        (cluster / "config/sites/a30-a100.yaml").write_text(SITE)  # for the tests that follow
    begun = {}
    for path in (cluster / "results/energy").rglob("*.json"):
        record = json.loads(path.read_text())
        if record["spec"]["protocol"].get("seed") == 5:
            begun[accounting(record["slurm_job_id"])["Start"]] = path.parts[-2]
    assert [begun[when] for when in sorted(begun)] == ["1", "1", "2", "2", "3", "3"]


def test_what_scancel_ends_keeps_the_windows_that_are_finished(cluster):
    """With three that count it is a partial session; with fewer they lie beside, and the next run
    tries again.
    """
    data = {**STUDY, "study": "ended", "hardware": {"a30": STUDY["hardware"]["a30"]}}
    long = {"min_seconds": 4, "max_windows": 12, "precision": 1e-6}
    data["protocol"] = {**STUDY["protocol"], **long}
    house.write_study(cluster, data)
    place = cluster / "results/energy/tiny/none/none"
    logs = cluster / "results/logs/energy/tiny/none/none"
    before = set(logs.rglob("*.log"))
    run, log = started(cluster, "--retries", "0")

    def windows(name):
        new = set((logs / name).rglob("*.log")) - before
        return sum(path.read_text().count("\nwindow ") for path in new)

    try:
        wait_for(lambda: len(energy_jobs("RUNNING")) == 2, "two running sessions")
        for name, least in (("bf16", 1), ("fp32", 3)):
            wait_for(lambda n=name, m=least: windows(n) >= m, f"{least} windows of {name}")
            jobs = energy_jobs("RUNNING").items()
            subprocess.run(["scancel", *(job for said, job in jobs if name in said)], check=True)
        assert run.wait(timeout=1800) == 1, log.read_text()[-3000:]
    finally:
        run.kill()
    made = [json.loads(path.read_text()) for path in (place / "fp32").rglob("*.json")]
    (partial,) = (record for record in made if "ended_early" in record)
    assert "ended by SIGTERM after" in partial["ended_early"]
    assert len(partial["windows"]) >= 3
    (beside,) = (place / "bf16").rglob("*.disturbed.json")
    kept = json.loads(beside.read_text())
    assert "ended by SIGTERM" in kept["reason"]
    assert 1 <= len(kept["windows"]) < 3
    assert not beside.with_name(beside.name.replace(".disturbed", "")).exists()
    house.snakemake(cluster, *PROFILE)
    assert beside.with_name(beside.name.replace(".disturbed", "")).exists()
    assert not beside.exists()

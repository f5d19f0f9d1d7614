"""`snakemake plan` says what `snakemake -n` would run."""

import csv
import json
import re
from collections import Counter

import pytest

from helpers import house
from workflow.rerun_table import study

SCRIPTS = {
    "models": "fetch_model",
    "pruned": "prune_weights",
    "weights": "quantize_weights",
    "energy": "measure_energy",
    "quality": "evaluate_quality",
}


def plan(place):
    """What `snakemake plan` printed, and what it wrote."""
    done = house.snakemake(place, "plan")
    folder = place / "results/studies/small/plan"
    with open(folder / "plan.tsv", encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream, delimiter="\t"))
    return done.stdout + done.stderr, json.loads((folder / "plan.json").read_text()), table


def agrees(place):
    """The plan, after its jobs were compared with those of a dry-run."""
    said, written, table = plan(place)
    wanted = house.planned(place)
    counted = Counter(script for script, _ in wanted)
    to_run = {each["kind"]: each["to_run"] for each in written["jobs"]}
    assert to_run == {
        **{kind: counted[script] for kind, script in SCRIPTS.items()},
        "steps": sum(counted[script] for script in house.CONCLUSIONS),
    }
    by_path = {(SCRIPTS[p.split("/")[0]], p.rsplit("/", 1)[0] + ".json") for p in written["to_run"]}
    jobs = {job for job in wanted if job[1]}
    assert {(s, p.removesuffix(".json")) for s, p in by_path} == {
        (script, path.removesuffix(".json")) for script, path in jobs
    }
    assert [int(row["to_run"]) for row in table] == [
        sum(f"/{row['hardware']}/" in path for script, path in jobs if script == SCRIPTS["energy"])
        for row in table
    ]
    return said, written, table


@pytest.mark.slow
def test_a_plan_is_what_a_dry_run_would_run(own):
    place, data = own
    said, written, table = agrees(place)
    assert written["to_run"] == []
    assert all(each["there"] == each["jobs"] for each in written["jobs"])
    assert "12 sessions, 12 there, 0 to run" in said
    study(lambda s: s["quantization"]["gptq4"].update(bits=3))(place, data)
    next((place / "results/quality").rglob("*.json")).unlink()
    said, written, table = agrees(place)
    assert len(written["to_run"]) > 10
    assert "the sizes of tiny are not known here" in said
    assert [row["predicted"] for row in table] == ["0", "0"]


@pytest.mark.slow
def test_the_report_puts_the_plan_beside_what_was_measured(own):
    """Cells of which the plan said something before: on a CPU, by others with the same kernel."""
    place, data = own
    data["model"] = {"mini": {"random": "mini-llama"}}
    data["quantization"] = {"fp32": data["quantization"]["fp32"]}
    del data["hardware"]["there"]
    del data["quality"]["facts"]
    house.write_study(place, data)
    house.snakemake(place, "--cores", "4")
    gone = sorted((place / "results/energy").glob("mini/none/half/fp32/here/**/*.json"))
    assert len(gone) == 2
    for path in gone:
        path.unlink()
    said, written, table = plan(place)
    assert [row["predicted"] for row in table] == ["2"]
    assert "calibrated by 2 rows on CPU" in said
    (before,) = written["said_before"]
    assert (before["pruning"], before["hardware"], before["gpu_j_per_token"]) == (
        "half",
        "here",
        None,
    )
    house.snakemake(place, "--cores", "4")
    page = (place / "results/studies/small/report.html").read_text()
    row = page[page.index('<table id="planned">') :].split("</table>")[0]
    assert "<td>here</td><td>time per token</td>" in row
    assert row.count("<tr>") == 2
    # the stand-in takes the same time for all
    cells, inside, ratio = re.findall(r'<td class="n">([\d.]+)</td>', row)
    assert (cells, inside) == ("1", "1")
    assert float(ratio) == pytest.approx(1, abs=0.15)

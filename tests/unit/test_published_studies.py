"""The studies of publications: their cells, and which of these do not fit their machines."""

import csv
import re

import pytest

from conftest import ROOT
from joulegrid.planning import infeasible, plan
from joulegrid.planning.cells import judged
from joulegrid.study import study
from joulegrid.study.specs import Specs

WETZEL_TABLE = {  # sizes of CodeLlama by numbers of L4, as published
    ("codellama-7b", "1x-l4"),
    ("codellama-7b", "4x-l4"),
    ("codellama-7b", "8x-l4"),
    ("codellama-13b", "4x-l4"),
    ("codellama-13b", "8x-l4"),
    ("codellama-34b", "4x-l4"),
    ("codellama-34b", "8x-l4"),
    ("codellama-70b", "8x-l4"),
}


def cells_of(name):
    found = study.load([ROOT / f"config/studies/{name}.yaml"])
    return found, judged(found, {}, infeasible.of_study(Specs(found)))


def too_large(cells):
    return {
        (each.cell.model, each.cell.quantization, each.cell.hardware)
        for each in cells
        if does_not_fit(each)
    }


def does_not_fit(each):
    """Known before anything is sent, or expected."""
    return bool(each.infeasible or each.doubtful)


def test_dosquet_s_two_cells_that_do_not_fit():
    found, cells = cells_of("dosquet2025")
    assert len(cells) == 4 * 2 * 2
    assert too_large(cells) == {
        ("llama-30b", "full", "setup-2"),
        ("mistral-small-3", "full", "setup-2"),
    }
    (replay,) = found.data["workload"].values()
    assert replay["duration_s"] / replay["interval_s"] == 2400
    assert set(found.data["quality"]) == {"dosquet-wikitext", "dosquet-mmlu", "dosquet-ifeval"}
    assert not any(each.unsupported for each in cells)


def test_wetzel_s_table_of_sizes_is_what_fits():
    found, cells = cells_of("wetzel2024")
    assert len(cells) == 42
    sizes = [each for each in cells if each.cell.workload == "sizes"]
    assert len(sizes) == 4 * 3
    fits = {(each.cell.model, each.cell.hardware) for each in sizes if not does_not_fit(each)}
    assert fits == WETZEL_TABLE
    assert too_large([each for each in cells if each.cell.workload == "engines"]) == {
        ("llama-3.1-70b", "bf16", "1x-l4"),
        ("llama-3.1-70b", "bf16", "4x-l4"),
        ("llama-3.1-70b", "fp8", "1x-l4"),
        ("llama-3.1-70b", "int4", "1x-l4"),
        ("mistral-nemo-12b", "bf16", "1x-l4"),
    }
    assert {found.data["workload"][name]["count"] for name in ("engines", "sizes")} == {7500}


def test_kononov_s_gguf_runs_on_the_raspberry_pi_and_the_rest_on_the_gpu():
    found, cells = cells_of("kononov2025")
    assert len(cells) == 3 * 4 * (2 + 4)
    for each in cells:
        assert (each.cell.hardware == "raspberry-pi-4b") == ("gguf" in each.cell.quantization)
    assert not too_large(cells)
    tasks = ("wikitext", "hellaswag", "winogrande", "arc-easy", "arc-challenge", "openbookqa")
    assert set(found.data["quality"]) == {f"kononov-{task}" for task in tasks}


def test_wetzel_s_prompts_are_answered_at_the_length_that_its_tables_allow():
    """Longer prompts are not cheaper: per token of answers, vLLM took no more with 187 tokens
    in than the table of prompt lengths says of 441.
    """
    workloads = cells_of("wetzel2024")[0].data["workload"]
    with open(ROOT / "config/published/wetzel2024.csv", encoding="utf-8", newline="") as stream:
        rows = [(row["workload"], float(row["value"])) for row in csv.DictReader(stream)]
    per_prompts, per_tokens = (
        {float(found[1]): value for text, value in rows if (found := re.search(pattern, text))}
        for pattern in (
            r"10,000 prompts, mean of ([\d.]+) output",
            r"100,000 output tokens, mean of ([\d.]+) input",
        )
    )
    assert list(per_tokens) == workloads["inputs"]["prompt_tokens"]
    assert [round(tokens) for tokens in per_prompts] == workloads["outputs"]["new_tokens"]
    new = workloads["inputs"]["new_tokens"]
    closest = min(per_prompts, key=lambda tokens: abs(tokens - new))
    assert per_prompts[closest] / closest * 10 < per_tokens[441]


def test_tran_s_two_loops():
    found, cells = cells_of("tran2025")
    assert not too_large(cells)
    trained = {each.cell.training for each in cells} - {"none"}
    assert trained == {f"lora{bits}-e{n}" for bits in (32, 16, 8, 4) for n in (5, 10)}
    prunings = [entry for label, entry in found.data["pruning"].items() if label != "none"]
    assert {entry.get("ratio") for entry in prunings} == {None, 0.1, 0.2, 0.3, 0.4, 0.5}
    assert {entry.get("pattern") for entry in prunings} == {None, "2:4", "4:8"}
    assert found.data["ranking"]["weight"] == 0.7
    (board,) = found.data["hardware"].values()
    assert (board["gpu"], board["gpus"]) == ("A30", 4)
    assert {each.case.machine.device.name for each in cells} == {"A30"}


# Cells, jobs and of these sessions, before anything is there; of tran2025 those of the first loop
JOBS = {
    "dosquet2025": (16, 46, 14),
    "tran2025": (24, 250, 72),
    "wetzel2024": (42, 85, 34),
    "kononov2025": (72, 720, 216),
}


@pytest.mark.parametrize("name", JOBS)
def test_published_studies_have_so_many_jobs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    specs = Specs(study.load([ROOT / f"config/studies/{name}.yaml"]))
    made = plan.of_study(specs, str(tmp_path))
    jobs = {each.kind: each.jobs for each in made.jobs if each.kind != "steps"}
    cells = sum(share.cells for share in made.shares)
    assert (cells, sum(jobs.values()), jobs["energy"]) == JOBS[name]
    if name == "tran2025":  # as many as may go on
        later = {each.kind: each.jobs for each in made.open.jobs}
        assert (len(made.waiting), sum(later.values()), later["energy"]) == (68, 640, 204)


@pytest.mark.parametrize("name", JOBS)
def test_the_sizes_of_every_model_are_known_without_its_files(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    _, cells = cells_of(name)
    assert not [each.unknown for each in cells if "sizes of" in each.unknown]

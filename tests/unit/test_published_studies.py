"""The studies of publications: their cells, and which of these do not fit their machines."""

import pytest

from conftest import ROOT
from joulegrid.planning import infeasible
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


@pytest.mark.parametrize("name", ["dosquet2025", "wetzel2024", "kononov2025"])
def test_the_sizes_of_every_model_are_known_without_its_files(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    _, cells = cells_of(name)
    assert not [each.unknown for each in cells if "sizes of" in each.unknown]

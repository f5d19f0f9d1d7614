"""Cells that are known not to fit: what is kept back, what is not, and what trying teaches."""

import json
import subprocess
import sys

import pytest

from helpers import boards, published
from helpers.boards import hub
from helpers.replayed import results_in
from joulegrid.analysis import dataset
from joulegrid.analysis.variables import STATUS
from joulegrid.planning import infeasible, memory
from joulegrid.planning.devices import devices
from joulegrid.planning.formats import HALF, Format
from joulegrid.study import shelf, study
from joulegrid.study.code import SCRIPTS
from joulegrid.study.infeasible import packed, unpacked
from joulegrid.study.specs import Specs


@pytest.fixture(autouse=True)
def without_reading_code(monkeypatch):
    boards.leave_code_unread(monkeypatch)


@pytest.fixture
def data(study_data):
    """Dosquet's question on three boards, and a CPU."""
    models = {"large": hub("llama-30b"), "other": hub("Mistral-7B-v0.3")}
    either = {"device": "cuda", "gpu": "A100-SXM4"}
    return boards.on_boards(study_data, models, "80gb", "40gb", either=either)


def decided(data):
    return infeasible.of_study(Specs(study.from_data(data, "test")))


def test_what_needs_more_than_the_board_has_is_kept_back(data):
    """LLaMA-30B in 16 bits has 65 GB and did not run on 40 GB (Dosquet 2025)."""
    found = decided(data)
    assert {(c.model, c.pruning, c.quantization, c.hardware, c.engine) for c in found} == {
        ("large", pruning, "fp16", "40gb", engine)
        for pruning in ("none", "half")
        for engine in ("transformers", "vllm")
    }
    assert set(found.values()) == {
        "needs 65.1 GB for weights and cache, A100-SXM4-40GB has 42.9 GB at most"
    }


def changed(data, axis, label, **keys):
    data[axis][label] = {**data[axis][label], **keys}
    return data


CALIBRATION = {"text": "config/texts/calibration.txt"}
# What is not known well enough
UNSURE = {
    "a study that wants to try": lambda d: d["protocol"].update(infeasible="try"),
    "sizes that nobody knows": lambda d: d["model"].update(large=hub("something")),
    "weights quantized by their makers": lambda d: d["model"].update(large=hub("gpt-oss-120b")),
    "a board that is not in the table": lambda d: changed(d, "hardware", "40gb", gpu="Quadro"),
    "memory that is shared": lambda d: d["hardware"].update(
        {"40gb": {"device": "cuda", "gpu": "GB10"}}
    ),
    "a board that may be larger": lambda d: d["hardware"]["40gb"].pop("gpu_memory_gb"),
    "several boards": lambda d: changed(d, "hardware", "40gb", gpus=2),
    "blocks that are taken away": lambda d: d.update(
        pruning={"short": {"method": "layers", "ratio": 0.5, "calibration": CALIBRATION}}
    ),
}


@pytest.mark.parametrize("name", UNSURE)
def test_what_is_not_sure_is_tried(data, name):
    if name == "memory that is shared":
        data["model"] = {"huge": hub("Llama-3.1-405B")}
    if name == "blocks that are taken away":
        data["ranking"]["baseline"]["pruning"] = "short"
    UNSURE[name](data)
    assert [cell for cell in decided(data) if cell.hardware == "40gb"] == []


def test_everything_that_was_published_would_have_been_sent():
    """None of the rows that ran needs more than its boards may have, batches included."""
    shares = []
    for name in ("mlenergy_v1", "mlenergy_v2", "alejandroldz2026"):
        for _, row in published.rows(name):
            work, model, form, machine = row.case
            batch = 1 if machine.engine == "vllm" else work.at_once
            need = memory.to_run(
                model, form, machine.engine, batch, work.tokens_in, work.tokens_out, machine.gpus
            )
            shares.append(infeasible.low_share(need, form, machine.device, machine.gpus))
    assert len(shares) == 675
    assert max(shares) <= 1


def test_what_16_bits_take_is_sure_to_the_last_gigabyte(data):
    """26.0 GB of weights on a board of at most 25.8 are not sent; as many of a mixed format are, of
    which a model may have less.
    """
    data["model"] = {"thirteen": hub("CodeLlama-13b-hf")}
    data["hardware"] = {"l4": {"device": "cuda", "gpu": "L4"}}
    data["quantization"] = {"fp16": data["quantization"]["fp16"]}
    assert set(decided(data).values()) == {
        "needs 26.0 GB for weights and cache, L4 has 25.8 GB at most"
    }
    form = Format(16.0 * 0.999, "gguf", "fp16", 16.0)
    need = memory.Need(26.0e9, 0.0, 0.0, 0.0, 0.0)
    assert infeasible.low_share(need, HALF["float16"], devices()["L4"], 1) > 1
    assert infeasible.low_share(need, form, devices()["L4"], 1) < 1


def test_what_fits_but_for_the_context_of_cuda_is_kept_back():
    """25.75 of 25.77 GB leave no room for it on one board."""
    need = memory.Need(25.75e9, 0.0, 0.0, 0.0, 0.0)
    assert infeasible.low_share(need, HALF["float16"], devices()["L4"], 1) > 1
    assert infeasible.low_share(need, HALF["float16"], devices()["L4"], 2) < 1


def test_a_batch_of_long_answers_counts(data):
    """Half a megabyte per token of Llama-2-7B: 16 answers of 8,000 tokens are 67 GB."""
    data["model"] = {"seven": hub("Llama-2-7b-hf")}
    data["workload"]["questions"] |= {"new_tokens": 8000, "count": 16}
    data["engine"] = {"transformers": {"method": "transformers", "batch_size": 16}}
    assert {cell.hardware for cell in decided(data)} == {"40gb"}
    data["workload"]["questions"]["stop"] = "natural"  # they may be shorter
    assert decided(data) == {}
    del data["workload"]["questions"]["stop"]
    data["workload"]["questions"]["concurrency"] = 2
    assert decided(data) == {}


# ---------------------------------------------------------------- what trying teaches
@pytest.fixture
def near(data):
    """Models of 26 and 32 GB on a board of 32 GB."""
    data["model"] = {"less": hub("Llama-2-13b-hf"), "more": hub("starcoder2-15b")}
    data["quantization"] = {"fp16": data["quantization"]["fp16"]}
    data["hardware"] = {
        "here": {"device": "cuda", "gpu": "V100-SXM2", "gpu_memory_gb": 32},
        "there": {"device": "cuda", "gpu": "V100-SXM2", "gpu_memory_gb": 32},
    }
    return data


def tried(folder, data, model, status, engine="transformers", **facts):
    """Leave the record of a first session below `folder`."""
    specs = Specs(study.from_data(data, "test"))
    wanted = {"model": model, "hardware": "here", "engine": engine, "quantization": "fp16"}
    cell = next(c for c in specs.study.cells if all(getattr(c, k) == v for k, v in wanted.items()))
    job = specs.energy(cell, 1)
    path = folder / f"results/{job.path}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"schema_version": 2, "id": job.id, "elapsed_s": 1.0, "reason": "out of memory"}
    path.write_text(json.dumps({**header, "status": status, **facts}))
    return cell


OUT_OF_GPU = {"memory_before": {"what": "GPU memory"}}


def test_what_ran_out_of_memory_keeps_larger_ones_back_there(near, tmp_path):
    with results_in(tmp_path):
        assert decided(near) == {}
        cell = tried(tmp_path, near, "less", "oom", **OUT_OF_GPU)
        found = decided(near)
        assert {(c.model, c.hardware, c.engine) for c in found} == {
            ("more", "here", "transformers")
        }
        assert cell not in found
        assert "what was tried there makes that 1.2" in next(iter(found.values()))
        # what ran has the last word
        tried(tmp_path, near, "more", "ok")
        assert decided(near) == {}


@pytest.mark.parametrize("facts", [{}, {"memory_before": {"what": "main memory"}}])
def test_the_making_of_weights_says_nothing_of_the_board(near, tmp_path, facts):
    with results_in(tmp_path):
        tried(tmp_path, near, "less", "oom", **facts)
        assert decided(near) == {}


def test_what_ran_is_not_kept_back_again(data, tmp_path):
    data["hardware"] = {"here": data["hardware"]["40gb"]}
    with results_in(tmp_path):
        assert {cell.engine for cell in decided(data)} == {"transformers", "vllm"}
        tried(tmp_path, data, "large", "ok", engine="vllm")
        assert {cell.engine for cell in decided(data)} == {"transformers"}


# ---------------------------------------------------------------- jobs, and the dataset
def test_sessions_that_were_tried_stay(data, tmp_path):
    """Of a cell that is known not to fit, the record that is there is in the dataset."""
    data["hardware"] = {"here": data["hardware"]["40gb"]}
    data["engine"] = {"vllm": data["engine"]["vllm"]}
    data["model"] = {"large": data["model"]["large"]}
    specs = Specs(study.from_data(data, "test"))
    with results_in(tmp_path):
        cell = tried(tmp_path, data, "large", "oom", engine="vllm", **OUT_OF_GPU)
        unfit = infeasible.of_study(specs)
        every = list(shelf.jobs_of(specs))
        jobs = shelf.sent(every, unfit)
        left = {job.labels for job in jobs if job.kind == "energy"}
        assert (*cell, "1") in left
        assert (*cell, "2") not in left
        assert {j.path for j in every} - {j.path for j in jobs} == {
            specs.energy(c, s).path for c in unfit for s in (1, 2) if (c, s) != (cell, 1)
        }
        tree, _ = dataset.merge(specs, shelf.Shelf(own=every), unfit)
    here = tree["energy"].sel({axis: getattr(cell, axis) for axis in cell._fields})
    assert [STATUS[code] for code in here.status.values] == ["oom", "infeasible"]
    assert "needs 65.1 GB" in here.reason.values[1]


def test_no_id_of_a_job_knows_of_it(data):
    """Whether cells are tried is no part of what is measured."""
    before = {job.path for job in shelf.jobs_of(Specs(study.from_data(data, "test")))}
    data["protocol"]["infeasible"] = "try"
    assert {job.path for job in shelf.jobs_of(Specs(study.from_data(data, "test")))} == before


def test_a_merge_is_told_in_few_words(data):
    found = decided(data)
    told = json.loads(json.dumps({"infeasible": packed(found)}))
    assert unpacked(told) == found
    assert unpacked({}) == {}
    assert packed(found)["reasons"] == sorted(set(found.values()))


def test_deciding_imports_nothing_that_takes_time():
    """Every start of Snakemake asks it."""
    heavy = {"numpy", "scipy", "pandas", "xarray", "torch"}
    code = (
        "import sys; from joulegrid.planning import infeasible, scheduling; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"

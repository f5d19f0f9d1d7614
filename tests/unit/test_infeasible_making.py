"""Weights that are known not to be made on the boards of their stage: what is kept back with them,
and what is tried.
"""

import json

import pytest

from helpers import published
from helpers.replayed import results_in
from joulegrid.analysis import dataset
from joulegrid.analysis.variables import STATUS
from joulegrid.planning import infeasible, known, memory, plan, sharing
from joulegrid.study import shelf, study
from joulegrid.study.infeasible import packed, unpacked
from joulegrid.study.job import part
from joulegrid.study.parts import Parts
from joulegrid.study.specs import Specs

CALIBRATION = {"text": "config/texts/calibration.txt", "samples": 128, "tokens": 2048}
SAF = {
    "file": "config/data/saf/saf.jsonl",
    "template": "Question: {question}\nFeedback: ",
    "answer": "feedback",
}


# ---------------------------------------------------------------- bytes
def needs(name, of, **entry):
    return of(published.architecture(name), entry)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fine_tuning_holds_sixteen_bytes_of_every_weight(precision):
    """As in ZeRO, section 3.1; Llama-2-7B has 6,738,415,616 parameters by its card."""
    need = needs("Llama-2-7B", memory.to_train, method="full", precision=precision)
    assert need.total == pytest.approx(16 * 6_738_415_616, rel=1e-3)
    assert need.weights == pytest.approx(4 * 6_738_415_616, rel=1e-3)


def test_adapters_hold_their_base_as_it_is_loaded():
    """Llama-3.1-70B: 68.5 billion parameters in its blocks. Dettmers et al. (2023) trained 65
    billion in 4 bits on one board of 48 GB.
    """
    blocks = 80 * (2 * 8192**2 + 2 * 8192 * 1024 + 3 * 8192 * 28672 + 2 * 8192) + 8192
    for precision, size in (("float32", 4), ("float16", 2)):
        need = needs("Llama-3.1-70B", memory.to_train, method="lora", precision=precision)
        assert need.total == pytest.approx(size * blocks, rel=1e-3)
    outside = 4 * 2 * 8192 * 128256  # peft raises embedding and head to 32 bits
    for twice, bits in ((False, 4.5), (True, 4 + 8.5 / 64)):
        entry = {"method": "qlora", "precision": "nf4", "double_quantization": twice}
        packed_in_4 = needs("Llama-3.1-70B", memory.to_train, **entry)
        assert packed_in_4.total == pytest.approx(blocks * bits / 8 + outside, rel=1e-3)
        assert packed_in_4.total < 48e9
    in_8 = needs("Llama-3.1-70B", memory.to_train, method="qlora", precision="int8")
    assert in_8.total == pytest.approx(blocks + outside, rel=1e-3)


def test_adapters_are_expected_beside_all_of_the_base_embedding_and_head_included():
    """`device_map="auto"` puts all of it on the boards: 70.6 billion parameters."""
    model = published.architecture("Llama-3.1-70B")
    entry = {"method": "lora", "precision": "bfloat16", "rank": 8}
    assert memory.likely_to_train(model, entry, 0).weights == 2 * model.parameters


def test_pruning_holds_a_block_its_samples_and_hessians():
    """Sizes of Llama-3.1-405B: hidden 16384, inner 53248, 8 KV heads of 128 of 128."""
    block = 2 * 16384**2 + 2 * 16384 * 1024 + 3 * 16384 * 53248 + 2 * 16384
    states = 128 * 2048 * 16384
    entry = {"ratio": 0.5, "calibration": CALIBRATION}
    first = needs("Llama-3.1-405B", memory.to_prune, method="wanda", **entry)
    assert first.total == pytest.approx(2 * block + 2 * 2 * states, rel=1e-3)
    second = needs("Llama-3.1-405B", memory.to_prune, method="sparsegpt", **entry)
    gathered = 4 * (3 * 16384**2 + 53248**2)
    assert second.total - first.total == pytest.approx(gathered + 24 * 53248**2, rel=1e-6)
    gradients = {"importance": "taylor", "calibration": CALIBRATION}
    third = needs("Llama-3.1-405B", memory.to_prune, method="blocks", **gradients)
    assert third.total == pytest.approx(8 * block + 4 * states, rel=1e-3)
    assert needs("Llama-3.1-405B", memory.to_prune, method="magnitude", ratio=0.5).total == 0


def test_recovery_holds_the_model_its_masks_and_what_the_backward_pass_needs():
    """Per weight of a block two bytes as stored, two as updated, and one of the mask."""
    blocks = 6_738_415_616 - 2 * 32000 * 4096
    entry = {"method": "magnitude", "ratio": 0.5, "recovery": {"rank": 8}}
    found = needs("Llama-2-7B", memory.to_prune, **entry)
    assert found.total == pytest.approx(5 * blocks + 2 * 2 * 32000 * 4096, rel=1e-3)
    # how much of the model is left is known behind the pruning
    smaller = {"method": "layers", "drop": [1], "recovery": {"rank": 8}}
    assert needs("Llama-2-7B", memory.to_prune, **smaller).total == 0


def test_fine_tuning_is_expected_to_hold_what_its_backward_pass_asks_for():
    """Of Llama-2-7B (32 blocks of 4096, inner 11008) and a token, in 16 bits, with nothing computed
    again: 4 + 2 + 2 widths and 4 inner ones a block; 32,000 logits and their gradients.
    """
    entry = {"method": "full", "precision": "bfloat16"}
    model = published.architecture("Llama-2-7B")
    sure, likely = memory.to_train(model, entry), memory.likely_to_train(model, entry, 4096)
    per_token = 2 * 32 * (8 * 4096 + 4 * 11008) + 2 * 4 * 32000
    assert likely.activations == pytest.approx(4096 * per_token)
    assert likely.total == pytest.approx(sure.total + 4096 * per_token + 1.5e9)
    # Korthikanti et al. (2022): 34 bytes a width of a token in a block; here a little more
    assert 1 < per_token / (34 * 4096 * 32) < 1.3
    lora = {"method": "lora", "precision": "bfloat16", "rank": 8}
    of_lora = memory.likely_to_train(model, lora, 0)
    assert of_lora.states == pytest.approx(16 * memory.lora_parameters(model, 8))


def test_quantizing_holds_a_block_its_samples_and_their_statistics():
    """Llama-3.1-405B, as above."""
    model = published.architecture("Llama-3.1-405B")
    states = 128 * 2048 * 16384
    gptq, awq = (
        memory.to_quantize(model, {"method": kind, "calibration": CALIBRATION})
        for kind in ("gptq", "awq")
    )
    assert gptq.activations == pytest.approx(2 * 2 * states)
    assert gptq.states == pytest.approx(4 * (3 * 16384**2 + 3 * 53248**2))
    assert awq.states == 0
    assert awq.activations == pytest.approx(2 * 128 * 2048 * (5 * 16384 + 53248))


# ---------------------------------------------------------------- decisions
@pytest.fixture(autouse=True)
def without_reading_code(monkeypatch):
    """Which code a job runs is another question, and takes a second."""
    monkeypatch.setattr(Parts, "_code", lambda self, *_: {"code": part("0")})


@pytest.fixture
def data(study_data):
    """Three ways to fine-tune seven billion parameters beside a board of 80 GB."""
    study_data["model"] = {"seven": {"hub": "meta-llama/Llama-2-7b-hf", "revision": "0" * 40}}
    common = {"epochs": 2, "data": SAF}
    study_data["training"] = {
        "none": {"method": "none"},
        "all": {"method": "full", "precision": "bfloat16", **common},
        "lora": {"method": "lora", "precision": "float32", **common},
    }
    study_data["pruning"] = {"none": {"method": "none"}, "half": study_data["pruning"]["half"]}
    fp16 = {"method": "cast", "dtype": "float16"}
    study_data["quantization"] = {"fp16": fp16, "gptq4": study_data["quantization"]["gptq4"]}
    study_data["hardware"] = {"board": {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 80}}
    study_data["quality"] = {"text": study_data["quality"]["text"]}
    study_data["ranking"]["baseline"] = {"quantization": "fp16"}
    return study_data


def test_what_is_expected_to_run_out_of_memory_is_said_and_sent(data, monkeypatch):
    """128 rows of 2,048 tokens at once beside 27 GB of weights; and statistics beside 16 GB."""
    monkeypatch.setattr(known, "conclusions", lambda *_: {})
    del data["training"]["all"]
    data["training"]["wide"] = {
        **data["training"]["lora"],
        "batch_size": 128,
        "sequence_length": 2048,
        "packing": True,
    }
    found = plan.of_study(specs_of(data), "results")
    ((path, why),) = found.doubtful.items()
    assert path.startswith("training/seven/wide/")
    assert "fine-tuning needs" in why
    assert "activations" in why
    assert path in found.to_run
    data["hardware"]["board"] = {"device": "cuda", "gpu": "T4"}
    data["quantization"]["gptq4"]["calibration"] = {**CALIBRATION, "samples": 1024}
    small = plan.of_study(specs_of(data), "results")
    assert {p.split("/")[0] for p in small.doubtful} >= {"weights"}
    assert all("quantizing needs" in why for p, why in small.doubtful.items() if "weights/" in p)


def specs_of(data):
    return Specs(study.from_data(data, "test"))


def site(gres):
    return {"default": {}, "stages": {"train_model": {"gres": gres}}, "hardware": {}}


def not_made(data, site=None):
    """Labels of what is not made, without cells."""
    return {key for key in infeasible.of_study(specs_of(data), site) if len(key) < 7}


WHY = "fine-tuning needs 108 GB (weights 27.0, states 80.9), A100-SXM4-80GB has 86 GB at most"


def test_what_cannot_be_trained_is_kept_back_with_all_behind_it(data):
    specs = specs_of(data)
    found = infeasible.of_study(specs)
    assert found["seven", "all"] == WHY
    cells = {cell for cell in specs.study.cells if cell.training == "all"}
    assert {key for key in found if len(key) == 7} == cells
    assert {found[cell] for cell in cells} == {WHY}
    every = list(shelf.jobs_of(specs))
    left = shelf.sent(every, found)
    assert {j.path for j in every} - {j.path for j in left} == {
        job.path for job in every if job.labels[1:2] == ("all",)
    }
    kinds = {job.kind for job in every if job.labels[1:2] == ("all",)}
    assert kinds == {"training", "trained", "pruned", "weights", "energy", "quality"}


@pytest.mark.parametrize(
    ("gres", "kept_back"),
    [
        ("gpu:a100:1", True),  # 80 GB, where the table has boards of 40 GB too
        ("gpu:a30:3", True),
        ("gpu:a30:4", True),  # 103 GB
        ("gpu:a100:2", False),
        ("gpu:h200:1", False),
        ("gpu:1", False),  # which board?
        ("gpu:something:1", False),
        ("gpu:gb10:1", False),  # shares the memory of its machine
    ],
)
def test_the_board_is_that_of_the_stage(data, gres, kept_back):
    assert not_made(data, site(gres)) == ({("seven", "all")} if kept_back else set())


# What is not known well enough
UNSURE = {
    "a study that wants to try": lambda d: d["protocol"].update(infeasible="try"),
    "a machine that may be a CPU": lambda d: d["hardware"].update(here={"device": "cpu"}),
    "sizes that nobody knows": lambda d: d["model"]["seven"].update(hub="someone/something"),
    "experts": lambda d: d["model"]["seven"].update(hub="mistralai/Mixtral-8x7B-v0.1"),
    "another board": lambda d: d["hardware"].update(more={"device": "cuda", "gpu": "Quadro"}),
    "a larger board": lambda d: d["hardware"].update(more={"device": "cuda", "gpu": "H200"}),
}


@pytest.mark.parametrize("name", UNSURE)
def test_what_is_not_sure_is_tried(data, name):
    UNSURE[name](data)
    assert not_made(data) == set()


def test_a_stage_without_a_board_is_tried(data):
    assert not_made(data, {"default": {}, "stages": {}, "hardware": {}}) == set()


def test_pruning_takes_one_board_and_keeps_its_own_cells_back(data):
    """Of a model whose Hessians are too large for any number of A30."""
    data["model"] = {"large": {"hub": "meta-llama/Llama-3.1-70B", "revision": "0" * 40}}
    sparse = {"method": "sparsegpt", "ratio": 0.5, "calibration": CALIBRATION}
    data["pruning"]["sparse"] = sparse
    data["training"] = {"none": {"method": "none"}}
    data["hardware"] = {"board": {"device": "cuda", "gpu": "A30", "gpus": 8}}
    assert not_made(data) == {("large", "none", "sparse")}
    found = infeasible.of_study(specs_of(data))
    assert found["large", "none", "sparse"].startswith("pruning needs 34 GB (weights 1.7, ")
    assert all(key[2] == "sparse" for key in found)


def test_what_was_tried_is_not_kept_back(data, tmp_path):
    specs = specs_of(data)
    with results_in(tmp_path):
        path = tmp_path / f"results/{specs.training('seven', 'all').path}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"status": "oom"}))
        assert infeasible.of_study(specs) == {}


def test_answers_that_are_judged_against_it_are_not_judged(data):
    saf = {
        "method": "generation",
        "data": "config/data/saf/questions.jsonl",
        "template": "{question}",
        "new_tokens": 8,
        "metrics": ["form"],
    }
    judge = {"model": "umpire", "endpoint": "http://127.0.0.1:1/v1"}
    arena = {
        "method": "arena",
        "answers": "saf",
        "baseline": {"training": "all", "quantization": "fp16"},
        "judge": judge,
    }
    data["quality"] = {"saf": saf, "arena": arena}
    specs = specs_of(data)
    found = infeasible.of_study(specs)
    other = ("seven", "lora", "none", "gptq4", "arena")
    assert found[other] == f"its answers are judged against those of seven/all/none/fp16: {WHY}"
    kinds = {job.kind for job in shelf.sent(shelf.jobs_of(specs), found)}
    assert "texts" in kinds
    assert "judgments" not in kinds


# ---------------------------------------------------------------- what is said of it
def test_a_merge_is_told_in_few_words(data):
    found = infeasible.of_study(specs_of(data))
    told = json.loads(json.dumps({"infeasible": packed(found)}))
    assert unpacked(told) == found
    assert len(told["infeasible"]["reasons"]) == 1


def test_the_dataset_has_it_in_every_group(data, tmp_path):
    specs = specs_of(data)
    unfit = infeasible.of_study(specs)
    with results_in(tmp_path):
        tree, missing = dataset.merge(specs, shelf.Shelf(own=shelf.jobs_of(specs)), unfit)
    assert missing
    assert not [row for row in missing if "/all/" in row["path"]]
    flag = STATUS.index("infeasible")
    for group in ("energy", "quality", "training"):
        of_all = tree[group].sel(training="all")
        assert (of_all.status == flag).all(), group
        assert set(of_all.reason.values.ravel()) == {WHY}
        assert not (tree[group].sel(training="lora").status == flag).any()


def test_the_plan_counts_and_names_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(known, "conclusions", lambda *_: {})
    specs = specs_of(data)
    made = plan.of_study(specs, str(tmp_path))
    (share,) = made.shares
    assert share.infeasible == 4
    assert {each.infeasible for each in made.cells if each.cell.training == "all"} == {WHY}
    assert not [path for path in made.to_run if "/all/" in path]
    kinds = {each.kind: each.jobs for each in made.jobs}
    assert (kinds["training"], kinds["energy"], kinds["quality"]) == (1, 2 * 8, 8)
    # nothing that is not made is shared
    rows = sharing.savings(specs, unfit=infeasible.of_study(specs).keys())
    assert rows[-1].shared == sum(kinds.values()) - kinds["models"]

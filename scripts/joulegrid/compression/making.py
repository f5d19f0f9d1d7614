"""Making the weights of a configuration, from a folder into an empty one: pruned, or quantized.

What is computed here decides what the weights are. Metering it, checking what came out and writing
a record are for the caller; see `joulegrid.compression.verification`.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from joulegrid.compression.verification import flops_per_token, probe
from joulegrid.jobs.implementation import implementation
from joulegrid.models.context import context_of
from joulegrid.texts.calibration import calibration_tokens


def prune(source: Path, folder: Path, entry: dict, seed: int, device: str) -> dict[str, Any]:
    """Prune a model, recover it where the entry says so, and save it with its tokenizer.

    Parameters
    ----------
    entry
        the pruning of a study.
    seed
        draws the calibration samples, and what recovery begins with.
    device
        where to compute, "cpu" or "cuda".

    Returns
    -------
    notes
        what the method notes.
    calibration
        `samples` and `distinct_samples`, where the entry has a calibration text.
    recovery
        what the recovery notes, where the entry has one.
    flops_per_token
        `before` and `after`.
    probe
        what `verification.check_pruned` recognizes the saved model by; no fact for a record.
    """
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto").eval()
    before = flops_per_token(model)
    calibration = _calibration(entry, tokenizer, model.config, seed)
    method = implementation("compression.pruning", entry["method"])
    made = {"notes": method.prune(model, entry, calibration, device), **_drawn(calibration)}
    if "recovery" in entry:
        recovery = implementation("training", "recovery")
        made["recovery"] = recovery.recover(model, tokenizer, entry["recovery"], device, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    flops = {"before": before, "after": flops_per_token(model)}
    return {**made, "flops_per_token": flops, "probe": probe(model)}


def quantize(source: Path, folder: Path, entry: dict, seed: int, device: str) -> dict[str, Any]:
    """Quantize a model by a method that makes its own copy of the weights.

    Parameters
    ----------
    entry
        the quantization of a study.
    seed
        draws the calibration samples.
    device
        where to compute, "cpu" or "cuda".

    Returns
    -------
    What the method notes, and where the entry has a calibration text, `calibration`: `samples` and
    `distinct_samples`.
    """
    torch.manual_seed(seed)
    calibration = None
    if "calibration" in entry:
        tokenizer = AutoTokenizer.from_pretrained(source)
        config = AutoConfig.from_pretrained(source)
        calibration = _calibration(entry, tokenizer, config, seed)
    method = implementation("compression.quantization", entry["method"])
    notes = method.quantize(source, folder, entry, calibration, device)
    return {**notes, **_drawn(calibration)}


def _calibration(entry: dict, tokenizer: Any, config: Any, seed: int) -> torch.Tensor | None:
    """Draw token ids (samples, tokens); None where the entry has no calibration text."""
    if "calibration" not in entry:
        return None
    return calibration_tokens(entry["calibration"], tokenizer, seed, context_of(config))


def _drawn(calibration: torch.Tensor | None) -> dict[str, dict[str, int]]:
    if calibration is None:
        return {}
    distinct = len(calibration.unique(dim=0))
    return {"calibration": {"samples": len(calibration), "distinct_samples": distinct}}

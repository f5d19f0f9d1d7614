"""Weights of their own out of a finished training, for pruning, quantization and every engine."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from joulegrid.jobs.progress import epoch_folder, epochs_in
from joulegrid.models.context import context_of
from joulegrid.training.base import merged
from joulegrid.training.batches import collator, mean_loss, padding_of, sound
from joulegrid.training.data import load


def merge(source: Path, base: Path, folder: Path, entry: dict[str, Any], device: str) -> dict:
    """Save the weights after the last epoch, adapters merged into the full-precision base.

    The sum is computed in float32 and stored in the type of the base. What is merged computes
    something else than what was trained where that was quantized: the loss on the validation
    samples says how much.

    Parameters
    ----------
    source
        the folder of the training.
    base
        the folder of the model that it began with.

    Returns
    -------
    `validation_loss` of the weights as saved, and `before`, as trained; nats per token.

    Raises
    ------
    Diverged
        where the loss of the merged weights is no number.
    """
    epochs = epochs_in(source)
    last = epoch_folder(source, len(epochs))
    config, tokenizer = AutoConfig.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    if entry["method"] == "full":
        model = AutoModelForCausalLM.from_pretrained(last, dtype=torch.float32)
    else:
        model = merged(base, last)
    model.config.use_cache = config.get_text_config().use_cache
    model.to(config.dtype or torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    del model
    data = load(entry, tokenizer, context_of(config))
    collate = collator(padding_of(tokenizer))
    saved = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32 if device == "cpu" else "auto",
        device_map="auto" if device == "cuda" else "cpu",
    )
    loss = mean_loss(saved, data.validation, entry["batch_size"], collate)
    sound(loss, is_merged=True)
    return {"validation_loss": loss, "before": epochs[-1]["validation_loss"]}

"""Tiny random Llamas whose tokenizer llama.cpp's converter knows, and what becomes of them."""

from functools import cache
from pathlib import Path

import pytest
import sentencepiece
import torch
from transformers import LlamaForCausalLM

import tiny_model
from joulegrid.compression import gguf


def make(folder: Path, hidden: int, pruned: bool = False) -> Path:
    """Two layers, 400 sentence pieces, seeded; `pruned` puts zeros into every linear layer, two of four in a row."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(tiny_model.config_of(hidden))
    if pruned:
        for name, weight in model.model.layers.named_parameters():
            if name.endswith("proj.weight"):
                weight.data.view(-1, 4)[:, 1:3] = 0
    model.save_pretrained(folder)
    prefix, text = str(folder / "tokenizer"), tiny_model.TEXT.read_text(encoding="utf-8").splitlines()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_prefix=prefix, vocab_size=400, byte_fallback=True, minloglevel=2
    )
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A function that quantizes a tiny model once and gives (its folder, the notes, its source)."""

    @cache
    def of(hidden: int, wanted: str, pruned: bool = False):
        source = make(tmp_path_factory.mktemp("source"), hidden, pruned)
        folder = tmp_path_factory.mktemp(wanted)
        return folder, gguf.quantize(str(source), {"type": wanted}, folder, "cpu", 0), source

    return of

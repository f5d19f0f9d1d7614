"""Tiny random Llamas whose tokenizer llama.cpp's converter knows, and what becomes of them."""

from functools import cache

import pytest

from helpers import tiny_model
from joulegrid.compression import making


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A function that quantizes a tiny model once and gives (its folder, the notes, its source)."""

    @cache
    def of(hidden: int, wanted: str, pruned: bool = False):
        source = tmp_path_factory.mktemp("source")
        tiny_model.make_sentencepiece(source, hidden, pruned)
        folder = tmp_path_factory.mktemp(wanted)
        notes = making.quantize(source, folder, {"method": "gguf", "type": wanted}, 0, "cpu")
        return folder, notes, source

    return of

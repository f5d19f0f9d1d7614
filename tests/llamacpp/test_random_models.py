"""Models of random weights read on llama.cpp what they read on the other engines."""

import json

import pytest
from transformers import AutoTokenizer

from conftest import ROOT
from joulegrid.compression.quantization import gguf
from joulegrid.engines import Request, llamacpp
from joulegrid.engines.prompts import encoder, tokens_of
from joulegrid.models import random
from joulegrid.models.content import TOKENIZER, content_hash
from joulegrid.texts.files import prompts_of

pytestmark = pytest.mark.slow

ODD = (
    " before",
    "behind ",
    "two  spaces",
    "a\n\n\tb\r\n",
    "(f(), 'x').",
    "12345",
    "東京 naïvely 🦙",
)


@pytest.mark.parametrize("name", ["mini-llama", "mini-gemma", "mini-qwen"])
def test_random_models_read_the_token_ids_of_transformers(tmp_path, name):
    source, folder = tmp_path / "source", tmp_path / "gguf"
    source.mkdir()
    folder.mkdir()
    config = json.loads((ROOT / f"config/models/{name}.json").read_text(encoding="utf-8"))
    told = {"config": config, "tokenizer": content_hash(ROOT / TOKENIZER)}
    random.fetch({"random": told, "seed": 0}, source)
    gguf.quantize(source, folder, {"type": "F32"}, None, "cpu")
    prompts = [*prompts_of({"path": str(ROOT / "config/prompts/questions.jsonl")}), *ODD]
    asked = [Request(prompt, 1, prompt_tokens=n) for prompt in prompts for n in (None, 16)]
    loaded = llamacpp.load(folder, {}, {"device": "cpu", "threads": 1}, {"slots": 1})
    encode = encoder(AutoTokenizer.from_pretrained(source), chat=True)
    due = [tokens_of(request, encode) for request in asked]
    assert [loaded._tokens(request) for request in asked] == due
    assert loaded.run(asked[:1])[0].tokens_read == len(due[0])

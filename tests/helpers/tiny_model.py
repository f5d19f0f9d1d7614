"""Make a tiny random Llama with a tokenizer, by an interpreter of the compute environments:

envs/llm/.venv/bin/python tests/helpers/tiny_model.py FOLDER
envs/llamacpp/.venv/bin/python tests/helpers/tiny_model.py --sentencepiece HIDDEN FOLDER
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizerFast, PreTrainedTokenizerFast

TEXT = Path(__file__).resolve().parents[2] / "config" / "texts" / "calibration.txt"


def make(folder: Path, hidden: int = 64, heads: int = 4, key_values: int = 2) -> Path:
    """Two layers, 400 byte-pair tokens, seeded: the same weights every time."""
    save_tokenizer(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(config_of(hidden, heads, key_values)).save_pretrained(folder)
    return folder


# Width, feed-forward width, layers, heads and vocabulary, as Llama 3.2 1B and 3B and 3.1 8B have
# them; the smallest with a smaller vocabulary, which makes it 1.1 billion weights
LARGE = {
    "1b": (2048, 8192, 16, 32, 32_000),
    "3b": (3072, 8192, 28, 24, 128_256),
    "8b": (4096, 14_336, 32, 32, 128_256),
}


def make_large(folder: Path, size: str, device: str = "cuda") -> Path:
    """A random Llama in bfloat16 with the shape of a published one, made on the GPU."""
    width, inner, layers, heads, vocabulary = LARGE[size]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        max_position_embeddings=4096,
        eos_token_id=0,
        bos_token_id=0,
        pad_token_id=0,
    )
    save_tokenizer(folder)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # in 32 bits first, the largest would need 32 GB
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """400 byte-pair tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<end>"]
    )
    tokenizer.train_from_iterator([TEXT.read_text(encoding="utf-8")], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>"
    ).save_pretrained(folder)


def make_sentencepiece(folder: Path, hidden: int = 64, pruned: bool = False) -> Path:
    """The same with 400 sentence pieces, which llama.cpp's converter knows; `pruned` makes two of
    four neighbours zero.
    """
    import sentencepiece  # in the environment of llama.cpp only

    torch.manual_seed(0)
    model = LlamaForCausalLM(config_of(hidden))
    if pruned:
        for name, weight in model.model.layers.named_parameters():
            if name.endswith("proj.weight"):
                weight.data.view(-1, 4)[:, 1:3] = 0
    model.save_pretrained(folder)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.read_text(encoding="utf-8").splitlines()),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=400,
        byte_fallback=True,
        minloglevel=2,
    )
    # as llama.cpp takes it to be
    LlamaTokenizerFast.from_pretrained(folder, add_bos_token=True).save_pretrained(folder)
    return folder


def make_hollow(folder: Path, hidden: int, tokenizer: Path) -> Path:
    """A model of the same kind, large and all zeros: its weights are a hole in a file and take no
    room on disk.
    """
    folder.mkdir()
    with torch.device("meta"):
        model = LlamaForCausalLM(config_of(hidden))
    model.config.save_pretrained(folder)
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in model.state_dict().items():
        begin, end = end, end + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)
    for path in tokenizer.glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


def config_of(hidden: int, heads: int = 4, key_values: int = 2) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=400,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=key_values,
        max_position_embeddings=512,
        eos_token_id=0,
        bos_token_id=0,
        pad_token_id=0,
    )


if __name__ == "__main__":
    target = Path(sys.argv[-1])
    if sys.argv[1] == "--sentencepiece":
        make_sentencepiece(target, int(sys.argv[2]))
    else:
        make(target)

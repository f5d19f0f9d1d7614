"""The engine that is llama.cpp, by xllamacpp: its server inside this process, greedy, a fixed
number of new tokens.

The server is asked over its own HTTP interface, on a port of the loopback device and with a key
that only this process knows: unlike the binding's functions, it reports the tokens of every prompt
of a batch.
"""

import json
import os
import secrets
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import gguf
import xllamacpp

from joulegrid.engines import Completion, Request
from joulegrid.errors import InputError, Unsupported
from joulegrid.jobs import failures
from joulegrid.jobs.devices import peak_memory
from joulegrid.jobs.run import say
from joulegrid.models import GGUF

# Tokens that a slot holds until longer prompts ask for more
SLOT = 1024
WARNINGS = 2  # of llama.cpp's levels 0 (nothing) to 5 (everything)
ALL_LAYERS = 1_000_000


@dataclass
class Engine:
    """A loaded model: `slot` tokens of context for each of `batch_size` parallel sequences."""

    path: Path
    batch_size: int
    on_gpu: bool
    threads: int
    server: Any = None
    key: str = ""
    slot: int = 0
    _tokenized: dict[Request, list[int]] = field(default_factory=dict)

    def start(self, slot: int) -> None:
        """Load the model, with room for `slot` tokens in each of the parallel sequences.

        Raises
        ------
        OutOfMemory, Unsupported, InputError
            where llama.cpp does not load it, with llama.cpp's reason.
        """
        self.server = None  # free the memory of the one before
        self.key = secrets.token_hex()
        try:
            with _overheard() as said:
                self.server = xllamacpp.Server(self._settings(slot))
        except RuntimeError:
            raise failures.of_loading(self.path, said) from None
        self.slot = slot

    def _settings(self, slot: int) -> Any:
        settings = xllamacpp.CommonParams()
        settings.model.path = str(self.path)
        settings.n_parallel = self.batch_size
        settings.n_ctx = slot * self.batch_size
        settings.n_gpu_layers = ALL_LAYERS if self.on_gpu else 0
        settings.no_kv_offload = settings.no_op_offload = not self.on_gpu
        # It would move layers to slower memory, or shorten the context, without a word
        settings.fit_params = False
        # Every repeat does the whole work again
        settings.cache_prompt = settings.cache_idle_slots = False
        settings.cache_ram_mib = settings.n_ctx_checkpoints = 0
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = self.threads
        settings.n_threads_http = 2
        settings.api_keys = [self.key]
        settings.ui = False
        settings.verbosity = WARNINGS
        return settings

    def run(self, requests: Sequence[Request]) -> list[Completion]:
        """See `joulegrid.engines.Engine`; as many requests as fit go in parallel, the next ones
        after them.
        """
        self._tokenize(requests)
        began = time.perf_counter()
        done: list[Completion] = []
        for start in range(0, len(requests), self.batch_size):
            done += self._continue(requests[start : start + self.batch_size], began)
        return done

    def _tokenize(self, requests: Sequence[Request]) -> None:
        """Tokens of every request that was not seen before, and room for them."""
        for request in requests:
            if request not in self._tokenized:
                content = request.prompt
                if request.chat and self._fact("tokenizer.chat_template"):
                    turn = {"messages": [{"role": "user", "content": content}]}
                    content = self._ask("/apply-template", turn)["prompt"]
                asked = {"content": content, "add_special": True}
                self._tokenized[request] = self._ask("/tokenize", asked)["tokens"]
        longest = max(len(self._tokenized[request]) + request.new_tokens for request in requests)
        context = self._fact(f"{self._fact('general.architecture')}.context_length")
        if context and longest > context:
            raise Unsupported(
                f"prompt and new tokens are {longest} tokens, the model's context is {context}"
            )
        if longest > self.slot:
            say(f"loading again, for {longest} tokens in each sequence")
            self.start(longest)

    def _continue(self, batch: Sequence[Request], began: float) -> list[Completion]:
        """Continue every prompt of a batch by exactly its number of new tokens.

        The prompts go in one request, or they would not start together.
        """
        if len({request.new_tokens for request in batch}) > 1:
            raise InputError("the requests of a batch ask for different numbers of new tokens")
        greedy = {"samplers": ["top_k"], "top_k": 1, "temperature": 0, "ignore_eos": True}
        prompts = [self._tokenized[request] for request in batch]
        question = {
            "prompt": prompts,
            "n_predict": batch[0].new_tokens,
            "cache_prompt": False,
            **greedy,
        }
        answers = self._ask("/completion", question)
        done = time.perf_counter() - began
        found = [(answer["timings"]["prompt_n"], answer["tokens_predicted"]) for answer in answers]
        due = [(len(prompt), batch[0].new_tokens) for prompt in prompts]
        if sorted(found) != sorted(due):
            raise RuntimeError(f"llama.cpp read and wrote {found} tokens, due were {due}")
        by_index = sorted(answers, key=lambda answer: answer.get("index", 0))
        return [
            Completion(r, w, done, a["content"]) for (r, w), a in zip(due, by_index, strict=True)
        ]

    def _ask(self, path: str, question: dict) -> Any:
        """Not by urllib, which would send it to a proxy where the environment names one."""
        connection = HTTPConnection(self.server.listening_address.removeprefix("http://"))
        try:
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(question), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"llama.cpp answers to {path}: {text}")
        found = json.loads(text)
        # One prompt alone is not answered by a list
        return [found] if path == "/completion" and isinstance(found, dict) else found

    @cached_property
    def _file(self) -> gguf.GGUFReader:
        return gguf.GGUFReader(self.path)

    def _fact(self, name: str) -> Any:
        """A value of the file's metadata, None where it is not there."""
        field = self._file.get_field(name)
        return None if field is None else field.contents()

    def describe(self) -> dict[str, Any]:
        """See `joulegrid.engines.Engine`: how many matrices ggml multiplies in which type."""
        kernels = Counter(
            f"ggml {t.tensor_type.name}" for t in self._file.tensors if len(t.shape) >= 2
        )
        return {
            "kernels": dict(kernels),
            "weights_bytes": int(sum(t.n_bytes for t in self._file.tensors)),
            "settings": {"cache": "prompts not kept", "threads": str(self.threads)},
        }

    def memory(self) -> dict[str, int]:
        """See `joulegrid.engines.Engine`; llama.cpp does not say what it takes of a GPU."""
        return {"ram": peak_memory()}


def load(weights: Path, quantization: dict, hardware: dict, options: dict) -> Engine:
    """Load a GGUF file onto the device of a hardware entry, whole.

    Raises
    ------
    Unsupported
        where there is no GGUF file, or xllamacpp was built without the device.
    OutOfMemory
        where it does not fit.
    InputError
        where the file is damaged.
    """
    path = (weights / GGUF).resolve()
    if not path.is_file():
        raise Unsupported(
            "llama.cpp runs GGUF only; the gguf quantization makes it, F32 and BF16 too"
        )
    on_gpu = hardware["device"] == "cuda"
    if on_gpu and not _has_gpu():
        raise Unsupported(
            f"xllamacpp {xllamacpp.__version__} is built for CPUs only here; its documentation "
            "says how to get one "
            "with CUDA into envs/llamacpp"
        )
    threads = hardware.get("threads", len(os.sched_getaffinity(0)))
    engine = Engine(path, options["batch_size"], on_gpu, threads)
    engine.start(SLOT)
    return engine


def _has_gpu() -> bool:
    kind = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_GPU
    return any(device["type"] == kind for device in xllamacpp.get_device_info())


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What C++ writes to stderr meanwhile, filled in at the end; it goes to stderr too, even if the
    process dies.
    """
    said: list[str] = []
    with tempfile.NamedTemporaryFile("r", errors="replace") as copy:
        kept = os.dup(2)
        tee = subprocess.Popen(["tee", copy.name], stdin=subprocess.PIPE, stdout=kept)
        assert tee.stdin is not None
        os.dup2(tee.stdin.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            tee.stdin.close()
            tee.wait()
            said += copy.read().splitlines()

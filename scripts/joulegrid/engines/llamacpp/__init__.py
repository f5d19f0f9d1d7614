"""The engine that is llama.cpp, by xllamacpp: its server inside this process, greedy, requests
joining as slots become free.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import xllamacpp

from joulegrid.engines import Completion, Report, Request
from joulegrid.engines.llamacpp.running import Run
from joulegrid.engines.llamacpp.server import HELD, Server, has_gpu
from joulegrid.engines.prompts import Encode, Text, check_context, text_of, tokens_of
from joulegrid.errors import Unsupported
from joulegrid.jobs.devices import peak_memory
from joulegrid.jobs.run import say
from joulegrid.models import GGUF

# Tokens that a slot has room for until longer prompts ask for more
CONTEXT = 1024


@dataclass
class Engine:
    """A loaded model; `is_cut` says whether the study set the context of a slot."""

    server: Server
    is_cut: bool = False
    _tokenized: dict[Text, list[int]] = field(default_factory=dict)
    _last: Run | None = None

    def run(
        self,
        requests: Sequence[Request],
        at_once: int | None = None,
        report: Report | None = None,
    ) -> list[Completion]:
        """See `joulegrid.engines.Engine`; a request takes the first slot that becomes free after it
        has arrived.
        """
        self._last = None
        prompts = self.prepare(requests)
        slots, run = self.server.slots, Run(self.server, requests, prompts)
        self._last = run
        alike = len({(r.arrival_s, r.new_tokens, r.stops) for r in requests}) == 1
        if alike and (at_once or slots) >= min(slots, len(requests)):
            # in one question, or they would not start together
            run.ask_for(list(range(len(requests))))
        else:
            run.ask_for_each(min(at_once or HELD * slots, HELD * slots))
        return run.completions(report)

    def prepare(self, requests: Sequence[Request]) -> list[list[int]]:
        """See `joulegrid.engines.Engine`."""
        prompts = [self._tokens(request) for request in requests]
        context = self._fact(f"{self._fact('general.architecture')}.context_length")
        rows = list(zip(prompts, requests, strict=True))
        for prompt, request in rows:
            check_context(prompt, request, context)
        self._make_room(max(len(prompt) + request.new_tokens for prompt, request in rows))
        return prompts

    def _tokens(self, request: Request) -> list[int]:
        key = text_of(request)
        if key not in self._tokenized:
            self._tokenized[key] = tokens_of(request, self._encoder(request.chat))
        return self._tokenized[key]

    def _encoder(self, chat: bool) -> Encode:
        """How the server encodes a prompt.

        It takes the beginning-of-sequence token out of a template, adds one where the model wants
        one, and so adds one to a template that has none: there it must not, as it is for the other
        engines the template that says what the model reads.
        """
        template = (self._fact("tokenizer.chat_template") or "") if chat else ""
        has_own = "bos_token" in template or (self._bos or "bos_token") in template

        def encode(text: str) -> list[int]:
            if template:
                turn = {"messages": [{"role": "user", "content": text}]}
                text = self.server.ask("/apply-template", turn)["prompt"]
            asked = {"content": text, "add_special": has_own or not template}
            return self.server.ask("/tokenize", asked)["tokens"]

        return encode

    @cached_property
    def _bos(self) -> str | None:
        """The text of the beginning-of-sequence token."""
        number = self._fact("tokenizer.ggml.bos_token_id")
        return None if number is None else self._fact("tokenizer.ggml.tokens")[number]

    def _make_room(self, tokens: int) -> None:
        """Let every slot have room for so many tokens."""
        if tokens <= self.server.context:
            return
        if self.is_cut:
            raise Unsupported(
                f"prompt and new tokens are {tokens} tokens, a slot holds {self.server.context}: "
                "context of the engine entry"
            )
        say(f"loading again, for {tokens} tokens in each sequence")
        self.server.start(tokens)

    @cached_property
    def _file(self) -> gguf.GGUFReader:
        return gguf.GGUFReader(self.server.path)

    def _fact(self, name: str) -> Any:
        """A value of the file's metadata, None where it is not there."""
        field = self._file.get_field(name)
        return None if field is None else field.contents()

    def begun(self) -> dict[int, float]:
        """See `joulegrid.engines.Engine`: the server says it when it has read a first part of a
        prompt.
        """
        return dict(self._last.begun) if self._last else {}

    def describe(self) -> dict[str, Any]:
        """See `joulegrid.engines.Engine`: how many matrices ggml multiplies in which type."""
        kernels = Counter(
            f"ggml {t.tensor_type.name}" for t in self._file.tensors if len(t.shape) >= 2
        )
        told = self.server.props
        return {
            "kernels": dict(kernels),
            "weights_bytes": int(sum(t.n_bytes for t in self._file.tensors)),
            "settings": {
                "cache": "prompts not kept",
                "slots": str(told["total_slots"]),
                "context": str(told["default_generation_settings"]["n_ctx"]),
                "threads": str(self.server.threads),
            },
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
    if on_gpu and not has_gpu():
        raise Unsupported(
            f"xllamacpp {xllamacpp.__version__} is built for CPUs only here; its documentation "
            "says how to get one with CUDA into envs/llamacpp"
        )
    threads = hardware.get("threads", len(os.sched_getaffinity(0)))
    server = Server(path, options["slots"], on_gpu, threads)
    server.start(options.get("context", CONTEXT))
    return Engine(server, "context" in options)

"""llama.cpp's server inside this process, asked over HTTP on a port of the loopback device, with a
key that only this process knows.

The system chooses a free port. As the server is no process of its own, it ends with the job,
however that ends.
"""

import json
import os
import secrets
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import xllamacpp

from joulegrid.errors import InputError
from joulegrid.jobs import failures

WARNINGS = 2  # of llama.cpp's levels 0 (nothing) to 5 (everything)
ALL_LAYERS = 1_000_000
BLOCK = 1 << 16  # bytes
# How many requests the server holds for each slot: the next one is there when one ends
HELD = 2


@dataclass
class Server:
    """A GGUF file that is served, with `slots` sequences at a time.

    Parameters
    ----------
    context
        tokens that a slot has room for; 0 before it was started.
    props
        what the server says of itself.
    """

    path: Path
    slots: int
    on_gpu: bool
    threads: int
    context: int = 0
    key: str = ""
    running: Any = None
    props: dict[str, Any] = field(default_factory=dict)

    def start(self, context: int) -> None:
        """Load the model, with room for `context` tokens in every slot. Where that fails, it runs
        as before: what asks for less still can.

        Raises
        ------
        OutOfMemory, Unsupported, InputError
            where llama.cpp does not load it, with llama.cpp's reason; `is_last` where it does not
            load it as before either.
        """
        try:
            self._load(context)
        except Exception as error:
            if self.context:
                try:
                    self._load(self.context)
                except Exception:
                    error.is_last = True  # type: ignore[attr-defined]
            raise
        self.context, self.props = context, self.ask("/props")

    def _load(self, context: int) -> None:
        self.running = None  # free the memory of the one before
        self.key = secrets.token_hex()
        try:
            with _overheard() as said:
                self.running = xllamacpp.Server(self._settings(context))
        except RuntimeError:
            raise failures.of_loading(self.path, said) from None

    def _settings(self, context: int) -> Any:
        settings = xllamacpp.CommonParams()
        settings.model.path = str(self.path)
        settings.n_parallel = self.slots
        settings.n_ctx = context * self.slots
        settings.n_gpu_layers = ALL_LAYERS if self.on_gpu else 0
        settings.no_kv_offload = settings.no_op_offload = not self.on_gpu
        # It would move layers to slower memory, or shorten the context, without a word
        settings.fit_params = False
        # Every repeat does the whole work again
        settings.cache_prompt = settings.cache_idle_slots = False
        settings.cache_ram_mib = settings.n_ctx_checkpoints = 0
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = self.threads
        # a request that is held takes one until it is answered
        settings.n_threads_http = HELD * self.slots + 2
        settings.api_keys = [self.key]
        settings.ui = False
        settings.verbosity = WARNINGS
        return settings

    def ask(self, path: str, question: dict | None = None) -> Any:
        """What the server answers, to a question or to none.

        Raises
        ------
        InputError
            where it refuses, or answers no more.
        """
        with self._answer(path, question) as answer:
            return json.load(answer)

    def continued(self, question: dict) -> Iterator[dict[str, Any]]:
        """The answer to each prompt of a question, when it is complete, and where the question asks
        for that how far its prompt is read; `index` is the prompt's.

        Raises
        ------
        InputError
            as `ask`.
        """
        texts: defaultdict[int, str] = defaultdict(str)
        with self._answer("/completion", {**question, "stream": True}) as answer:
            for event in _events(answer):
                _, is_part, content = event.partition(b": {")
                if not is_part:
                    continue
                part = json.loads(b"{" + content)
                if "content" not in part:
                    raise InputError(f"llama.cpp fails: {event.decode()}")
                texts[part["index"]] += part["content"]
                if part["stop"] or "prompt_progress" in part:
                    yield {**part, "content": texts[part["index"]]}

    @contextmanager
    def _answer(self, path: str, question: dict | None) -> Iterator[HTTPResponse]:
        """Not by urllib, which would send it to a proxy where the environment names one."""
        connection = HTTPConnection(self.running.listening_address.removeprefix("http://"))
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            if question is None:
                connection.request("GET", path, headers=headers)
            else:
                connection.request("POST", path, json.dumps(question), headers)
            answer = connection.getresponse()
            if answer.status != HTTPStatus.OK:
                raise InputError(f"llama.cpp answers to {path}: {answer.read().decode()}")
            yield answer
        except (OSError, HTTPException) as error:
            raise InputError(f"llama.cpp does not answer to {path}: {error!r}") from None
        finally:
            connection.close()


def _events(answer: HTTPResponse) -> Iterator[bytes]:
    """Server-sent events as they come."""
    kept = b""
    while block := answer.read1(BLOCK):
        *events, kept = (kept + block).split(b"\n\n")
        yield from events


def has_gpu() -> bool:
    """Whether xllamacpp was built for GPUs and finds one."""
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

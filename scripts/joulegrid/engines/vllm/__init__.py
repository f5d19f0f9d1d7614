"""The engine that is vLLM, as it serves: its scheduler and its workers in processes of their own,
greedy decoding, requests joining as there is room.

Those processes are children of this one. The meter counts the children's CPU time and NVML knows
them; `jobs.orphans` ends them with this process, however it ends.
"""

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any

from vllm import EngineArgs, LLMEngine
from vllm.v1.engine.exceptions import EngineDeadError

from joulegrid.engines import Completion, Report, Request
from joulegrid.engines.prompts import Text, check_context, encoder, text_of, tokens_of
from joulegrid.engines.vllm.running import begun, completion, greedy
from joulegrid.errors import Finding, InputError, OutOfMemory, Unsupported
from joulegrid.jobs import failures, orphans
from joulegrid.jobs.devices import gpu_memory_in_use, peak_memory_of_all
from joulegrid.jobs.overheard import Overheard
from joulegrid.models.context import context_of

# What it is told by the environment: to report nothing, to serve as it does by itself
SETTINGS = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_PLUGINS": "bitsandbytes",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
}
# Where it keeps compiled code is the user's; what else one set for a server decides nothing here
KEPT = "VLLM_CACHE_ROOT"
# What vLLM took on a CPU before it went by shares of the whole machine's memory
KV_CACHE_ON_CPU = 4 << 30
LIVENESS_S = 0.5
# It waits for its processes for ever. They compile and capture graphs for minutes, and read weights
# at no less than a slow shared disk gives
READY_S, SLOWEST_READ = 1800.0, 20e6
# It quantizes to NF4 with double quantization, and to nothing else, while loading
WHILE_LOADING = {"bitsandbytes-4bit": "bitsandbytes"}


@dataclass
class Engine:
    """A loaded model; `log` is what its processes say, `is_cut` whether the study set the longest
    sequence, `death` what became of it where it runs no more.
    """

    llm: LLMEngine
    log: Overheard
    is_cut: bool
    death: InputError | None = None
    _began: float = 0.0
    _tokenized: dict[Text, list[int]] = field(default_factory=dict)

    def run(
        self,
        requests: Sequence[Request],
        at_once: int | None = None,
        report: Report | None = None,
    ) -> list[Completion]:
        """See `joulegrid.engines.Engine`; a request is handed over when it has arrived, and joins
        those that run as soon as there is room.
        """
        if self.death:
            raise self.death
        prompts, before = self.prepare(requests), len(self.log.lines())
        waiting = deque(sorted(range(len(requests)), key=lambda n: requests[n].arrival_s))
        done: dict[int, Completion] = {}
        began = self._began = time.monotonic()
        try:
            while len(done) < len(requests):
                under_way = len(requests) - len(waiting) - len(done)
                room = len(waiting) if at_once is None else at_once - under_way
                self._hand_over(waiting, room, requests, prompts, began)
                found = {}
                for output in self.llm.step():
                    if output.finished:
                        number = int(output.request_id)
                        now = time.monotonic()
                        found[number] = completion(output, requests[number], began, now)
                done |= found
                if found and report:
                    report(found)
        except Exception as error:
            raise self._noted(
                error, failures.of_vllm(error, self.log.lines()[before:], "while running")
            ) from None
        return [done[number] for number in range(len(requests))]

    def prepare(self, requests: Sequence[Request]) -> list[list[int]]:
        """See `joulegrid.engines.Engine`."""
        prompts = [self._tokens(request) for request in requests]
        for prompt, request in zip(prompts, requests, strict=True):
            self._check_length(prompt, request)
        return prompts

    def begun(self) -> dict[int, float]:
        """See `joulegrid.engines.Engine`."""
        return begun(self.llm.output_processor.request_states, self._began)

    def _noted(self, error: Exception, found: Exception) -> Exception:
        """What an error of a run stands for; kept where the engine died of it."""
        if isinstance(error, EngineDeadError):
            self.death = failures.after_death(found)
            if isinstance(found, Finding):
                found.is_last = True
        return found

    def _hand_over(
        self,
        waiting: deque[int],
        room: int,
        requests: Sequence[Request],
        prompts: Sequence[list[int]],
        began: float,
    ) -> None:
        """Add up to `room` of those that have arrived; wait for the next one where nothing runs."""
        for _ in range(min(room, len(waiting))):
            left_s = requests[waiting[0]].arrival_s - (time.monotonic() - began)
            if left_s > 0:
                if self.llm.has_unfinished_requests():
                    return
                time.sleep(left_s)
            number = waiting.popleft()
            prompt = {"prompt_token_ids": prompts[number]}
            self.llm.add_request(str(number), prompt, greedy(requests[number]))

    def _tokens(self, request: Request) -> list[int]:
        key = text_of(request)
        if key not in self._tokenized:
            encode = encoder(self.llm.get_tokenizer(), request.chat)
            self._tokenized[key] = tokens_of(request, encode)
        return self._tokenized[key]

    def _check_length(self, prompt: list[int], request: Request) -> None:
        config, tokens = self.llm.vllm_config.model_config, len(prompt) + request.new_tokens
        check_context(prompt, request, context_of(config.hf_text_config))
        if tokens > config.max_model_len:
            if self.is_cut:
                raise Unsupported(
                    f"prompt and new tokens are {tokens} tokens, vLLM holds "
                    f"{config.max_model_len}: max_model_len of the engine entry"
                )
            raise OutOfMemory(
                f"prompt and new tokens are {tokens} tokens, vLLM holds {config.max_model_len}: "
                "the KV cache has no room for more"
            )

    @cached_property
    def _facts(self) -> list[dict[str, Any]]:
        """What each worker says of itself."""
        return self.llm.collective_rpc("joulegrid_facts")

    def describe(self) -> dict[str, Any]:
        """See `joulegrid.engines.Engine`; vLLM fuses layers: one for query, key and value."""
        first, config = self._facts[0], self.llm.vllm_config
        cache, scheduler = config.cache_config, config.scheduler_config
        kv_bytes = sum(facts["kv_cache_bytes"] for facts in self._facts)
        settings = {
            "attention": first["attention"],
            "cache": f"{first['kv_cache_tokens']} tokens in {kv_bytes} bytes, {first['kv_dtype']}",
            "prefix_caching": "on" if cache.enable_prefix_caching else "off",
            "compiled": first["compiled"],
            "threads": first["threads"],
            "model": first["model"],
            "max_num_seqs": scheduler.max_num_seqs,
            "max_num_batched_tokens": scheduler.max_num_batched_tokens,
            "max_model_len": config.model_config.max_model_len,
            "gpu_memory_utilization": cache.gpu_memory_utilization
            if cache.kv_cache_memory_bytes is None
            else "not used",
            "tensor_parallel": config.parallel_config.tensor_parallel_size,
        }
        return {
            "kernels": first["kernels"],
            "weights_bytes": sum(facts["weights_bytes"] for facts in self._facts),
            "settings": {name: str(value) for name, value in settings.items()},
        }

    def memory(self) -> dict[str, int]:
        """See `joulegrid.engines.Engine`: of this process and its children together; of the GPUs
        what is in use, which vLLM takes at once while it loads.
        """
        on_gpu = self.llm.vllm_config.device_config.device_type == "cuda"
        return {"ram": peak_memory_of_all(), **({"gpu": gpu_memory_in_use()} if on_gpu else {})}


def load(weights: Path, quantization: dict, hardware: dict, options: dict) -> Engine:
    """Load weights in safetensors onto the device of a hardware entry, over all of its GPUs.

    Raises
    ------
    Unsupported
        where vLLM does not load such weights, or not on such a device.
    OutOfMemory
        where the weights, or a KV cache for one sequence, do not fit.
    InputError
        where vLLM fails otherwise, or is not ready in time, with the last lines of its log.
    """
    _set_up(hardware)
    orphans.end_with_me()
    ready_s = READY_S + sum(file.stat().st_size for file in weights.iterdir()) / SLOWEST_READ
    with Overheard() as log, orphans.ended_after(ready_s) as were_ended:
        try:
            llm = LLMEngine.from_engine_args(
                EngineArgs(**arguments(weights, quantization, hardware, options))
            )
        except Exception as error:
            raise failures.of_vllm(
                error,
                log.lines(),
                f"to be ready within {ready_s:.0f} s" if were_ended() else "while loading",
            ) from None
    # the times of tokens are wanted, not the counters and the log that are made of them each step
    llm.logger_manager = None
    if hasattr(llm.engine_core, "outputs_queue"):  # it runs in a process of its own
        Thread(target=_wake_when_dead, args=(llm.engine_core,), daemon=True).start()
    return Engine(llm, log, "max_model_len" in options)


def _wake_when_dead(core: Any) -> None:
    """Let a step that waits for an engine fail when the engine is dead; vLLM waits for ever."""
    while not core.resources.engine_dead:
        time.sleep(LIVENESS_S)
    core.outputs_queue.put_nowait(EngineDeadError())


def _set_up(hardware: dict) -> None:
    """Set the environment that vLLM's processes inherit."""
    for name in list(os.environ):
        # Snakemake sets MKL_NUM_THREADS and its like to the CPUs of the job; vLLM binds its worker
        # to fewer, where threads then wait for each other
        if (name.startswith("VLLM_") and name != KEPT) or name.endswith("_NUM_THREADS"):
            del os.environ[name]
    os.environ.update(SETTINGS)
    if "threads" in hardware:
        mine = sorted(os.sched_getaffinity(0))[: hardware["threads"]]
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, mine))
        os.environ["OMP_NUM_THREADS"] = str(len(mine))


def arguments(weights: Path, quantization: dict, hardware: dict, options: dict) -> dict[str, Any]:
    """What vLLM is told; what it is not told is its own default."""
    on_cpu = hardware["device"] == "cpu"
    told = {
        "model": str(weights),
        "dtype": quantization.get("dtype") or quantization["compute_dtype"],
        "quantization": WHILE_LOADING.get(quantization["method"]),
        "load_format": WHILE_LOADING.get(quantization["method"], "safetensors"),
        "tensor_parallel_size": hardware.get("gpus", 1),
        "max_num_seqs": options["max_num_seqs"],
        "enforce_eager": options["enforce_eager"],
        "enable_prefix_caching": options["prefix_caching"],
        # as long as the model's context, or as the memory has room for
        "max_model_len": options.get("max_model_len", -1),
        # a checkpoint's own settings (temperature, penalties …) would count in decoding
        "generation_config": "vllm",
        "seed": 0,
        "disable_log_stats": False,  # they hold the times of first tokens
        "trust_remote_code": False,
        "worker_extension_cls": "joulegrid.engines.vllm.facts.Facts",
    }
    if "gpu_memory_utilization" in options:
        told["gpu_memory_utilization"] = options["gpu_memory_utilization"]
    elif on_cpu:
        told["kv_cache_memory_bytes"] = KV_CACHE_ON_CPU
    return told

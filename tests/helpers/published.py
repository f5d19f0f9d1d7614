"""Published measurements as rows of the planner. Those whose licence keeps them out of here are
read from the folder that JOULEGRID_PUBLISHED names, or somewhere below it.
"""

import csv
import os
import re
from functools import cache
from pathlib import Path

from joulegrid.planning import formats
from joulegrid.planning.architecture import Architecture, from_config, known_models
from joulegrid.planning.devices import devices
from joulegrid.planning.formats import Format
from joulegrid.planning.posterior import Case, Row
from joulegrid.planning.prediction import Machine, Workload

FOLDER = Path(__file__).parents[1] / "data/published"
ELSEWHERE = os.environ.get("JOULEGRID_PUBLISHED", "")
WHY_SKIPPED = "JOULEGRID_PUBLISHED names no folder of published measurements"

FORMATS = {
    "fp16": formats.HALF["float16"],
    "bf16": formats.HALF["bfloat16"],
    "bfloat16": formats.HALF["bfloat16"],
    "fp8": Format(8.0, "fp8", "fp8"),
    "fp8-w8a16": Format(8.0, "marlin"),
    "mxfp4": Format(4.25, "mxfp4"),
    "gptq-int4": Format(4.16, "marlin", "fp16"),
    "awq-int4": Format(4.16, "awq", "fp16"),
    "bnb-nf4": Format(4.5, "bitsandbytes-4bit"),
    "bnb-fp4": Format(4.5, "bitsandbytes-4bit"),
    "bnb-nf4-dq": Format(4.13, "bitsandbytes-4bit"),
    "bnb-int8": Format(8.0, "llm-int8", "int8"),
    "bnb-int8-t0": Format(8.0, "int8", "int8"),
}
# Names of the files elsewhere, as they begin -> names in models.json
ARCHITECTURES = {
    "Qwen/Qwen3-235B-A22B": "Qwen3-235B-A22B",
    "Qwen/Qwen3-30B-A3B": "Qwen3-30B-A3B",
    "Qwen/Qwen3-8B": "Qwen3-8B",
    "meta-llama/Llama-3.1-8B": "Llama-3.1-8B",
    "meta-llama/Llama-3.1-70B": "Llama-3.1-70B",
    "meta-llama/Llama-3.1-405B": "Llama-3.1-405B",
    "meta-llama/Llama-4-Scout": "Llama-4-Scout",
    "meta-llama/Llama-4-Maverick": "Llama-4-Maverick",
    "deepseek-ai/DeepSeek-R1": "DeepSeek-V3",
    "google/gemma-3-12b": "gemma-3-12b",
    "nvidia/NVIDIA-Nemotron-Nano-12B": "Nemotron-Nano-12B-v2",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "mistralai/Mistral-7B": "Mistral-7B-v0.3",
    "Qwen/Qwen2-0.5B": "Qwen2.5-0.5B",
    "Qwen/Qwen2-1.5B": "Qwen2-1.5B",
    "Qwen2-1.5B": "Qwen2-1.5B",
    "Qwen/Qwen2.5-3B": "Qwen2.5-3B",
    "Qwen2.5-3B": "Qwen2.5-3B",
    "Qwen/Qwen2-7B": "Qwen2.5-7B",
    "TinyLlama": "TinyLlama-1.1B",
    "Yi-1.5-6B": "Yi-1.5-6B",
}


def is_dense(row: Row) -> bool:
    """Without experts and without Mamba."""
    return not row.case.model.experts and not row.case.model.state_bytes


# Sets of docs/planning.md that are shipped -> their source, and which of its rows
SETS = {
    "ML.ENERGY v1, transformers": ("mlenergy_v1", lambda row: True),
    "ML.ENERGY v2 dense, vLLM 0.5.4": ("mlenergy_v2", is_dense),
    "ML.ENERGY v2 experts": ("mlenergy_v2", lambda row: not is_dense(row)),
    "A2, vLLM formats": ("alejandroldz2026", lambda row: row.case.machine.engine == "vllm"),
    "A2, GB10, llama.cpp (time)": ("alejandroldz2026", lambda row: row.joules is None),
}


def of_set(name: str) -> list[Row]:
    """The rows of a shipped set."""
    source, belongs = SETS[name]
    return [row for _, row in rows(source) if belongs(row)]


@cache
def architecture(name: str) -> Architecture:
    found = from_config(known_models()[name]["config"])
    assert found is not None
    return found


def form(precision: str) -> Format:
    if precision.startswith("gguf-"):
        kind = precision.removeprefix("gguf-").upper()
        made = formats.of({"method": "gguf", "type": kind}, "llamacpp", None)
        assert made is not None
        return made
    return FORMATS[precision]


def _number(text: str) -> float | None:
    return float(text) if text else None


@cache
def rows(source: str) -> list[tuple[dict, Row]]:
    """(what stands in the file, row) of one source of measured.csv."""
    with open(FOLDER / "measured.csv", encoding="utf-8", newline="") as stream:
        return [(each, _row(each)) for each in csv.DictReader(stream) if each["source"] == source]


def _row(each: dict) -> Row:
    engine, _, version = each["engine"].partition("-")
    work = Workload(
        float(each["requests"]),
        float(each["tokens_in"]),
        float(each["tokens_out"]),
        float(each["at_once"]),
        float(each["spread"]),
    )
    machine = Machine(
        devices()[each["gpu"]], engine, int(each["gpus"]), int(each["tensor_parallel"]), version
    )
    case = Case(work, architecture(each["model"]), form(each["precision"]), machine)
    return Row(case, _number(each["seconds"]), _number(each["joules"]))


def file_elsewhere(name: str) -> Path:
    return next(path for path in sorted(Path(ELSEWHERE).rglob(name)))


@cache
def rows_elsewhere(name: str) -> list[tuple[dict, Row]]:
    """The same of a file of the published measurements that is not here."""
    with open(file_elsewhere(name), encoding="utf-8", newline="") as stream:
        found = [_renamed(each) for each in csv.DictReader(stream)]
    return [(each, _row(each)) for each in found if each is not None]


def _renamed(each: dict) -> dict | None:
    begin = next((b for b in ARCHITECTURES if each["model"].startswith(b)), None)
    if begin is None:
        return None
    spread = re.search(r"output_cv=([0-9.]+)", each["note"])
    return {
        **each,
        "row_model": each["model"],
        "model": ARCHITECTURES[begin],
        "gpus": each["n_gpus"],
        "at_once": each["batch_size"],
        "tokens_in": each["input_tokens"],
        "tokens_out": each["output_tokens"],
        "spread": spread[1] if spread else "0",
        "joules": each["energy_j"],
    }

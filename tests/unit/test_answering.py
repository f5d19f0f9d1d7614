"""Who answers the questions of a task: transformers, or the engine that the study runs alone."""

import pytest

from helpers.questions import SAF
from joulegrid.errors import InputError
from joulegrid.quality import cost
from joulegrid.study import study
from joulegrid.study.answering import environment_of
from joulegrid.study.grid import Configuration
from joulegrid.study.specs import Specs

ENGINES = {
    "transformers": {"method": "transformers"},
    "llamacpp": {"method": "llamacpp", "slots": 2},
    "vllm": {"method": "vllm", "max_num_seqs": 4},
}
SERVED = {"exclude": [{"quantization": "q8", "engine": ["transformers", "vllm"]}]}


def answering(data, quantization, grid=(), **task):
    """The job that answers for the unpruned weights of a quantization."""
    data["quantization"]["q8"] = {"method": "gguf", "type": "Q8_0"}
    data["engine"] = dict(ENGINES)
    data["quality"] = {"saf": {**SAF, **task}}
    data["grid"] = dict(grid)
    specs = Specs(study.from_data(data, "study.yaml"))
    return specs.texts(Configuration("tiny", "none", "none", quantization), "saf")


@pytest.mark.parametrize(
    ("quantization", "grid", "task", "environment"),
    [
        ("q8", SERVED, {}, "envs/llamacpp"),
        ("q8", {}, {}, "envs/llm"),
        ("q8", SERVED, {"sampling": {"temperature": 0.7}}, "envs/llm"),
        ("fp32", SERVED, {}, "envs/llm"),
        ("gptq4", {"exclude": [{"quantization": "gptq4", "engine": "transformers"}]}, {}, None),
    ],
    ids=["alone", "beside", "sampled", "another", "vllm"],
)
def test_the_engine_that_runs_some_weights_alone_answers_for_them(
    study_data, quantization, grid, task, environment
):
    found = environment_of(answering(study_data, quantization, grid, **task).parts)
    assert found == (environment or "envs/vllm-cpu")


def test_on_gpus_vllm_answers_there(study_data):
    study_data["hardware"] = {"a100": {"device": "cuda", "gpu": "A100"}}
    grid = {"exclude": [{"quantization": "gptq4", "engine": "transformers"}]}
    job = answering(study_data, "gptq4", grid)
    assert (environment_of(job.parts), job.spec["device"]) == ("envs/vllm", "cuda")


def test_what_transformers_answers_is_the_same_whatever_other_engines_there_are(study_data):
    """No answer of a study is generated anew for an engine that is added to it."""
    study_data["quality"] = {"saf": SAF}
    alone = Specs(study.from_data(study_data, "study.yaml"))
    before = alone.texts(Configuration("tiny", "none", "none", "fp32"), "saf")
    after = answering(study_data, "fp32", SERVED)
    assert before.id == after.id
    assert not {"engine", "device"} & set(before.spec)


def test_the_options_of_the_engine_decide_and_those_of_transformers_do_not(study_data):
    before = answering(study_data, "q8", SERVED)
    assert answering(study_data, "q8", SERVED, batch_size=8).id == before.id
    assert answering(study_data, "q8", SERVED, metrics=["form", "bleu"]).id == before.id
    assert "seed" not in before.spec
    ENGINES_OF_FOUR = {**ENGINES, "llamacpp": {"method": "llamacpp", "slots": 4}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "ENGINES", ENGINES_OF_FOUR)
        assert answering(study_data, "q8", SERVED).id != before.id


def test_an_engine_for_gpus_is_not_run_without_one(monkeypatch):
    spec = {"engine": {"method": "vllm"}, "device": "cuda"}
    monkeypatch.setattr(cost.devices, "visible_gpus", list)
    with pytest.raises(InputError, match="vllm answers on GPUs here, and the job got none"):
        cost.hardware_of(spec)
    monkeypatch.setattr(cost.devices, "visible_gpus", lambda: [{}, {}])
    assert cost.hardware_of(spec) == {"device": "cuda", "gpus": 2}
    assert cost.hardware_of({**spec, "device": "cpu"}) == {"device": "cpu"}

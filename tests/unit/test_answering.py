"""Who answers the questions of a task: transformers, or the engine that the study runs alone."""

import json
import os
from types import SimpleNamespace

import pytest

from conftest import ROOT
from helpers.questions import SAF
from joulegrid.analysis import dataset
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


def test_what_an_encoder_cut_is_said_beside_what_is_known_of_the_answers(study_data, tmp_path):
    study_data["quality"] = {"saf": {**SAF, "metrics": ["cosine"]}}
    study_data["quantization"] = {"fp32": study_data["quantization"]["fp32"]}
    study_data["pruning"] = {"none": {"method": "none"}}
    specs = Specs(study.from_data(study_data, "study.yaml"))
    one = Configuration("tiny", "none", "none", "fp32")
    cut = {"answers": 3, "references": 1, "longest": 256}
    metric = {"value": 0.5, "stderr": 0.1, "higher_is_better": True, "cut": cut}
    way = {"basis": "estimated", "method": "a test"}
    took = {"seconds": 1.0, "energy_j": {"cpu": 1.0, "gpu": 0.0, "ram": 1.0}}
    counts = {"questions": 4, "too_long": 0, "leaked": 0, "empty": 1, "cut": 0}
    wrote = {"line": 1, "text": "a", "tokens_read": 3, "tokens_written": 1}
    texts = {"counts": counts, "answers": [wrote], "lines": [1]}
    texts["cost"] = {**took, "basis": {"cpu": way, "gpu": way, "ram": way}}
    for job, record in (
        (specs.scores(one, "saf", "cosine"), {"metrics": {"cosine": metric}, "signature": "x"}),
        (specs.texts(one, "saf"), texts),
    ):
        header = {"schema_version": 2, "id": job.id, "status": "ok"}
        (tmp_path / f"{job.id}.json").write_text(json.dumps({**header, **record}))
    shelf = SimpleNamespace(
        record=lambda job: (
            os.path.relpath(path, ROOT) if (path := tmp_path / f"{job.id}.json").exists() else None
        )
    )
    tree, _ = dataset.merge(specs, shelf)
    (said,) = set(tree["quality"].notes.sel(metric="saf.cosine").values.ravel())
    assert said == (
        "of 4 questions 1 answered with nothing; saf: 3 answers and 1 references longer than the "
        "256 tokens that the encoder reads, cut there"
    )

"""What the plan says of a study's cells, and what measured sessions change in it."""

import pytest

from helpers import boards
from helpers.boards import hub
from joulegrid.planning import cells, infeasible, known, plan, ranges, scheduling, sizes
from joulegrid.planning.calibration import Run
from joulegrid.planning.cells import judged
from joulegrid.planning.posterior import expected
from joulegrid.study import frozen, study
from joulegrid.study.methods import METHODS
from joulegrid.study.specs import Specs


@pytest.fixture
def data(study_data):
    """Dosquet's question: four weights, two boards that differ in memory, and a CPU."""
    models = {
        "llama-30b": hub("llama-30b", "huggyllama"),
        "mistral-7b": hub("Mistral-7B-v0.3", "mistralai"),
        "unknown": hub("something"),
    }
    other = {"device": "cuda", "gpu": "Quadro"}
    data = boards.on_boards(study_data, models, "large", "small", other=other)
    data["pruning"] = {"none": {"method": "none"}}
    return data


@pytest.fixture
def any_code(monkeypatch):
    boards.leave_code_unread(monkeypatch)


def by_labels(found):
    return {
        (each.cell.model, each.cell.quantization, each.cell.hardware, each.cell.engine): each
        for each in found
    }


def run_of(each):
    """One run of the workload, as it is expected."""
    return expected(each.case, each.session.belief)


def test_every_cell_is_judged(data):
    found = by_labels(judged(study.from_data(data, "test"), {}))
    assert len(found) == 3 * 3 * 4 * 2
    fits = found["llama-30b", "gptq4", "small", "transformers"]
    assert fits.session is not None
    assert not fits.doubtful
    too_large = found["llama-30b", "fp16", "small", "transformers"]
    assert "needs 67 GB" in too_large.doubtful
    assert not too_large.infeasible
    assert too_large.session is None
    assert found["llama-30b", "fp16", "large", "transformers"].session is not None
    assert "plugin makes type: nf4" in found["mistral-7b", "nf4", "large", "vllm"].unsupported
    assert "no session on this CPU" in found["mistral-7b", "fp16", "here", "transformers"].unknown
    assert "no board 'Quadro'" in found["mistral-7b", "fp16", "other", "transformers"].unknown
    assert "sizes of unknown" in found["unknown", "fp16", "large", "transformers"].unknown


def test_a_method_of_which_the_plan_knows_nothing_is_not_called_ready_made(data, monkeypatch):
    known_one = METHODS["quantization"]["awq"]
    monkeypatch.setitem(METHODS["quantization"], "my-method", known_one)
    made = study.from_data(data, "test")
    monkeypatch.setitem(made.data["quantization"], "nf4", {"method": "my-method"})
    found = by_labels(judged(made, {}))["mistral-7b", "nf4", "large", "transformers"]
    assert found.unknown == "the plan does not know the format of my-method"
    monkeypatch.setitem(made.data["quantization"], "nf4", {"method": "prequantized"})
    found = by_labels(judged(made, {}))["mistral-7b", "nf4", "large", "transformers"]
    assert found.unknown == "ready-made weights: only their files tell the format"


def test_what_is_known_not_to_fit_is_neither_sent_nor_predicted(data, monkeypatch, any_code):
    monkeypatch.setattr(known, "conclusions", lambda *_: {})
    specs = Specs(study.from_data(data, "test"))
    unfit = infeasible.of_study(specs)
    found = by_labels(judged(specs.study, {}, unfit))["llama-30b", "fp16", "small", "vllm"]
    assert "needs 65.1 GB" in found.infeasible
    assert not found.doubtful
    assert found.session is None
    made = plan.of_study(specs, "results")
    share = next(each for each in made.shares if each.hardware == "small")
    kept_back = sum(cell.hardware == "small" for cell in unfit)
    assert share.infeasible == kept_back > 0
    sessions = specs.study.data["protocol"]["sessions"]
    runs = share.cells - share.unsupported - kept_back
    assert share.sessions == share.to_run == sessions * runs


def test_a_board_that_may_be_larger_forbids_nothing(data):
    del data["hardware"]["small"]["gpu_memory_gb"]
    found = by_labels(judged(study.from_data(data, "test"), {}))
    assert not found["llama-30b", "fp16", "small", "transformers"].doubtful


def test_layers_that_are_cut_need_no_memory(data):
    """Half of LLaMA-30B in 16 bits is 34 GB; how much goes with channels of blocks is not known."""
    half = {
        "method": "layers",
        "ratio": 0.5,
        "calibration": {"text": "config/texts/calibration.txt"},
    }
    few = {**half, "ratio": 0.1}
    drop = {"method": "layers", "drop": list(range(30))}
    channels = {**half, "method": "blocks", "channels": 0.2}
    del channels["ratio"]
    data["pruning"] |= {"half": half, "few": few, "drop": drop, "channels": channels}
    found = {
        each.cell.pruning: each
        for each in judged(study.from_data(data, "test"), {})
        if (each.cell.model, *each.cell[3:6]) == ("llama-30b", "fp16", "small", "transformers")
    }
    assert found["none"].doubtful
    assert found["few"].doubtful
    assert {name for name, each in found.items() if not each.doubtful} == {
        "half",
        "drop",
        "channels",
    }
    assert found["half"].session is not None
    whole = sizes.architecture_of(data["model"]["llama-30b"])
    assert sizes.cut(whole, half).parameters == pytest.approx(
        whole.linear / 2 + whole.head + whole.embedding
    )
    assert sizes.cut(whole, drop).layers == 30
    assert sizes.cut(whole, channels) == whole


def test_vllm_has_no_more_memory_than_it_is_given(data):
    """Mistral 7B in 16 bits needs more than half of the 24 GB of an L4."""
    data["hardware"]["small"] = {"device": "cuda", "gpu": "L4"}
    found = by_labels(judged(study.from_data(data, "test"), {}))
    assert not found["mistral-7b", "fp16", "small", "vllm"].doubtful
    data["engine"]["vllm"]["gpu_memory_utilization"] = 0.5
    found = by_labels(judged(study.from_data(data, "test"), {}))
    said = found["mistral-7b", "fp16", "small", "vllm"].doubtful
    assert "50% of it usable by gpu_memory_utilization" in said
    # what ran has the last word, of engines that are given as much
    place, run = ("mistral-7b", "fp16", "small", "vllm"), Run(60.0, None, 100.0, 100.0)
    made = study.from_data(data, "test")
    after = by_labels(judged(made, {found[place].cell: [run]}))
    assert not after[place].doubtful
    assert after[place].session is not None
    assert not found["mistral-7b", "fp16", "small", "transformers"].doubtful


def test_emulated_bfloat16_is_predicted_slow_or_not_at_all(data):
    """6 to 18 times as slow as float16 was measured."""
    data["hardware"]["small"] = {"device": "cuda", "gpu": "V100-SXM2-32GB"}
    data["model"] = {"small": hub("Mistral-7B-v0.3", "mistralai")}
    data["quantization"]["bf16"] = {"method": "cast", "dtype": "bfloat16"}
    made = study.from_data(data, "test")
    found = by_labels(judged(made, {}))
    half, emulated = (
        found["small", name, "small", "transformers"].runs for name in ("fp16", "bf16")
    )
    low, median, high = (value / half[0].seconds for value in ranges.seconds(emulated))
    assert low < 6.5
    assert 9 < median < 12
    assert high > 17
    assert "emulated" in found["small", "gptq4", "small", "transformers"].unknown
    assert found["small", "gptq4", "small", "transformers"].session is None
    otherwise = {"runtime": 60, "mem_mb": 1000}
    asked = scheduling.measuring(made, "small", otherwise)["runtime"]
    del data["quantization"]["bf16"], data["quantization"]["gptq4"], data["quantization"]["nf4"]
    data["ranking"]["baseline"] = {"quantization": "fp16"}
    assert (
        asked > scheduling.measuring(study.from_data(data, "test"), "small", otherwise)["runtime"]
    )


def test_a_session_is_more_than_its_runs(data):
    found = by_labels(judged(study.from_data(data, "test"), {}))
    each = found["mistral-7b", "fp16", "large", "transformers"]
    run = run_of(each)
    protocol = study.from_data(data, "test").data["protocol"]
    low, median, high = ranges.seconds([each.session])
    assert median > 3 * protocol["idle_seconds"] + 5 * run.seconds
    assert low < median < high
    assert each.session.rests_on == "defaults"


def test_measured_sessions_calibrate_their_engine_and_kernel_alone(data):
    made = study.from_data(data, "test")
    before = by_labels(judged(made, {}))
    place = ("mistral-7b", "fp16", "large", "transformers")
    told = before[place]
    run = run_of(told)
    work = told.case.work
    slow = Run(
        1.5 * run.seconds,
        1.2 * run.joules,
        work.requests * work.tokens_in,
        work.requests * work.tokens_out,
    )
    after = by_labels(judged(made, {told.cell: [slow, slow, slow]}))
    now = run_of(after[place])
    assert now.seconds == pytest.approx(slow.seconds, rel=0.1)
    assert now.joules == pytest.approx(slow.joules, rel=0.1)
    assert after[place].session.rests_on == "calibrated by 3 rows"
    told_of = cells.by_group(list(after.values()))["large", "transformers", "dense"]
    assert told_of.rows == 3
    assert 1.0 < told_of.times_default < 1.6
    # another model with the same kernel learns from it, another engine and board do not
    same = ("llama-30b", "fp16", "large", "transformers")
    assert run_of(after[same]).seconds > run_of(before[same]).seconds
    for other in (
        ("mistral-7b", "gptq4", "large", "transformers"),
        ("mistral-7b", "fp16", "small", "transformers"),
        ("mistral-7b", "fp16", "large", "vllm"),
    ):
        assert after[other].session.rests_on == "defaults"
        assert after[other].session.seconds == before[other].session.seconds


def test_what_was_tried_corrects_what_is_expected_to_fit(data):
    """LLaMA-30B needs 67 GB, of 40 on one board and of 80 on the other."""
    made = study.from_data(data, "test")
    before = by_labels(judged(made, {}))
    place = ("llama-30b", "fp16", "small", "transformers")
    assert "93% of it usable" in before[place].doubtful
    run = Run(60.0, None, 100.0, 100.0)
    after = by_labels(judged(made, {before[place].cell: [run]}))
    assert not after[place].doubtful
    assert after[place].session is not None
    # with another engine or on another board nothing was tried
    assert after["llama-30b", "fp16", "small", "vllm"].doubtful
    fits = before["llama-30b", "fp16", "large", "transformers"]
    assert not fits.doubtful
    failed = by_labels(judged(made, {}, failed=[fits.cell]))
    assert "as was tried there" in failed["llama-30b", "fp16", "large", "transformers"].doubtful
    assert not failed["mistral-7b", "fp16", "large", "transformers"].doubtful
    # what ran has the last word
    both = by_labels(judged(made, {fits.cell: [run]}, failed=[fits.cell]))
    assert not both["llama-30b", "fp16", "large", "transformers"].doubtful


def test_sizes_are_read_where_a_config_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    entry = hub("gpt2")
    by_name = sizes.architecture_of(entry)
    assert by_name.layers == 12
    folder = tmp_path / "hub/models--someone--gpt2/snapshots" / entry["revision"]
    folder.mkdir(parents=True)
    config = '{"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4'
    (folder / "config.json").write_text(config + ', "vocab_size": 100, "intermediate_size": 128}')
    assert sizes.architecture_of(entry).layers == 3
    assert sizes.architecture_of({"wheel": "tiny==1.0"}) is None


def test_a_model_of_random_weights_has_the_sizes_of_its_configuration():
    assert sizes.architecture_of({"random": "llama-3-8b", "seed": 0}).layers == 32


def test_requests_under_way_are_those_that_the_workload_and_the_engine_allow(data):
    data["engine"]["vllm"]["max_num_seqs"] = 6
    data["workload"]["questions"]["concurrency"] = 2
    found = by_labels(judged(study.from_data(data, "test"), {}))
    assert found["mistral-7b", "fp16", "large", "vllm"].case.work.at_once == 2
    del data["workload"]["questions"]["concurrency"]
    found = by_labels(judged(study.from_data(data, "test"), {}))
    # sixteen in rounds of six, six and four
    work = found["mistral-7b", "fp16", "large", "vllm"].case.work
    assert work.at_once == pytest.approx(16 / 3)


def test_prompts_that_were_chosen_and_frozen_are_those_that_are_asked(data, monkeypatch):
    made = study.from_data(data, "test")
    monkeypatch.setattr(frozen, "file_of", lambda *_: "config/prompts/questions.jsonl")
    monkeypatch.setitem(made.data["workload"]["questions"], "prompts", "chosen.yaml")
    each = by_labels(judged(made, {}))["mistral-7b", "fp16", "large", "transformers"]
    assert each.case.work.requests > 1


def test_every_kind_of_job_that_a_study_has_is_counted(data):
    task = {
        "method": "generation",
        "data": "config/data/saf/questions.jsonl",
        "template": "{question}",
        "reference": "reference",
        "new_tokens": 8,
        "metrics": ["bleu"],
    }
    data["quality"]["answers"] = task
    made = plan.of_study(Specs(study.from_data(data, "test")), "results")
    counted = {jobs.kind: jobs for jobs in made.jobs}
    assert counted["texts"].jobs == counted["scores"].jobs == counted["texts"].to_run > 0
    assert sum(jobs.to_run for kind, jobs in counted.items() if kind != "steps") == len(made.to_run)


def test_what_does_not_fit_is_said_of_every_workload(data):
    data["workload"]["replay"] = {
        "method": "replay",
        "prompts": "config/prompts/questions.jsonl",
        "interval_s": 6,
        "duration_s": 14400,
        "new_tokens": 100,
    }
    data["workload"]["lengths"] = {
        "method": "lengths",
        "prompts": "config/prompts/questions.jsonl",
        "prompt_tokens": 256,
        "new_tokens": 64,
        "count": 7500,
    }
    found = {
        (each.cell.hardware, each.cell.workload): each
        for each in judged(study.from_data(data, "test"), {})
        if each.cell[:4] == ("llama-30b", "none", "none", "fp16")
        and each.cell.engine == "transformers"
    }
    for workload in data["workload"]:
        assert "needs 67 GB" in found["small", workload].doubtful
        assert not found["large", workload].doubtful
    work = found["large", "lengths"].case.work
    assert (work.requests, work.tokens_in, work.tokens_out) == (7500, 256, 64)

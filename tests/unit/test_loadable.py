"""What vLLM cannot load is known before anything is sent; the machine decides where it runs."""

import pytest

from joulegrid.errors import Disturbed, InputError, OutOfMemory, Terminated, Unsupported
from joulegrid.jobs import failures
from joulegrid.study import study
from joulegrid.study.methods import METHODS
from joulegrid.study.specs import Specs

CALIBRATION = {"text": "config/texts/calibration.txt"}
GPTQ = {"method": "gptq", "bits": 4, "calibration": CALIBRATION}
# entry -> what is said on a CPU and on a GPU, "" where it runs
LOADED = {
    "fp32": ({"method": "cast", "dtype": "float32"}, "", ""),
    "fp16": ({"method": "cast", "dtype": "float16"}, "", ""),
    "int8": ({"method": "llm-int8"}, "does not load llm-int8", "does not load llm-int8"),
    "nf4": ({"method": "bitsandbytes-4bit"}, "needs a GPU", "with double_quantization: true"),
    "nf4-double": (
        {"method": "bitsandbytes-4bit", "double_quantization": True},
        "needs a GPU",
        "",
    ),
    "fp4-double": (
        {"method": "bitsandbytes-4bit", "double_quantization": True, "type": "fp4"},
        "needs a GPU",
        "makes type: nf4",
    ),
    "gptq4": (GPTQ, "", ""),
    "gptq8": ({**GPTQ, "bits": 8}, "4 bits on a CPU, not with 8", ""),
    "gptq3": ({**GPTQ, "bits": 3}, "4 bits on a CPU", "4 or 8 bits on a GPU, not with 3"),
    "gptq-16": ({**GPTQ, "group_size": 16}, "not of 16", "not of 16"),
    "gptq-order": ({**GPTQ, "act_order": True}, "without act_order", ""),
    "gptq-32bit": ({**GPTQ, "compute_dtype": "float32"}, "bfloat16 or", "bfloat16 or"),
    "awq": ({"method": "awq", "calibration": CALIBRATION}, "", ""),
    "fp8": ({"method": "fp8"}, "", ""),
    "gguf": ({"method": "gguf", "type": "Q8_0"}, "does not load gguf", "does not load gguf"),
}


@pytest.fixture
def on_vllm(study_data):
    """The study with every entry of LOADED, on vLLM and two machines."""
    study_data["quantization"] = {label: entry for label, (entry, *_) in LOADED.items()}
    study_data["engine"] = {"vllm": {"method": "vllm"}}
    study_data["hardware"] = {
        "cpu": {"device": "cpu"},
        "gpus": {"device": "cuda", "gpu": "A100", "gpus": 2},
    }
    return study_data


def test_what_vllm_loads_depends_on_the_entry_and_the_machine(on_vllm):
    found = study.from_data(on_vllm, "study")
    cells = [cell for cell in found.cells if cell.pruning == "none"]
    reasons = {(c.quantization, c.hardware): found.unsupported(c) for c in cells}
    assert len(reasons) == 2 * len(LOADED)
    for label, (_, *said) in LOADED.items():
        for machine, text in zip(("cpu", "gpus"), said, strict=True):
            reason = reasons[label, machine]
            assert (reason is None) == (text == ""), (label, machine, reason)
            assert text in (reason or "")


def test_a_sequence_that_is_cut_below_the_answer_is_known_before(on_vllm):
    on_vllm["engine"]["short"] = {"method": "vllm", "max_model_len": 8}
    found = study.from_data(on_vllm, "study")
    asked = {label: entry["new_tokens"] for label, entry in on_vllm["workload"].items()}
    for cell in found.cells:
        if cell.quantization == "fp32" and cell.engine == "short":
            reason = found.unsupported(cell)
            if asked[cell.workload] >= 8:
                assert f"no room for a prompt and {asked[cell.workload]} new ones" in reason
            else:
                assert reason is None


def test_rows_of_a_trace_may_ask_for_fewer_tokens_than_there_is_room_for(on_vllm, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,prompt,new_tokens\n0,Who?,2\n")
    on_vllm["engine"]["short"] = {"method": "vllm", "max_model_len": 8}
    replay = {"method": "replay", "trace": str(trace), "duration_s": 5, "new_tokens": 64}
    on_vllm["workload"] = {"traced": replay}
    found = study.from_data(on_vllm, "study")
    short = [c for c in found.cells if (c.quantization, c.engine) == ("fp32", "short")]
    assert short
    assert {found.unsupported(cell) for cell in short} == {None}


def test_what_the_options_of_engines_rule_out_is_known_before(on_vllm):
    on_vllm["engine"] = {
        "flash": {"method": "transformers", "attention": "flash_attention_2"},
        "cut": {"method": "llamacpp", "context": 5},
    }
    found = study.from_data(on_vllm, "study")
    said = {
        (cell.engine, cell.quantization, cell.hardware): found.unsupported(cell)
        for cell in found.cells
        if cell.pruning == "none"
    }
    assert said["flash", "fp16", "cpu"] == "flash_attention_2 needs a GPU"
    assert said["flash", "fp16", "gpus"] is None
    assert said["flash", "fp32", "gpus"].endswith("bfloat16 or float16 only, not in float32")
    assert said["cut", "gguf", "cpu"].startswith("context is 5 tokens: no room for a prompt and")
    on_vllm["engine"]["flash"] |= {"compile": True}
    with pytest.raises(InputError, match=r"engine\.flash\.compile: .*expected cache: static"):
        study.from_data(on_vllm, "study")


def test_the_machine_decides_on_which_build_of_vllm_it_runs(on_vllm):
    assert METHODS["engine"]["vllm"].environment_on("cuda") == "envs/vllm"
    assert METHODS["engine"]["vllm"].environment_on("cpu") == "envs/vllm-cpu"
    assert METHODS["engine"]["llamacpp"].environment_on("cuda") == "envs/llamacpp"
    specs = Specs(study.from_data(on_vllm, "study"))
    packages = {}
    for cell in specs.study.cells:
        if cell.quantization == "fp32":
            packages[cell.hardware] = specs.listings[specs.energy(cell, 1).spec["packages"]]
    assert "vllm-cpu" in packages["cpu"]
    assert "vllm" not in packages["cpu"]
    assert packages["gpus"]["vllm"] == packages["cpu"]["vllm-cpu"]
    assert "bitsandbytes" in packages["gpus"], "its plugin computes with it"
    assert "fastapi" not in packages["gpus"], "a web server computes nothing"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("max_num_seqs", 0, "sequences at a time, 1 or more"),
        ("max_model_len", 1, "tokens of the longest sequence"),
        ("gpu_memory_utilization", 1.5, "above 0 and at most 1"),
        ("batch_size", 4, "batch_size"),
    ],
)
def test_wrong_options_are_said(on_vllm, key, value, said):
    on_vllm["engine"]["vllm"][key] = value
    with pytest.raises(InputError, match=said):
        study.from_data(on_vllm, "study")


WORKER = "(Worker pid=7) ERROR 11-22 11:15:33 [multiproc_executor.py:900] "
FAILED = RuntimeError("Engine core initialization failed. See root cause above.")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", OutOfMemory),
        ("ValueError: No available memory for the cache blocks. Try increasing", OutOfMemory),
        ("ValueError: Marlin does not support weight_bits = uint8b128", Unsupported),
        ("RuntimeError: Unsupported CPU attention configuration: head_dim=16", Unsupported),
        ("NotImplementedError: Sparse Attention is not supported on CPU.", Unsupported),
        ("KeyError: 'weight'", InputError),
    ],
)
def test_the_reason_is_found_in_what_the_processes_of_vllm_say(line, kind):
    found = failures.of_vllm(FAILED, ["INFO loading", WORKER + line, "done"], "while loading")
    assert type(found) is kind
    assert line in str(found)


def test_without_a_reason_the_end_of_the_log_is_shown():
    said = [f"line {number}" for number in range(100)]
    text = str(failures.of_vllm(FAILED, said, "while running"))
    assert "vLLM failed while running: RuntimeError: Engine core" in text
    assert "line 99" in text
    assert "line 80" not in text


@pytest.mark.parametrize("error", [Terminated("by SIGTERM"), Disturbed("x", []), Unsupported("y")])
def test_what_is_no_error_of_vllm_stays_what_it_is(error):
    assert failures.of_vllm(error, ["ValueError: out of memory"], "while running") is error

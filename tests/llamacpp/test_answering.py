"""Questions of a task that llama.cpp answers."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers import questions
from helpers.greedy import by_transformers, readable, text_of
from joulegrid.engines import Request
from joulegrid.errors import Unsupported
from joulegrid.quality.answering import answer_questions
from joulegrid.quality.generation import generate

pytestmark = pytest.mark.slow

CPU = {"device": "cpu", "threads": 1}
ROWS = [
    {"prompt": "one two", "reference": "x"},
    {"prompt": "word " * 600, "reference": "y"},
    {"prompt": "three four five six", "reference": ["z", "four five six"]},
]


@pytest.fixture
def task(tmp_path):
    """Three questions, the second of which is longer than the tiny model's context."""
    return questions.task(tmp_path, *ROWS, leaked="keep")


def spec_of(task):
    engine = {"method": "llamacpp", "slots": 2}
    return {"quality": task, "quantization": {"method": "gguf", "type": "F32"}, "engine": engine}


def test_a_gguf_file_is_answered_for_as_its_weights_are_by_transformers(made, task):
    """In float32 the first tokens are the same; what is too long, leaks and is cut is counted."""
    folder, _, source = made(64, "F32")
    found = answer_questions(spec_of(task), folder, CPU)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    expected = generate(model, tokenizer, {**task, "batch_size": 1}, 0)
    assert found["counts"] == expected["counts"]
    assert (found["counts"]["too_long"], found["counts"]["leaked"]) == (1, 1)
    assert found["lines"] == expected["lines"] == [1, 2, 3]
    del task["leaked"]
    fair = answer_questions(spec_of(task), folder, CPU)
    assert fair["counts"]["not_asked"] == 1
    assert fair["answers"] == found["answers"][:1]
    asked = [Request(ROWS[n]["prompt"], 12, False, stops=True) for n in (0, 2)]
    pieces = tokenizer.convert_ids_to_tokens
    texts = [readable(text_of(pieces(ids))) for _, ids in by_transformers(source, asked)[1]]
    # transformers decodes a run of bytes as a whole, of which some may be no character
    assert [readable(answer.pop("text")) for answer in found["answers"]] == texts
    for own, other in zip(found["answers"], expected["answers"], strict=True):
        assert own == {key: value for key, value in other.items() if key != "text"}


def test_a_task_that_refuses_long_questions_is_a_finding(made, task):
    folder, _, _ = made(64, "F32")
    with pytest.raises(Unsupported, match="the model's context is 512"):
        answer_questions(spec_of({**task, "too_long": "refuse"}), folder, CPU)

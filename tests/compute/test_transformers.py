"""The engine of transformers: static batches, arrivals, exact lengths, answers that end."""

from collections import deque
from dataclasses import replace

import pytest
import torch

from joulegrid.engines import Completion, Request
from joulegrid.engines import transformers as engine
from joulegrid.engines.transformers import batches
from joulegrid.errors import InputError, Unsupported

CAST, CPU = {"method": "cast", "dtype": "float32"}, {"device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def pair(tiny):
    """A tiny model, two requests at a time."""
    return engine.load(tiny, CAST, CPU, {"batch_size": 2})


def test_an_engine_gives_a_completion_for_each_request_in_their_order(pair):
    asked = [Request(text, 4, chat=False) for text in ("one two three", "four", "five six")]
    found = pair.run(asked)
    assert all(isinstance(completion, Completion) for completion in found)
    assert [completion.tokens_written for completion in found] == [4, 4, 4]
    alone = [pair.run([request])[0] for request in asked]
    assert [c.tokens_read for c in found] == [c.tokens_read for c in alone], (
        "padding is not counted"
    )
    assert [c.text for c in found] == [c.text for c in alone]
    assert found[0].done_s == found[1].done_s < found[2].done_s


def test_a_static_batch_runs_to_its_longest_answer_and_the_rest_is_padding(pair):
    asked = [Request("one two three", 3, chat=False), Request("four", 6, chat=False)]
    long, short = pair.run(asked)
    assert [long.tokens_written, short.tokens_written] == [3, 6]
    assert long.padding == 3, "computed after its end"
    assert short.padding == long.tokens_read - short.tokens_read, "before its beginning"
    assert [c.text for c in (long, short)] == [pair.run([r])[0].text for r in asked]
    for completion in (long, short):
        assert 0 <= completion.started_s < completion.first_token_s < completion.done_s
    assert long.done_s == short.done_s


class Clock:
    """A time that goes on where one sleeps, and a little where one looks at it."""

    now_s = 0.0

    def perf_counter(self):
        self.now_s += 1e-4
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def test_requests_run_when_they_have_arrived(pair, monkeypatch):
    told, clock = [], Clock()
    for room in (engine, batches):
        monkeypatch.setattr(room, "time", clock)
    asked = [Request("one", 2, False, arrival_s) for arrival_s in (0.3, 0, 0, 0)]
    late, *others = pair.run(asked, report=told.extend)
    assert told == [1, 2, 3, 0]
    assert max(c.done_s for c in others) < 0.3 <= late.started_s < late.first_token_s
    alone = pair.run([replace(request, arrival_s=0.0) for request in asked], at_once=1)
    assert len({completion.done_s for completion in alone}) == 4


def test_a_large_batch_is_put_together_in_one_pass(pair):
    """Every prompt is looked at once or twice, not once for each that joins after it."""
    looked = []

    class Prompt(list):
        def __len__(self):
            looked.append(1)
            return super().__len__()

    large, count = replace(pair, batch_size=500), 500
    prompts, asked = [Prompt([5, 6])] * count, [Request("one", 2, False)] * count
    assert large._arrived(deque(range(count)), asked, prompts, None, 0.0) == list(range(count))
    assert len(looked) <= 2 * count


def test_prompts_are_cut_and_repeated_to_the_tokens_asked_for(pair):
    cut, repeated = Request("one two three four", 2, False), Request("one two three", 2, False)
    wanted = [replace(cut, prompt_tokens=5), replace(repeated, prompt_tokens=200)]
    assert [c.tokens_read for c in pair.run(wanted)] == [5, 200]
    assert pair._tokens(wanted[0]) == pair._tokens(cut)[:5]
    assert pair.tokenizer.decode(pair._tokens(wanted[1])).startswith("one two three one two thr")


def test_a_template_stays_whole_around_a_prompt_of_exact_length(pair, monkeypatch):
    template = "{% for m in messages %}<end>user {{ m.content }}<end>answer{% endfor %}"
    monkeypatch.setattr(pair.tokenizer, "chat_template", template)
    text = pair.tokenizer.decode(pair._tokens(Request("one two three", 2, prompt_tokens=60)))
    assert text.startswith("<end>user one two three one")
    assert text.endswith("<end>answer")
    with pytest.raises(InputError, match=r"a prompt of 5 tokens is asked for, its template alone"):
        pair.run([Request("one two", 2, prompt_tokens=5)])


def test_an_answer_ends_where_the_model_ends_it(pair, monkeypatch):
    """A token that the model writes is made the one that ends its answers."""
    request = Request("one two three", 8, chat=False)
    (output,) = pair.run([request])
    model, tokenizer = pair.model, pair.tokenizer
    ids = torch.tensor([pair._tokens(request)])
    written = model.generate(ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :].tolist()
    assert tokenizer.decode(written) == output.text
    monkeypatch.setattr(pair, "ends", (written[4],))
    first = written.index(written[4]) + 1
    ended, other = pair.run([replace(request, stops=True), Request("four", 8, chat=False)])
    assert ended.tokens_written == first, "the end token is written, too"
    assert ended.padding == 8 - first
    assert other.tokens_written == 8
    (going_on,) = pair.run([request])
    assert going_on.tokens_written == 8
    assert going_on.text != output.text, "it may not choose the end token"


def test_an_empty_prompt_is_said(pair):
    with pytest.raises(InputError, match="a prompt is empty"):
        pair.run([Request(" ", 2)])


def test_a_static_cache_and_every_attention_write_the_same(tiny, pair):
    asked = [Request("one two three", 6, chat=False), Request("four", 6, chat=False)]
    texts = [completion.text for completion in pair.run(asked)]
    assert pair.describe()["settings"]["attention"] == "sdpa"
    other = engine.load(tiny, CAST, CPU, {"batch_size": 2, "cache": "static", "attention": "eager"})
    assert [completion.text for completion in other.run(asked)] == texts
    read = max(completion.tokens_read for completion in pair.run(asked))
    assert other.describe()["settings"] == {
        "attention": "eager",
        "cache": f"static, {read + 5} tokens",
        "compiled": "no",
        "threads": "1",
    }


def test_attention_whose_package_is_not_there_is_a_finding(tiny):
    with pytest.raises(
        Unsupported, match=r"attention flash_attention_2: .*doesn't seem to be inst"
    ):
        engine.load(tiny, CAST, CPU, {"batch_size": 1, "attention": "flash_attention_2"})


@pytest.mark.slow
def test_compiled_code_writes_the_same_and_says_so(tiny, pair):
    asked = [Request("one two three", 6, chat=False)]
    compiled = {"batch_size": 1, "cache": "static", "compile": True}
    loaded = engine.load(tiny, CAST, CPU, compiled)
    assert loaded.describe()["settings"]["compiled"] == "no", "nothing has run yet"
    assert [c.text for c in loaded.run(asked)] == [c.text for c in pair.run(asked)]
    assert loaded.describe()["settings"]["compiled"] == "yes"

"""Perplexity against its definition, computed another way."""

import math
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from joulegrid.quality.perplexity import PIECE, metric_of, sliding_window_losses


def sliding_window_perplexity(*arguments):
    return metric_of(sliding_window_losses(*arguments))["value"]


class Uniform:
    """A model that knows nothing: every token of `size` is as likely."""

    device = "cpu"

    def __init__(self, size):
        self.size = size

    def __call__(self, input_ids):
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, self.size))


@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 4), (8, 1), (100, 50), (2, 1)])
def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(window, stride):
    assert sliding_window_perplexity(
        Uniform(37), torch.arange(30), window, stride
    ) == pytest.approx(37)


@pytest.mark.parametrize("loss", [1e6, math.nan])
def test_a_broken_model_has_no_finite_perplexity_and_ends_without_an_error(loss):
    class Broken(Uniform):
        def __call__(self, input_ids):
            logits = torch.zeros(*input_ids.shape, self.size)
            logits[..., 0] = loss
            return SimpleNamespace(logits=logits)

    assert not math.isfinite(
        sliding_window_perplexity(Broken(5), torch.ones(20, dtype=torch.long), 8, 4)
    )


@pytest.mark.parametrize(("window", "stride"), [(32, 16), (32, 32), (25, 7), (300, 150)])
def test_each_token_is_scored_once_given_the_tokens_before_it_in_its_window(tiny, window, stride):
    model = AutoModelForCausalLM.from_pretrained(tiny).double()
    ids = torch.randint(1, 400, (91,), generator=torch.Generator().manual_seed(0))
    losses = []
    for position in range(1, len(ids)):
        # the first window that reaches the token is the one that scores it
        start = 0 if position < window else math.ceil((position - window + 1) / stride) * stride
        if start == position:
            continue  # nothing before it in its window
        with torch.no_grad():
            logits = model(ids[None, start:position]).logits[0, -1]
        losses.append(-torch.log_softmax(logits, 0)[ids[position]].item())
    expected = math.exp(sum(losses) / len(losses))
    assert sliding_window_perplexity(model, ids, window, stride) == pytest.approx(
        expected, rel=1e-4
    )


def test_the_samples_are_pieces_of_the_text_and_give_the_perplexity_and_its_error():
    losses = torch.rand(10 * PIECE + 7, generator=torch.Generator().manual_seed(0)).double()
    found = metric_of(losses)
    assert found["samples"]["weight"] == [PIECE] * 10 + [7]
    assert sum(found["samples"]["total"]) == pytest.approx(float(losses.sum()))
    assert found["value"] == pytest.approx(math.exp(losses.mean()))
    assert 0.3 < found["stderr"] / (found["value"] * losses.std() / len(losses) ** 0.5) < 2


def test_the_losses_of_neighbouring_tokens_do_not_make_the_error_small():
    losses = torch.rand(40, generator=torch.Generator().manual_seed(0)).repeat_interleave(PIECE)
    each = torch.rand(40 * PIECE, generator=torch.Generator().manual_seed(0))
    assert metric_of(losses)["stderr"] > 4 * metric_of(each)["stderr"]

"""Magnitude masks: the exact number of zeros, in the right places, checked against a plain loop."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from joulegrid.compression import magnitude
from joulegrid.findings import Unsupported
from joulegrid.records import InputError

WEIGHT = torch.tensor([[0.1, -4.0, 0.2, 3.0, 5.0, -0.3, 0.4, 6.0], [1.0, 1.0, 1.0, 1.0, -2.0, 0.0, 7.0, 0.5]])


def test_n_m_zeroes_the_smallest_of_each_group():
    expected = [[1, 0, 1, 0, 0, 1, 1, 0], [None, None, None, None, 0, 1, 0, 1]]
    mask = magnitude.zero_mask(WEIGHT, pattern="2:4")
    for row, wanted in zip(mask.tolist(), expected, strict=True):
        assert all(w is None or bool(w) == m for m, w in zip(row, wanted, strict=True))
    assert mask[1, :4].sum() == 2  # ties: still exactly two


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("ties", [False, True])
def test_ratio_is_exact_and_takes_the_smallest(ratio, ties):
    weight = torch.randn(33, 47, generator=torch.Generator().manual_seed(1))
    weight = weight.round() if ties else weight
    mask = magnitude.zero_mask(weight, ratio=ratio)
    assert mask.sum() == round(ratio * weight.numel())
    if mask.any():
        assert weight[mask].abs().max() <= weight[~mask].abs().min()


@pytest.mark.parametrize(("pattern", "zeros"), [("2:4", 2), ("4:8", 4), ("1:4", 3)])
def test_every_group_has_the_pattern(pattern, zeros):
    group = int(pattern.split(":")[1])
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(2))
    mask = magnitude.zero_mask(weight, pattern=pattern)
    assert (mask.reshape(-1, group).sum(dim=1) == zeros).all()
    for values, zero in zip(weight.reshape(-1, group), mask.reshape(-1, group), strict=True):
        assert values[zero].abs().max() <= values[~zero].abs().min()


def test_an_input_dimension_that_does_not_fit_is_a_finding():
    with pytest.raises(Unsupported, match="10 is not a multiple of 4"):
        magnitude.zero_mask(torch.ones(4, 10), pattern="2:4")


def test_the_head_and_the_embedding_stay_dense(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    before = model.get_input_embeddings().weight.clone(), model.get_output_embeddings().weight.clone()
    layers = magnitude.prune(model, {"ratio": 0.5})
    assert len(layers) == 14
    assert set(layers.values()) == {0.5}
    assert torch.equal(before[0], model.get_input_embeddings().weight)
    assert torch.equal(before[1], model.get_output_embeddings().weight)


def test_a_pruned_model_is_saved_verified_and_described(script, tiny_record, tmp_path):
    spec = {"pruning": {"method": "magnitude", "pattern": "2:4"}, "seed": 0}
    code, log, record = script("prune_weights", spec, model=tiny_record, weights=tmp_path / "pruned")
    assert code == 0, log
    assert record["sparsity"]["mean"] == 0.5
    assert record["cost"]["energy_j"]["cpu"] > 0
    assert record["cost"]["basis"]["cpu"]["basis"] in ("measured", "estimated")
    model = AutoModelForCausalLM.from_pretrained(record["weights"])
    magnitude.verify(model, spec["pruning"])
    magnitude.linear_layers(model)["model.layers.0.mlp.up_proj"].weight.data[0, :4] = 1.0
    with pytest.raises(InputError, match=r"layers.0.mlp.up_proj: the saved weights do not have the zeros"):
        magnitude.verify(model, spec["pruning"])

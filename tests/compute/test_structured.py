"""Structured pruning: the smaller model is the large one without exactly what was removed, in memory and reloaded."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

import references
import tiny_model
from joulegrid.compression import blocks, layers
from joulegrid.compression.modules import flops_per_token, linear_layers
from joulegrid.findings import Unsupported

TOKENS = torch.randint(0, 400, (4, 32), generator=torch.Generator().manual_seed(0))


def logits(model):
    with torch.inference_mode():
        return model.eval()(input_ids=TOKENS).logits


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def deep(count=5):
    torch.manual_seed(0)
    config = tiny_model.config_of(64)
    config.num_hidden_layers = count
    return LlamaForCausalLM(config).eval()


def qwen():
    """With biases in attention, and three query heads for each of four key-value heads."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=400,
        hidden_size=96,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=12,
        num_key_value_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.5)
    return model


def reloaded(model, folder):
    model.save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder)


def test_listed_blocks_are_left_out(tmp_path):
    whole, model = deep(), deep()
    notes = layers.prune(model, {"drop": [3, 1]}, None, "cpu")
    assert notes["removed_blocks"] == [1, 3]
    for number in (1, 3):  # the same by other means: these blocks hand their input on
        whole.model.layers[number].forward = lambda states, **_: states
    assert torch.equal(logits(model), logits(whole))
    again = reloaded(model, tmp_path)
    assert again.config.num_hidden_layers == 3
    assert torch.equal(logits(again), logits(model))
    block = parameters(whole.model.layers[0])
    assert parameters(model) == parameters(whole) - 2 * block


def test_the_least_influential_blocks_go_and_the_influence_is_the_reference():
    model = deep()
    for weight in (model.model.layers[2].self_attn.o_proj.weight, model.model.layers[2].mlp.down_proj.weight):
        weight.data *= 0.01
    with torch.inference_mode():
        # hidden_states holds what enters each block; what leaves the last one is normalized there
        seen = []
        hook = model.model.layers[4].register_forward_hook(lambda m, given, out: seen.append(out))
        states = [*model(input_ids=TOKENS, output_hidden_states=True).hidden_states[:5], seen[0]]
        hook.remove()
    wanted = [references.block_influence(a.flatten(0, 1), b.flatten(0, 1)) for a, b in pairwise(states)]
    notes = layers.prune(model, {"ratio": 0.2}, TOKENS, "cpu")
    assert notes["removed_blocks"] == [2]
    assert notes["block_influence"] == pytest.approx(wanted, rel=1e-4)
    assert len(model.model.layers) == 4


def test_blocks_that_are_not_there_are_findings():
    with pytest.raises(Unsupported, match="the model has the blocks 0 to 4, not 7"):
        layers.prune(deep(), {"drop": [0, 7]}, None, "cpu")
    with pytest.raises(Unsupported, match="all of 2 blocks would go"):
        layers.prune(deep(2), {"drop": [0, 1]}, None, "cpu")


@pytest.mark.parametrize("make", [deep, qwen])
@pytest.mark.parametrize("importance", ["magnitude", "activation"])
def test_cut_channels_and_heads_are_what_zeroed_ones_would_be(tmp_path, make, importance):
    whole, model = make(), make()
    entry = {"channels": 0.4, "heads": 0.5, "importance": importance, "multiple_of": 32}
    notes = blocks.prune(model, entry, TOKENS, "cpu")
    config = whole.config
    head = config.hidden_size // config.num_attention_heads
    queries = config.num_attention_heads // config.num_key_value_heads
    for small, large in zip(model.model.layers, whole.model.layers, strict=True):
        # which channels and heads are left is found by their weights; the others are silenced in the whole model
        kept = (small.mlp.up_proj.weight[:, None] == large.mlp.up_proj.weight[None]).all(dim=2).any(dim=0)
        assert int(kept.sum()) == config.intermediate_size - notes["removed_channels_per_block"]
        large.mlp.down_proj.weight.data[:, ~kept] = 0
        rows = (small.self_attn.q_proj.weight[:, None] == large.self_attn.q_proj.weight[None]).all(dim=2).any(dim=0)
        groups = rows.reshape(-1, head * queries)
        assert (groups.all(dim=1) | ~groups.any(dim=1)).all(), "whole groups only"
        large.self_attn.o_proj.weight.data[:, ~rows] = 0
    torch.testing.assert_close(logits(model), logits(whole), rtol=1e-4, atol=1e-5)
    again = reloaded(model, tmp_path)
    assert again.config.intermediate_size == config.intermediate_size - notes["removed_channels_per_block"]
    assert again.config.intermediate_size in (64, 96), "0.6 of 128 and 160, in multiples of 32"
    assert again.config.num_key_value_heads == config.num_key_value_heads // 2
    assert again.config.num_attention_heads == again.config.num_key_value_heads * queries
    assert torch.equal(logits(again), logits(model))


def test_parameters_and_operations_fall_by_exactly_what_was_removed(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    before, flops = parameters(model), flops_per_token(model)
    blocks.prune(model, {"channels": 0.5, "heads": 0.5, "importance": "magnitude", "multiple_of": 64}, None, "cpu")
    channels, group = 64, 16 * (2 + 1 + 1 + 2)  # rows and columns of 64 numbers: q, k, v, o with 2 query heads a group
    removed = 2 * 64 * (3 * channels + group)
    assert parameters(model) == before - removed
    assert flops_per_token(model) == flops - 2 * removed
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=torch.arange(1)[None])
    linear = sum(
        counter.get_flop_counts()["Global"][op] for op in counter.get_flop_counts()["Global"] if "mm" in str(op)
    )
    attention = 2 * 2 * 2 * 16 * 2  # two blocks, scores and values, one token with itself: 2 heads of 16
    assert linear in (flops_per_token(model), flops_per_token(model) + attention)


def test_the_least_important_channel_and_head_go():
    model = deep(1)
    block = model.model.layers[0]
    for layer, dim in ((block.mlp.gate_proj, 0), (block.mlp.up_proj, 0), (block.mlp.down_proj, 1)):
        layer.weight.data.index_fill_(dim, torch.tensor([5, 9]), 1e-4)
    untouched = block.mlp.up_proj.weight.clone()
    attention = block.self_attn
    attention.v_proj.weight.data[:16] = 0  # the first of two groups contributes nothing
    second = attention.k_proj.weight[16:].clone()
    entry = {"channels": 2 / 128, "heads": 0.5, "importance": "activation", "multiple_of": 1}
    blocks.prune(model, entry, TOKENS, "cpu")
    kept = [n for n in range(128) if n not in (5, 9)]
    assert torch.equal(block.mlp.up_proj.weight, untouched[kept])
    assert torch.equal(attention.k_proj.weight, second)


def test_blocks_of_another_kind_and_empty_results_are_findings(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.model.layers[1].self_attn.q_proj = nn.Identity()
    with pytest.raises(Unsupported, match="block 1 has no linear layer q_proj"):
        blocks.prune(model, {"heads": 0.5, "importance": "magnitude", "multiple_of": 1}, None, "cpu")
    model = AutoModelForCausalLM.from_pretrained(tiny)
    with pytest.raises(Unsupported, match=r"0\.1 of 128 channels: none would go"):
        blocks.prune(model, {"channels": 0.1, "importance": "magnitude", "multiple_of": 64}, None, "cpu")
    with pytest.raises(Unsupported, match=r"0\.9 of 2 groups of attention heads: all would go"):
        blocks.prune(model, {"heads": 0.9, "importance": "magnitude", "multiple_of": 1}, None, "cpu")


def test_a_smaller_model_comes_out_of_the_job(script, tiny_record, tmp_path):
    entry = {"method": "blocks", "channels": 0.5, "importance": "magnitude", "multiple_of": 64}
    code, log, record = script("prune_weights", {"pruning": entry}, model=tiny_record, weights=tmp_path / "small")
    assert code == 0, log
    assert record["notes"] == {"removed_channels_per_block": 64}
    model = AutoModelForCausalLM.from_pretrained(record["weights"])
    assert record["parameters"] == parameters(model)
    assert record["flops_per_token"]["after"] == flops_per_token(model)
    assert record["flops_per_token"]["before"] - record["flops_per_token"]["after"] == 2 * 2 * 3 * 64 * 64
    assert record["sparsity"]["mean"] == 0
    assert set(record["sparsity"]["layers"]) == set(linear_layers(model))

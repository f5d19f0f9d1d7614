"""Structured pruning: the smaller model is the large one without exactly what was removed."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from helpers import references, tiny_model
from joulegrid.compression import making
from joulegrid.compression.gradients import block_gradients
from joulegrid.compression.modules import linear_layers
from joulegrid.compression.pruning import blocks, importance, layers
from joulegrid.compression.pruning.groups import groups_of
from joulegrid.compression.verification import check_pruned, flops_per_token
from joulegrid.errors import InputError, Unsupported

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


def gemma():
    """With norms of queries and keys, scaled embeddings, and a block that sees 8 tokens only."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
    )
    return Gemma3ForCausalLM(config).eval()


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
    for weight in (
        model.model.layers[2].self_attn.o_proj.weight,
        model.model.layers[2].mlp.down_proj.weight,
    ):
        weight.data *= 0.01
    with torch.inference_mode():
        # hidden_states holds what enters each block; what leaves the last one is normalized there
        seen = []
        hook = model.model.layers[4].register_forward_hook(lambda m, given, out: seen.append(out))
        states = [*model(input_ids=TOKENS, output_hidden_states=True).hidden_states[:5], seen[0]]
        hook.remove()
    wanted = [
        references.block_influence(a.flatten(0, 1), b.flatten(0, 1)) for a, b in pairwise(states)
    ]
    notes = layers.prune(model, {"ratio": 0.2}, TOKENS, "cpu")
    assert notes["removed_blocks"] == [2]
    assert notes["block_influence"] == pytest.approx(wanted, rel=1e-4)
    assert len(model.model.layers) == 4


def test_blocks_that_are_not_there_are_findings():
    with pytest.raises(Unsupported, match="the model has the blocks 0 to 4, not 7"):
        layers.prune(deep(), {"drop": [0, 7]}, None, "cpu")
    with pytest.raises(Unsupported, match="all of 2 blocks would go"):
        layers.prune(deep(2), {"drop": [0, 1]}, None, "cpu")


@pytest.mark.parametrize("make", [deep, qwen, gemma])
@pytest.mark.parametrize("by", ["magnitude", "activation", "taylor"])
def test_cut_channels_and_heads_are_what_zeroed_ones_would_be(tmp_path, make, by):
    whole, model = make(), make()
    entry = {"channels": 0.4, "heads": 0.5, "importance": by, "multiple_of": 32}
    notes = blocks.prune(model, entry, TOKENS, "cpu")
    config = whole.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    queries = config.num_attention_heads // config.num_key_value_heads
    for small, large in zip(model.model.layers, whole.model.layers, strict=True):
        # which channels and heads are left is found by their weights; the others are silenced in
        # the whole model
        kept = (
            (small.mlp.up_proj.weight[:, None] == large.mlp.up_proj.weight[None])
            .all(dim=2)
            .any(dim=0)
        )
        assert int(kept.sum()) == config.intermediate_size - notes["removed_channels_per_block"]
        large.mlp.down_proj.weight.data[:, ~kept] = 0
        rows = (
            (small.self_attn.q_proj.weight[:, None] == large.self_attn.q_proj.weight[None])
            .all(dim=2)
            .any(dim=0)
        )
        groups = rows.reshape(-1, head * queries)
        assert (groups.all(dim=1) | ~groups.any(dim=1)).all(), "whole groups only"
        large.self_attn.o_proj.weight.data[:, ~rows] = 0
    torch.testing.assert_close(logits(model), logits(whole), rtol=1e-4, atol=1e-5)
    again = reloaded(model, tmp_path)
    assert (
        again.config.intermediate_size
        == config.intermediate_size - notes["removed_channels_per_block"]
    )
    assert again.config.intermediate_size in (64, 96), "0.6 of 128 and 160, in multiples of 32"
    assert again.config.num_key_value_heads == config.num_key_value_heads // 2
    assert again.config.num_attention_heads == again.config.num_key_value_heads * queries
    assert torch.equal(logits(again), logits(model))


def all_groups(model):
    head_size = model.model.layers[0].self_attn.head_dim
    return [
        groups_of(block, number, head_size, ("channels", "heads"))
        for number, block in enumerate(model.model.layers)
    ]


@pytest.mark.parametrize("make", [deep, qwen, gemma])
def test_taylor_importance_is_what_autograd_over_the_whole_model_gives(make):
    model = make()
    wanted = references.taylor_importance(model, TOKENS)
    found = importance.scores(model, all_groups(model), "taylor", TOKENS, "cpu")
    assert len(found) == len(wanted)
    for score, (channels, heads) in zip(found, wanted, strict=True):
        assert score["channels"].tolist() == pytest.approx(channels, rel=1e-3)
        assert score["heads"].tolist() == pytest.approx(heads, rel=1e-3)


def test_gradients_are_those_of_the_whole_model_and_leave_16_bit_weights_as_they_were():
    model, whole = deep().to(torch.bfloat16), deep().to(torch.bfloat16).float()
    whole(input_ids=TOKENS, labels=TOKENS).loss.backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    numbers = []
    for number, block in block_gradients(model, TOKENS, "cpu"):
        numbers.append(number)
        for name, parameter in block.named_parameters():
            wanted = whole.model.layers[number].get_parameter(name).grad
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-3, atol=1e-6)
    assert numbers == [4, 3, 2, 1, 0]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert {value.dtype for value in model.state_dict().values()} == {torch.bfloat16}


def test_a_loss_that_is_no_number_is_an_error():
    model = deep(2)
    model.lm_head.weight.data[0, 0] = torch.nan
    with pytest.raises(InputError, match="the loss on the calibration text is nan"):
        next(block_gradients(model, TOKENS, "cpu"))


def test_parameters_and_operations_fall_by_exactly_what_was_removed(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    before, flops = parameters(model), flops_per_token(model)
    entry = {"channels": 0.5, "heads": 0.5, "importance": "magnitude", "multiple_of": 64}
    blocks.prune(model, entry, None, "cpu")
    channels, group = (
        64,
        16 * (2 + 1 + 1 + 2),
    )  # rows and columns of 64 numbers: q, k, v, o with 2 query heads a group
    removed = 2 * 64 * (3 * channels + group)
    attention = (
        2 * 2 * 2 * 16 * 2
    )  # two blocks, scores and values, one token with itself: 2 heads of 16
    assert parameters(model) == before - removed
    assert flops_per_token(model) == flops - 2 * removed - attention
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    assert flops_per_token(model) == 2 * linear + attention


def test_operations_of_a_mixture_are_those_of_the_chosen_experts():
    sizes = {key: getattr(tiny_model.config_of(64), key) for key in ("vocab_size", "hidden_size")}
    sizes |= {"intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MixtralConfig(**sizes, num_key_value_heads=2, num_local_experts=8)
    model = MixtralForCausalLM(config).eval()
    expert = 3 * 64 * 128
    attention = 64 * (64 + 32 + 32 + 64)
    with_itself = 2 * 4 * 16  # scores and values of one token, 4 heads of 16
    weights = 400 * 64 + 2 * (
        attention + with_itself + 8 * 64 + config.num_experts_per_tok * expert
    )
    assert flops_per_token(model) == 2 * weights


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


@pytest.mark.parametrize("by", ["activation", "taylor"])
def test_a_large_channel_that_is_never_used_goes(by):
    """Its gate is shut: by magnitude it would be the last to go."""
    model = deep(1)
    mlp = model.model.layers[0].mlp
    mlp.up_proj.weight.data[7] = 0
    for weight in (mlp.gate_proj.weight.data[7], mlp.down_proj.weight.data[:, 7]):
        weight.fill_(3.0)
    others = mlp.up_proj.weight[[n for n in range(128) if n != 7]].clone()
    entry = {"channels": 1 / 128, "importance": by, "multiple_of": 1}
    blocks.prune(model, entry, TOKENS, "cpu")
    assert torch.equal(mlp.up_proj.weight, others)


def test_blocks_of_another_kind_and_empty_results_are_findings(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.model.layers[1].self_attn.q_proj = nn.Identity()
    heads = {"heads": 0.5, "importance": "magnitude", "multiple_of": 1}
    with pytest.raises(Unsupported, match="block 1 has no linear layer q_proj"):
        blocks.prune(model, heads, None, "cpu")
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.model.layers[1].self_attn.o_proj = nn.Linear(32, 64)
    with pytest.raises(Unsupported, match="block 1: the sizes of its layers do not fit its heads"):
        blocks.prune(model, heads, None, "cpu")
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.model.layers[1].self_attn.q_norm = nn.LayerNorm(64)
    with pytest.raises(Unsupported, match="block 1: q_norm goes over all heads at once"):
        blocks.prune(model, heads, None, "cpu")
    model = AutoModelForCausalLM.from_pretrained(tiny)
    for name, sizes in (("gate_proj", (64, 96)), ("up_proj", (64, 96)), ("down_proj", (96, 64))):
        setattr(model.model.layers[1].mlp, name, nn.Linear(*sizes))
    with pytest.raises(Unsupported, match="channels: its blocks have 96 to 128"):
        blocks.prune(model, {**heads, "channels": 0.5}, None, "cpu")
    model = AutoModelForCausalLM.from_pretrained(tiny)
    with pytest.raises(Unsupported, match=r"channels: none of 128 would go by a share of 0\.1 "):
        blocks.prune(
            model, {"channels": 0.1, "importance": "magnitude", "multiple_of": 64}, None, "cpu"
        )
    with pytest.raises(Unsupported, match=r"heads: all of 2 would go by a share of 0\.9"):
        blocks.prune(
            model, {"heads": 0.9, "importance": "magnitude", "multiple_of": 1}, None, "cpu"
        )


def test_a_smaller_model_is_made_and_verified(tiny, tmp_path):
    calibration = {"text": {"path": "config/texts/calibration.txt"}, "samples": 4, "tokens": 32}
    entry = {"method": "blocks", "channels": 0.5, "importance": "taylor", "multiple_of": 64}
    entry["calibration"] = calibration
    made = making.prune(tiny, tmp_path, entry, 0, "cpu")
    checked = check_pruned(tmp_path, entry, made["probe"])
    assert made["notes"] == {"removed_channels_per_block": 64}
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    flops = made["flops_per_token"]
    assert flops["after"] == flops_per_token(model)
    assert flops["before"] - flops["after"] == 2 * 2 * 3 * 64 * 64
    assert checked["parameters"] == parameters(model)
    assert checked["sparsity"]["mean"] == 0
    assert set(checked["sparsity"]["layers"]) == set(linear_layers(model))


def test_a_job_describes_the_smaller_model(script, tiny, tmp_path):
    folder = tmp_path / "small"
    entry = {"method": "blocks", "channels": 0.5, "importance": "magnitude", "multiple_of": 64}
    spec = {"pruning": entry, "seed": None}
    code, log, record = script("prune_weights", spec, source=tiny, weights=folder)
    assert code == 0, log
    assert record["notes"] == {"removed_channels_per_block": 64}
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert record["parameters"] == parameters(model)
    assert record["flops_per_token"]["after"] == flops_per_token(model)

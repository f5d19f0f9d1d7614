"""Masks and updated weights of unstructured pruning: float64 references and exact counts."""

import json

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
)

from helpers import references, tiny_model
from joulegrid.compression import making, verification
from joulegrid.compression.modules import decoder_blocks, linear_layers
from joulegrid.compression.pruning import magnitude, masks, sparsegpt, wanda
from joulegrid.compression.streaming import stream
from joulegrid.compression.verification import zero_shares
from joulegrid.errors import InputError, Unsupported
from joulegrid.training.recovery import recover

SETTINGS = [
    {"ratio": 0.5},
    {"ratio": 0.3},
    {"ratio": 0.0},
    {"ratio": 0.9},
    {"pattern": "2:4"},
    {"pattern": "4:8"},
]
IDS = [str(next(iter(setting.values()))) for setting in SETTINGS]
TOKENS = torch.randint(0, 400, (4, 64), generator=torch.Generator().manual_seed(0))


def matrices(rows=24, columns=192, tokens=600):
    """Weights and correlated inputs of very different size, as those of language models are."""
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(rows, columns, generator=draw)
    mixing = torch.randn(columns, columns, generator=draw) / columns**0.5 + torch.eye(columns)
    return weight, torch.randn(tokens, columns, generator=draw) @ mixing * torch.rand(
        columns, generator=draw
    ).exp()


def hessian(x):
    return x.T @ x


@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_magnitude_is_the_reference(setting):
    weight, _ = matrices()
    layer = weight.clone()
    magnitude.prune_matrix(layer, setting)
    assert torch.equal(layer == 0, references.magnitude_mask(weight, **setting))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("ratio", [0.0, 0.123, 0.5, 0.999])
def test_global_magnitude_is_the_reference_and_exact_with_ties(ratio, dtype):
    weights = [
        matrices(rows, columns)[0].to(dtype) * scale
        for rows, columns, scale in ((8, 64, 1), (16, 32, 0.1))
    ]
    wanted = references.global_magnitude_masks(weights, ratio)
    pruned = [weight.clone() for weight in weights]
    magnitude.prune_globally(pruned, ratio)
    for weight, mask in zip(pruned, wanted, strict=True):
        assert torch.equal(weight == 0, mask)


@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_wanda_is_the_reference(setting):
    weight, x = matrices()
    norm = x.double().square().sum(dim=0).sqrt()
    assert torch.equal(
        wanda.mask(weight, norm, setting), references.wanda_mask(weight, x, **setting)
    )


@pytest.mark.parametrize("setting", SETTINGS, ids=IDS)
def test_sparsegpt_masks_and_updated_weights_are_the_reference(setting):
    weight, x = matrices()
    found, dampening = sparsegpt.prune_matrix(weight, hessian(x), setting)
    wanted, mask = references.sparsegpt(weight, x, **setting)
    assert torch.equal(found == 0, mask)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)
    assert dampening == 0.01


def test_sparsegpt_with_inputs_that_are_always_zero():
    weight, x = matrices()
    x[:, [3, 77]] = 0
    found, _ = sparsegpt.prune_matrix(weight, hessian(x), {"ratio": 0.5})
    assert (found[:, [3, 77]] == 0).all()
    assert torch.isfinite(found).all()
    assert int((found == 0).sum()) == weight.numel() // 2


def test_a_singular_hessian_is_dampened_more_and_says_so():
    weight, _ = matrices(columns=64)
    x = torch.ones(1, 64) * 1e4
    singular = hessian(x.double()).float()
    singular[0, 0] = -1e7  # not even semi-definite, as rounding makes of a nearly singular one
    found, dampening = sparsegpt.prune_matrix(weight, singular, {"ratio": 0.5})
    assert dampening > 0.01
    assert torch.isfinite(found).all()
    with pytest.raises(ArithmeticError, match="cannot be factored"):
        sparsegpt.prune_matrix(weight, torch.full((64, 64), torch.nan), {"ratio": 0.5})


@pytest.mark.parametrize("setting", [{"ratio": 0.5}, {"pattern": "2:4"}], ids=["50%", "2:4"])
def test_the_better_method_reconstructs_the_output_better(setting):
    weight, x = matrices()
    by_size = weight.clone()
    magnitude.prune_matrix(by_size, setting)
    by_wanda = weight.masked_fill(wanda.mask(weight, x.norm(dim=0).double(), setting), 0)
    by_sparsegpt, _ = sparsegpt.prune_matrix(weight, hessian(x), setting)
    errors = [float(((weight - new) @ x.T).norm()) for new in (by_sparsegpt, by_wanda, by_size)]
    assert errors == sorted(errors)
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize(("pattern", "zeros"), [("2:4", 2), ("4:8", 4), ("1:4", 3)])
def test_every_group_has_the_pattern_whatever_the_ties(pattern, zeros):
    group = int(pattern.split(":")[1])
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(2)).round()
    mask = masks.n_m_mask(weight.abs(), pattern)
    assert (mask.reshape(-1, group).sum(dim=1) == zeros).all()
    for values, zero in zip(weight.reshape(-1, group), mask.reshape(-1, group), strict=True):
        assert values[zero].abs().max() <= values[~zero].abs().min()


METHODS = {"magnitude": magnitude, "wanda": wanda, "sparsegpt": sparsegpt}


@pytest.mark.parametrize(
    "setting", [{"ratio": 0.5}, {"ratio": 0.31}, {"pattern": "2:4"}], ids=["50%", "31%", "2:4"]
)
@pytest.mark.parametrize("method", METHODS)
def test_a_model_has_exactly_the_zeros_and_a_dense_head(tiny, method, setting):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    before = (
        model.get_input_embeddings().weight.clone(),
        model.get_output_embeddings().weight.clone(),
    )
    METHODS[method].prune(model, setting, TOKENS, "cpu")
    layers = linear_layers(model)
    assert len(layers) == 14
    for layer in layers.values():
        zeros, (rows, columns) = int((layer.weight == 0).sum()), layer.weight.shape
        share = setting.get("ratio", 0.5)
        assert zeros == (
            rows * round(share * columns) if method == "wanda" else round(share * rows * columns)
        )
    METHODS[method].verify(model, setting)
    assert torch.equal(before[0], model.get_input_embeddings().weight)
    assert torch.equal(before[1], model.get_output_embeddings().weight)


def test_global_pruning_takes_more_from_some_layers_than_from_others(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.model.layers[0].mlp.up_proj.weight.data *= 0.1
    magnitude.prune(model, {"ratio": 0.4, "scope": "global"})
    layers = linear_layers(model)
    total = sum(layer.weight.numel() for layer in layers.values())
    assert sum(int((layer.weight == 0).sum()) for layer in layers.values()) == round(0.4 * total)
    assert zero_shares(model)["layers"]["model.layers.0.mlp.up_proj"] > 0.9
    magnitude.verify(model, {"ratio": 0.4, "scope": "global"})


def test_only_the_chosen_modules_are_pruned(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    entry = {"ratio": 0.5, "modules": ["mlp.*", "layers.1.self_attn.q_proj"]}
    wanda.prune(model, entry, TOKENS, "cpu")
    for name, share in zero_shares(model)["layers"].items():
        chosen = ".mlp." in name or name.endswith("layers.1.self_attn.q_proj")
        assert share == (0.5 if chosen else 0), name
    with pytest.raises(
        InputError, match=r"modules: 'mpl\.\*' matches no linear layer; there are mlp.down_proj, "
    ):
        linear_layers(model, ["mpl.*"])


def test_a_tied_head_and_a_layer_that_shares_weights_stay_as_they_are(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    mlp = model.model.layers[0].mlp
    mlp.gate_proj.weight = mlp.up_proj.weight
    names = linear_layers(model)
    assert not {"model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj", "lm_head"} & set(
        names
    )


def test_statistics_come_from_the_blocks_that_were_pruned_before(tiny):
    """The second block of Wanda sees what the pruned first one gives, as in a forward pass."""
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    wanda.prune(model, {"ratio": 0.5}, TOKENS, "cpu")
    reference = AutoModelForCausalLM.from_pretrained(tiny).eval()
    seen = {}
    for block in reference.model.layers:
        layers = {name: m for name, m in block.named_modules() if isinstance(m, nn.Linear)}
        hooks = [
            layer.register_forward_pre_hook(
                lambda m, given, name=name: seen.setdefault(name, []).append(given[0])
            )
            for name, layer in layers.items()
        ]
        with torch.inference_mode():
            reference(input_ids=TOKENS)
        for hook in hooks:
            hook.remove()
        for name, layer in layers.items():
            x = torch.cat([batch.flatten(0, 1) for batch in seen.pop(name)])
            layer.weight.data[references.wanda_mask(layer.weight.data, x, ratio=0.5)] = 0
    for (name, layer), wanted in zip(
        linear_layers(model).items(), linear_layers(reference).values(), strict=True
    ):
        same = (layer.weight == wanted.weight).float().mean()
        assert same > 0.999, name


def test_streaming_gives_the_hidden_states_of_a_forward_pass(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).eval()
    wanted = AutoModelForCausalLM.from_pretrained(tiny).eval()
    wanted.load_state_dict({name: value.float() for name, value in model.state_dict().items()})
    with torch.inference_mode():
        states = wanted(input_ids=TOKENS, output_hidden_states=True).hidden_states
    for passing in stream(model, TOKENS, "cpu", changes=True):
        found = torch.cat(passing.inputs)
        torch.testing.assert_close(found, states[passing.number], rtol=2e-2, atol=2e-2)
        assert len(passing.run()) == len(TOKENS)
    assert next(model.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("changes", [True, False])
def test_a_block_that_the_caller_does_not_run_hands_its_samples_on(tiny, changes):
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    with torch.inference_mode():
        states = model(input_ids=TOKENS, output_hidden_states=True).hidden_states
    for passing in stream(model, TOKENS, "cpu", changes=changes):
        assert len(passing.inputs) == len(TOKENS)
        torch.testing.assert_close(torch.cat(passing.inputs), states[passing.number])


def test_blocks_that_are_called_otherwise_for_every_sample_are_a_finding(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    turn = model.model.rotary_emb.forward
    model.model.rotary_emb.forward = lambda states, position_ids: turn(
        states, position_ids + states.argmax()
    )
    with pytest.raises(Unsupported, match="beside the hidden states that differ by sample"):
        wanda.prune(model, {"ratio": 0.5}, TOKENS, "cpu")


def test_a_stream_that_is_left_early_leaves_the_weights_as_they_were(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).eval()
    for _ in stream(model, TOKENS, "cpu", changes=False):
        break
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(input_ids=TOKENS).logits.dtype == torch.bfloat16


def seeing():
    """A model with images: the blocks of its vision tower are as many as those of its text part."""
    torch.manual_seed(0)
    text = {key: getattr(tiny_model.config_of(64), key) for key in TEXT_SIZES}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    text |= {"head_dim": 16, "max_position_embeddings": 64}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    return Gemma3ForConditionalGeneration(config).eval()


TEXT_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
TEXT_SIZES += ("num_attention_heads", "num_key_value_heads")


def test_of_a_model_with_images_the_text_part_is_pruned():
    model = seeing()
    assert decoder_blocks(model)[0] == "model.language_model.layers"
    tower = {name: value.clone() for name, value in model.model.vision_tower.state_dict().items()}
    wanda.prune(model, {"ratio": 0.5}, TOKENS, "cpu")
    assert set(linear_layers(model)) == set(zero_shares(model)["layers"])
    assert set(zero_shares(model)["layers"].values()) == {0.5}
    after = model.model.vision_tower.state_dict()
    assert all(torch.equal(after[name], value) for name, value in tower.items())


def test_models_that_would_stay_dense_in_part_are_findings(tiny):
    with pytest.raises(Unsupported, match="is a Conv1D"):
        linear_layers(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=10)))
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.model.layers[0].mlp.experts = nn.Parameter(torch.zeros(2, 4, 4))
    with pytest.raises(Unsupported, match=r"layers\.0\.mlp\.experts fuses several experts"):
        linear_layers(model)
    bare = nn.Module()
    bare.config = model.config
    with pytest.raises(Unsupported, match="no list of 2 decoder blocks"):
        decoder_blocks(bare)


def test_an_input_dimension_that_does_not_fit_is_a_finding(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_model.make(tmp_path / "odd", 72))
    for method in METHODS.values():
        with pytest.raises(
            Unsupported,
            match=r"model.layers.0.self_attn.q_proj: the input dimension 72 is not a mul",
        ):
            method.prune(model, {"pattern": "8:16"}, TOKENS, "cpu")


def test_activations_that_are_no_numbers_are_an_error(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = torch.inf
    with pytest.raises(
        InputError, match=r"layers\.1\..*inputs are not finite numbers on the calibration text"
    ):
        wanda.prune(model, {"ratio": 0.5}, TOKENS, "cpu")


TEXT = {"path": "config/texts/calibration.txt"}
CALIBRATION = {"text": TEXT, "samples": 4, "tokens": 64}
RECOVERY = {
    "method": "lora",
    "text": TEXT,
    "tokens": 64,
    "steps": 8,
    "batch_size": 2,
    "rank": 4,
    "alpha": 8,
    "learning_rate": 0.01,
}
SPARSEGPT = {
    "method": "sparsegpt",
    "pattern": "2:4",
    "calibration": CALIBRATION,
    "recovery": RECOVERY,
}


def test_a_pruned_model_is_saved_and_verified(tiny, tmp_path):
    made = making.prune(tiny, tmp_path, SPARSEGPT, 0, "cpu")
    checked = verification.check_pruned(tmp_path, SPARSEGPT, made["probe"])
    sparsity = checked["sparsity"]
    assert sparsity["mean"] == 0.5
    assert set(sparsity["layers"].values()) == {0.5}
    assert made["calibration"] == {"samples": 4, "distinct_samples": 4}
    assert {note["dampening"] for note in made["notes"].values()} == {0.01}
    losses = made["recovery"]["loss_nats"]
    assert len(losses) == 8
    assert sum(losses[-3:]) < sum(losses[:3])
    assert made["flops_per_token"]["before"] == made["flops_per_token"]["after"] > 0
    with pytest.raises(InputError, match="the saved model gives other logits than the pruned one"):
        verification.check_pruned(tmp_path, SPARSEGPT, made["probe"] + 0.01)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    linear_layers(model)["model.layers.0.mlp.up_proj"].weight.data[0, :4] = 1.0
    with pytest.raises(InputError, match=r"layers.0.mlp.up_proj: the saved weights do not have"):
        masks.verify(model, SPARSEGPT)
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"layers.0.mlp.up_proj: the saved weights do not have"):
        verification.check_pruned(tmp_path, SPARSEGPT, made["probe"])


def test_making_again_gives_the_same_weights_and_another_seed_others(tiny, tmp_path):
    weights = []
    for number, seed in enumerate((0, 0, 1)):
        making.prune(tiny, tmp_path / str(number), SPARSEGPT, seed, "cpu")
        weights.append(AutoModelForCausalLM.from_pretrained(tmp_path / str(number)).state_dict())
    first, again, other = weights
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_sizes_that_transformers_does_not_build_are_a_finding(tiny, tmp_path):
    """As where an architecture has no key for the size of its heads."""
    made = making.prune(tiny, tmp_path, {"method": "magnitude", "ratio": 0.5}, 0, "cpu")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "head_dim": 32}))
    with pytest.raises(Unsupported, match="cannot load this architecture with fewer heads"):
        verification.check_pruned(tmp_path, {"method": "magnitude", "ratio": 0.5}, made["probe"])


def test_recovery_of_a_16_bit_model_is_saved_as_it_is_in_memory(tiny, tmp_path):
    """Rotary frequencies stay in float32, whatever the weights are in."""
    source, folder = tmp_path / "bf16", tmp_path / "made"
    AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).save_pretrained(source)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(source)
    entry = {"method": "magnitude", "pattern": "2:4", "recovery": RECOVERY}
    made = making.prune(source, folder, entry, 0, "cpu")
    checked = verification.check_pruned(folder, entry, made["probe"])
    assert checked["sparsity"]["mean"] == 0.5
    assert checked["dtypes"] == ["BF16"]


def test_recovery_lowers_the_loss_and_keeps_every_zero(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    magnitude.prune(model, {"pattern": "2:4"})
    before = {name: layer.weight.clone() for name, layer in linear_layers(model).items()}
    recover(model, AutoTokenizer.from_pretrained(tiny), RECOVERY, "cpu", 0)
    for name, layer in linear_layers(model).items():
        assert torch.equal(layer.weight == 0, before[name] == 0)
        assert not torch.equal(layer.weight, before[name])


def test_recovery_never_trains_beyond_the_models_context(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    longer = {**RECOVERY, "tokens": 65}
    plain = AutoModelForCausalLM.from_pretrained(tiny, max_position_embeddings=64)
    for model in (plain, seeing()):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(InputError, match="samples of 65 tokens; the model's context is 64"):
            recover(model, tokenizer, longer, "cpu", 0)
        assert all(torch.equal(before[n], value) for n, value in model.state_dict().items())
    assert len(recover(plain, tokenizer, {**RECOVERY, "steps": 1}, "cpu", 0)["loss_nats"]) == 1
    assert len(recover(seeing(), tokenizer, {**RECOVERY, "steps": 1}, "cpu", 0)["loss_nats"]) == 1


def test_a_recovery_that_diverges_is_an_error(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    with pytest.raises(InputError, match=r"recovery: the loss of step \d+ is nan; lower learning"):
        recover(model, tokenizer, {**RECOVERY, "learning_rate": 1e30}, "cpu", 0)


def test_a_pruning_job_writes_what_was_made_and_what_it_cost(script, tiny, tmp_path):
    folder = tmp_path / "w"
    spec = {"pruning": SPARSEGPT, "seed": 0}
    code, log, record = script("prune_weights", spec, source=tiny, weights=folder)
    assert code == 0, log
    assert record["sparsity"]["mean"] == 0.5
    assert record["recovery"]["loss_nats"]
    assert "probe" not in record
    assert record["cost"]["energy_j"]["cpu"] > 0
    assert record["cost"]["basis"]["cpu"]["basis"] in ("measured", "estimated")
    assert record["memory_bytes"]["ram"] > 0
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() == record["parameters"]

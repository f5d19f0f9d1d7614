"""What no reading of a GPU can be below."""

import json

import pytest

from joulegrid.engines import Request
from joulegrid.metering import floor

# Idle power measured without a context, W, and the board's power limit: chuyishang/inference-energy
# (RTX 3090, A100), ecocompute (RTX PRO 6000), TokenPowerBench (H100 NVL)
IDLE = {
    "RTX 3090": (17.5, 350),
    "RTX PRO 6000": (34.43, 600),
    "RTX 6000 Ada": (24.9, 300),
    "A100": (59.0, 400),
    "H100 NVL": (60.5, 400),
}


@pytest.mark.parametrize("board", IDLE)
def test_a_board_that_idles_is_not_called_a_wrong_reading(board):
    """No share of the limit is claimed that a board was measured below."""
    watts, limit = IDLE[board]
    window = {"runs": 10, "seconds": 5.0, "energy_j": {"gpu": watts * 5.0}}
    assert floor.below(window, 100, 0.005, limit) is None
    assert 0.9 * watts / limit > floor.IDLE_SHARE


# ---------------------------------------------------------------- KV cache
LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 2**30}


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        # Llama 3.1 8B: 128 KiB per token in half precision, as published
        (LLAMA_8B, 131_072),
        ({**LLAMA_8B, "head_dim": 64}, 65_536),
        ({**LLAMA_8B, "num_key_value_heads": None}, 4 * 131_072),
        ({**LLAMA_8B, "model_type": "mistral", "sliding_window": 4096}, 0),
        ({**LLAMA_8B, "model_type": "mistral", "sliding_window": None}, 131_072),
        (
            {**LLAMA_8B, "model_type": "qwen2", "sliding_window": 9, "use_sliding_window": False},
            131_072,
        ),
        ({**LLAMA_8B, "model_type": "deepseek_v3"}, 0),
        ({"model_type": "llama"}, 0),
    ],
)
def test_a_config_says_what_a_model_keeps_of_a_token(tmp_path, config, kept):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert floor.cache_bytes(tmp_path) == kept


def test_a_long_context_is_read_again_for_each_token():
    """64 requests of 8,000 tokens: 67 GB of cache per step, more than four times the weights."""
    requests = [Request("x", 3)] * 64
    window = {"runs": 2, "tokens_read": 2 * 64 * 8000, "energy_j": {"gpu": 1e6}}
    reads = floor.cached_reads(requests, window)
    # two steps after the first token, which read the prompt and 1, then 2 tokens more
    assert reads == 2 * 64 * ((8000 + 1) + (8000 + 2))
    step_s = floor.step_seconds(16 * 10**9, [H100])
    cache_s = reads * floor.step_seconds(131_072, [H100])
    assert cache_s == pytest.approx(0.8 * reads * 131_072 / 3.35e12)
    window["seconds"] = 0.06
    assert floor.below(window, 2, step_s, 700) is None
    assert "a wrong reading: 0.06 s" in floor.below(window, 2, step_s, 700, cache_s)


def test_a_request_of_one_token_reads_no_cache():
    """A window of prefill."""
    window = {"runs": 5, "tokens_read": 500}
    assert floor.cached_reads([Request("x", 1)] * 4, window) == 0

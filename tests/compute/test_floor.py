"""What no reading of a GPU can be below."""

import pytest

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

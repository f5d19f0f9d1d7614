"""Bits of llama.cpp's mixes: what a type such as Q4_K_M gives linear layers, embedding and head.

Super-blocks of k-quants are 256 weights of a row. Rows that are no multiple of that get another
type, with more bits (llama.cpp, src/llama-quant.cpp, `tensor_type_fallback`).
"""

from types import MappingProxyType
from typing import NamedTuple

# Bits per weight of the whole file of Llama-3.1-8B (llama.cpp, tools/quantize, its table; Q5_0 and
# Q5_1 by their types)
WHOLE = MappingProxyType(
    {
        "F32": 32.0,
        "F16": 16.0,
        "BF16": 16.0,
        "Q8_0": 8.5,
        "Q6_K": 6.5625,
        "Q5_K_M": 5.70,
        "Q5_K_S": 5.57,
        "Q5_0": 5.57,
        "Q5_1": 6.04,
        "Q4_K_M": 4.89,
        "Q4_K_S": 4.67,
        "Q4_0": 4.66,
        "Q4_1": 5.12,
        "Q3_K_L": 4.30,
        "Q3_K_M": 4.00,
        "Q3_K_S": 3.64,
        "Q2_K": 3.16,
        "Q2_K_S": 2.97,
    }
)
PARAMETERS, OUTSIDE = 8.0303e9, 0.5253e9  # of that model; of its embedding, and of its head
# Bits of the type that a mix begins with, and of what its rows fall back to
BLOCKS = MappingProxyType({"Q4_0": 4.5, "Q4_1": 5.0, "Q5_0": 5.5, "Q5_1": 6.0})
K_QUANTS = MappingProxyType(
    {
        "Q2_K": (2.625, 4.5),  # IQ4_NL
        "Q3_K": (3.4375, 4.5),
        "Q4_K": (4.5, 5.5),  # Q5_0
        "Q5_K": (5.5, 6.0),  # Q5_1
        "Q6_K": (6.5625, 8.5),  # Q8_0
    }
)
HEAD, NARROW_HEAD = K_QUANTS["Q6_K"]
SUPER_BLOCK = 256


class Mix(NamedTuple):
    """Bits per weight.

    Parameters
    ----------
    more
        what linear layers have more whose rows are no multiple of a super-block.
    narrow_embedding, narrow_head
        of these where theirs are none.
    """

    linear: float
    embedding: float
    head: float
    more: float
    narrow_embedding: float
    narrow_head: float


def mix(kind: str) -> Mix:
    """Of a type; of one that is not in the table, of 16 bits."""
    bits = WHOLE.get(kind, 16.0)
    if bits >= WHOLE["Q8_0"]:
        return Mix(bits, bits, bits, 0.0, bits, bits)
    begin = kind.removesuffix("_S").removesuffix("_M").removesuffix("_L")
    own, narrow = K_QUANTS.get(begin) or (BLOCKS[begin], BLOCKS[begin])
    linear = (bits * PARAMETERS - OUTSIDE * (own + HEAD)) / (PARAMETERS - 2 * OUTSIDE)
    return Mix(linear, own, HEAD, narrow - own, narrow, NARROW_HEAD)

"""Slow, plain float64 reference implementations of weight-compression algorithms, for use in tests.

Written from the papers (facts and formulae only). Everything is computed on the CPU in float64 with
loops where they make the algorithm easier to follow. Conventions shared by all functions:

* ``w`` is (outputs x inputs) as ``nn.Linear.weight``; ``x`` is (tokens x inputs); any float dtype,
  tensor or array. Arguments are never modified.
* Masks are bool tensors of the shape of the weight, ``True`` = weight is pruned (set to zero).
* Exactly one of ``ratio`` (fraction of weights to prune) and ``pattern`` ("N:M": N of M weights are
  *kept*) is given.
* Counts are ``round(ratio * count)`` with Python's ``round`` (halves go to the even integer).
* Ties between equal scores: the weight that comes first (row-major order; for a list, matrix by
  matrix) is pruned.
"""

import copy
import itertools
import math

import torch

FP8_E4M3_MAX = 448.0


# --------------------------------------------------------------------------------------------------
# helpers


def _f64(t):
    """A float64 CPU copy of a tensor or array."""
    return torch.as_tensor(t).detach().to(device="cpu", dtype=torch.float64).clone()


def _one_of(ratio, pattern):
    """Check that exactly one of ratio and pattern is given, and that ratio lies in [0, 1]."""
    if (ratio is None) == (pattern is None):
        raise ValueError("give exactly one of ratio and pattern")
    if ratio is not None and not 0.0 <= ratio <= 1.0:
        raise ValueError(f"ratio {ratio} is not in [0, 1]")


def _parse_pattern(pattern, inputs):
    """Split "N:M" into N (kept) and M (group length); `inputs` has to be a multiple of M."""
    n, m = (int(part) for part in pattern.split(":"))
    if not 0 < n <= m:
        raise ValueError(f"bad pattern {pattern}")
    if inputs % m:
        raise ValueError(f"{inputs} inputs are not a multiple of {m}")
    return n, m


def _lowest(scores, count):
    """Bool list, True at the `count` lowest of a 1-D sequence; of ties the earlier index first."""
    values = [float(s) for s in scores]
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    chosen = [False] * len(values)
    for i in order[:count]:
        chosen[i] = True
    return chosen


def _n_m_mask(score, pattern):
    """Mask that prunes the M - N lowest scores in each row and group of M consecutive columns."""
    rows, inputs = score.shape
    n, m = _parse_pattern(pattern, inputs)
    mask = torch.zeros(rows, inputs, dtype=torch.bool)
    for i in range(rows):
        for j in range(0, inputs, m):
            mask[i, j : j + m] = torch.tensor(_lowest(score[i, j : j + m], m - n))
    return mask


# --------------------------------------------------------------------------------------------------
# 1, 2: magnitude pruning


def magnitude_mask(w, ratio=None, pattern=None):
    """Magnitude pruning of one matrix (Han et al. 2015, arXiv 1506.02626).

    Args:
        w: weights (outputs x inputs).
        ratio: prune exactly round(ratio * numel) weights, those with the smallest |w| in the whole
            matrix.
        pattern: "N:M": of every M consecutive weights along the inputs keep the N with the largest
            |w|.

    Returns
    -------
        Bool mask (outputs x inputs), True = pruned.
    """
    _one_of(ratio, pattern)
    score = _f64(w).abs()
    if pattern is not None:
        return _n_m_mask(score, pattern)
    chosen = _lowest(score.flatten(), round(ratio * score.numel()))
    return torch.tensor(chosen, dtype=torch.bool).reshape(score.shape)


def global_magnitude_masks(ws, ratio):
    """Magnitude pruning of several matrices together (e.g. Blalock et al. 2020, arXiv 2003.03033).

    Args:
        ws: list of weights, each (outputs x inputs), shapes may differ.
        ratio: prune exactly round(ratio * total) weights, the smallest |w| over all matrices
            together; a matrix may lose any share of its own weights.

    Returns
    -------
        List of bool masks with the shapes of ws, True = pruned.
    """
    _one_of(ratio, None)
    everything = []
    for w in ws:
        everything.extend(_f64(w).abs().flatten().tolist())
    chosen = _lowest(everything, round(ratio * len(everything)))
    masks, begin = [], 0
    for w in ws:
        rows, inputs = w.shape
        masks.append(
            torch.tensor(chosen[begin : begin + rows * inputs], dtype=torch.bool).reshape(
                rows, inputs
            )
        )
        begin += rows * inputs
    return masks


# --------------------------------------------------------------------------------------------------
# 3: Wanda


def wanda_mask(w, x, ratio=None, pattern=None):
    """Wanda (Sun et al. 2024, arXiv 2306.11695, eq. 1 and algorithm 1).

    The score is S_ij = |W_ij| * ||X_j||_2. The norm is over all tokens; any constant factor of it
    (such as the mean instead of the sum of squares) leaves the ranking inside a row unchanged.

    Args:
        w: weights (outputs x inputs).
        x: calibration inputs (tokens x inputs).
        ratio: in each output row prune the round(ratio * inputs) lowest scores.
        pattern: "N:M": in each row, in every group of M consecutive inputs, keep the N highest
            scores.

    Returns
    -------
        Bool mask (outputs x inputs), True = pruned. The weights that remain are not changed by the
        method.
    """
    _one_of(ratio, pattern)
    w, x = _f64(w), _f64(x)
    rows, inputs = w.shape
    norm = [math.sqrt(sum(v * v for v in x[:, j].tolist())) for j in range(inputs)]
    score = w.abs() * torch.tensor(norm, dtype=torch.float64)
    if pattern is not None:
        return _n_m_mask(score, pattern)
    mask = torch.zeros(rows, inputs, dtype=torch.bool)
    for i in range(rows):
        mask[i] = torch.tensor(_lowest(score[i], round(ratio * inputs)))
    return mask


# --------------------------------------------------------------------------------------------------
# 4: SparseGPT


def _hessian(w, x, damp):
    """Damped Hessian H = 2/n X^T X (n = tokens), dead inputs repaired, and w with these zeroed.

    A common factor c of H cancels: U scales by 1/sqrt(c), so the scores w^2 / U_jj^2 all scale by
    c, while the updates w_j * U_jk / U_jj do not change. The only place where the factor could show
    is the damping when there are dead inputs, because their H_jj = 1 enters mean(diag H) and is not
    scaled along.
    """
    w, x = w.clone(), x.clone()
    h = 2.0 / x.shape[0] * (x.T @ x)
    for j in range(h.shape[0]):
        if h[j, j] == 0:
            h[j, j] = 1.0
            w[:, j] = 0.0
    extra = damp * h.diagonal().mean()
    for j in range(h.shape[0]):
        h[j, j] += extra
    return h, w


def sparsegpt(w, x, ratio=None, pattern=None, block=128, damp=0.01):
    """SparseGPT (Frantar & Alistarh 2023, arXiv 2301.00774, algorithm 1, adaptive masks and N:M).

    Columns are pruned from left to right. With U the upper Cholesky factor of H^-1 (H^-1 = U^T U),
    the inverse of the Hessian of the not yet visited inputs, (H_{j:,j:})^-1, has first row U_jj *
    U_{j,j:}; so the OBS cost of pruning weight w_ij is w_ij^2 / U_jj^2 (up to a constant factor)
    and the optimal update of the later weights k > j is w_ik -= (w_ij / U_jj) * U_jk. The update is
    applied to all later columns at once; the authors' lazy batching of the columns outside the
    block is the same in exact arithmetic.

    Args:
        w: weights (outputs x inputs).
        x: calibration inputs (tokens x inputs). H = 2/n X^T X (see _hessian for the constant factor
            and for dead inputs, whose H_jj becomes 1 and whose weights become 0; they are ranked
            with their score of 0).
        ratio: unstructured; at the start of each block of columns [begin, end) the mask of the
            whole block is chosen: the round(ratio * rows * end) - round(ratio * rows * begin)
            smallest w^2 / U_jj^2 over all rows and columns of the block, with the current (updated)
            weights.
        pattern: "N:M"; at each column that starts a group of M, each row keeps the N largest w^2 /
            U_jj^2 of the group, with the current weights.
        block: columns per block; for N:M the largest multiple of M that is <= block (without effect
            on the result).
        damp: damp * mean(diag H) is added to the diagonal (dead inputs included in the mean).

    Returns
    -------
        (new_w, mask): float64 weights (outputs x inputs) with zeros under the mask, and the bool
        mask, True = pruned. Dead columns are zero in new_w also where the mask is False.
    """
    _one_of(ratio, pattern)
    h, w = _hessian(_f64(w), _f64(x), damp)
    rows, inputs = w.shape
    hinv = torch.linalg.inv(h)
    u = torch.linalg.cholesky((hinv + hinv.T) / 2, upper=True)

    n = m = None
    if pattern is not None:
        n, m = _parse_pattern(pattern, inputs)
        block = block // m * m
    if block < 1:
        raise ValueError("block too small")

    mask = torch.zeros(rows, inputs, dtype=torch.bool)
    for begin in range(0, inputs, block):
        end = min(begin + block, inputs)
        if ratio is not None:
            score = w[:, begin:end] ** 2 / u.diagonal()[begin:end] ** 2
            count = round(ratio * (rows * end)) - round(ratio * (rows * begin))
            chosen = _lowest(score.flatten(), count)
            mask[:, begin:end] = torch.tensor(chosen, dtype=torch.bool).reshape(rows, end - begin)
        for j in range(begin, end):
            if pattern is not None and j % m == 0:
                score = w[:, j : j + m] ** 2 / u.diagonal()[j : j + m] ** 2
                for i in range(rows):
                    mask[i, j : j + m] = torch.tensor(_lowest(score[i], m - n))
            for i in range(rows):
                if mask[i, j]:
                    error = (w[i, j] - 0.0) / u[j, j]
                    w[i, j + 1 :] -= error * u[j, j + 1 :]
                    w[i, j] = 0.0
    return w, mask


# --------------------------------------------------------------------------------------------------
# 5: round-to-nearest quantization


def gptq_rtn(w, bits, group):
    """Symmetric round-to-nearest on the grid of GPTQ (Frantar et al. 2023, arXiv 2210.17323).

    Per row and group of `group` consecutive inputs (the last one possibly shorter): maxq = 2^bits -
    1, scale = 2 * max|w| / maxq, zero = (maxq + 1) / 2, q = clamp(round(w / scale) + zero, 0, maxq)
    and w' = scale * (q - zero). Halves round to even. The quotient is evaluated as w * maxq / (2 *
    max|w|), so that the halves (every w = +-max|w| is one: maxq / 2) are met exactly for weights of
    float32 precision or less. A group of zeros stays zero.

    Args:
        w: weights (outputs x inputs).
        bits: bits per weight, >= 2.
        group: inputs per scale.

    Returns
    -------
        Dequantized float64 weights (outputs x inputs).
    """
    w = _f64(w)
    rows, inputs = w.shape
    maxq = 2**bits - 1
    zero = (maxq + 1) // 2
    out = torch.zeros_like(w)
    for i in range(rows):
        for begin in range(0, inputs, group):
            end = min(begin + group, inputs)
            values = w[i, begin:end].tolist()
            largest = max(abs(v) for v in values)
            if largest == 0:
                continue
            scale = 2 * largest / maxq
            for j, v in zip(range(begin, end), values, strict=True):
                q = min(max(round(v * maxq / (2 * largest)) + zero, 0), maxq)
                out[i, j] = scale * (q - zero)
    return out


# --------------------------------------------------------------------------------------------------
# 6: ShortGPT


def block_influence(hidden_in, hidden_out):
    """Block Influence (ShortGPT, Men et al. 2024, arXiv 2403.03853, eq. 1): 1 - mean cosine.

    Args:
        hidden_in: hidden states before the layer (tokens x hidden).
        hidden_out: hidden states after the layer (tokens x hidden).

    Returns
    -------
        The score as a Python float, in [0, 2]. The cosine of a zero vector counts as 0.
    """
    a, b = _f64(hidden_in), _f64(hidden_out)
    total = 0.0
    for t in range(a.shape[0]):
        norms = math.sqrt(float(a[t] @ a[t])) * math.sqrt(float(b[t] @ b[t]))
        total += float(a[t] @ b[t]) / norms if norms > 0 else 0.0
    return 1.0 - total / a.shape[0]


# --------------------------------------------------------------------------------------------------
# 7: LLM-Pruner's importance


def taylor_importance(model, tokens):
    """First-order importance by element of LLM-Pruner (Ma et al. 2023, arXiv 2305.11627).

    The importance of one weight is |dL/dw * w|, L the mean next-token cross entropy over the
    tokens; that of a group is the sum over its weights and biases. A channel: a row of gate and up,
    a column of down. A head group: one key-value head's rows of k and v, its query heads' rows of q
    and columns of o.

    Args:
        model: with blocks as Llama's, gate_proj, up_proj, down_proj and q_proj, k_proj, v_proj,
            o_proj.
        tokens: token ids (samples x tokens).

    Returns
    -------
        For each block (channels, head groups): two lists of floats.
    """
    model = copy.deepcopy(model).double().requires_grad_(True)
    logits = model(input_ids=tokens).logits[:, :-1]
    torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).double(), tokens[:, 1:].flatten()
    ).backward()

    def of_rows(layer, begin, end):
        total = 0.0
        for parameter in layer.parameters():  # weight and, where there is one, bias
            total += float((parameter.grad[begin:end] * parameter.data[begin:end]).abs().sum())
        return total

    def of_columns(layer, begin, end):
        return float(
            (layer.weight.grad[:, begin:end] * layer.weight.data[:, begin:end]).abs().sum()
        )

    found = []
    for block in model.get_decoder().layers:
        mlp, attention = block.mlp, block.self_attn
        channels = [
            of_rows(mlp.gate_proj, c, c + 1)
            + of_rows(mlp.up_proj, c, c + 1)
            + of_columns(mlp.down_proj, c, c + 1)
            for c in range(mlp.down_proj.in_features)
        ]
        size = attention.head_dim
        queries = attention.q_proj.out_features // attention.k_proj.out_features
        groups = []
        for g in range(attention.k_proj.out_features // size):
            narrow = g * size, (g + 1) * size
            wide = g * size * queries, (g + 1) * size * queries
            score = of_rows(attention.k_proj, *narrow) + of_rows(attention.v_proj, *narrow)
            groups.append(
                score + of_rows(attention.q_proj, *wide) + of_columns(attention.o_proj, *wide)
            )
        found.append((channels, groups))
    return found


# --------------------------------------------------------------------------------------------------
# 8: FP8


def _fp8_rows(t):
    """Each row scaled to +-448, rounded to float8_e4m3fn, scaled back; a zero row has scale 1."""
    out = torch.zeros_like(t)
    for i in range(t.shape[0]):
        scale = t[i].abs().max() / FP8_E4M3_MAX
        if scale == 0:
            scale = torch.tensor(1.0, dtype=torch.float64)
        quotient = (t[i] / scale).clamp(-FP8_E4M3_MAX, FP8_E4M3_MAX)
        out[i] = quotient.to(torch.float8_e4m3fn).to(torch.float64) * scale
    return out


def fp8_dynamic(w, x):
    """W8A8 in FP8 E4M3 (Micikevicius et al. 2022, arXiv 2209.05433), activations scaled per token.

    Weights: scale = max|w_row| / 448 per output channel. Activations: scale = max|x_row| / 448 per
        token. Values are
    rounded to the nearest float8_e4m3fn (halves to even), and the dequantized values are multiplied
    in float64.

    Args:
        w: weights (outputs x inputs).
        x: activations (tokens x inputs).

    Returns
    -------
        y (tokens x outputs), float64.
    """
    return _fp8_rows(_f64(x)) @ _fp8_rows(_f64(w)).T


# --------------------------------------------------------------------------------------------------
# self-check


def _e4m3_grid():
    """All non-negative finite E4M3 values, codes 0..126: exponent 4 bits (bias 7), mantissa 3."""
    values = []
    for code in range(127):
        exponent, mantissa = code >> 3, code & 7
        values.append(
            mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        )
    return values


def _nearest_e4m3(v, grid):
    """Nearest grid value by search, ties to the even code (= even mantissa)."""
    code = min(range(len(grid)), key=lambda c: (abs(grid[c] - abs(v)), c & 1))
    return math.copysign(grid[code], v)


def _sparsegpt_by_inverses(w, x, mask, damp):
    """The updates of SparseGPT for a given mask by one matrix inverse for every column."""
    h, w = _hessian(_f64(w), _f64(x), damp)
    for j in range(w.shape[1]):
        inverse = torch.linalg.inv(h[j:, j:])
        for i in range(w.shape[0]):
            if mask[i, j]:
                w[i, j:] -= w[i, j] / inverse[0, 0] * inverse[0]
                w[i, j] = 0.0
    return w


def _self_check():
    gen = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    rows, inputs, tokens = 24, 64, 512
    w = randn(rows, inputs)
    mixing = randn(16, inputs)
    x = (randn(tokens, 16) @ mixing + 0.5 * randn(tokens, inputs)) * torch.exp(0.7 * randn(inputs))

    def loss(new_w):
        return float((x @ (new_w - w).T).square().sum() / (x @ w.T).square().sum())

    for setting in ({"ratio": 0.5}, {"pattern": "2:4"}):
        magnitude = magnitude_mask(w, **setting)
        wanda = wanda_mask(w, x, **setting)
        new_w, sparse = sparsegpt(w, x, block=24, **setting)
        for mask in (magnitude, wanda, sparse):
            assert int(mask.sum()) == rows * inputs // 2
            if "pattern" in setting:
                assert bool((mask.reshape(rows, -1, 4).sum(-1) == 2).all())
        assert bool((wanda.sum(1) == inputs // 2).all())
        assert bool((new_w[sparse] == 0).all())
        assert torch.allclose(new_w, _sparsegpt_by_inverses(w, x, sparse, 0.01), rtol=0, atol=1e-9)
        losses = loss(new_w), loss(w * ~wanda), loss(w * ~magnitude)
        print(setting, "losses of sparsegpt, wanda, magnitude:", [round(v, 4) for v in losses])
        assert losses[0] < losses[1] < losses[2]

    # counts that are not whole, one and several blocks; "3:4" keeps three
    for block in (7, 128):
        assert int(sparsegpt(w, x, ratio=0.337, block=block)[1].sum()) == round(
            0.337 * rows * inputs
        )
    assert int(magnitude_mask(w, pattern="3:4").sum()) == rows * inputs // 4
    assert int(magnitude_mask(w, ratio=0.337).sum()) == round(0.337 * rows * inputs)
    assert bool((wanda_mask(w, x, ratio=0.337).sum(1) == round(0.337 * inputs)).all())

    # N:M does not depend on the block size
    a, b = (sparsegpt(w, x, pattern="2:4", block=size) for size in (5, 128))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])

    # a common factor of x does not matter, dead inputs become zero and are pruned first
    a, b = sparsegpt(w, x, ratio=0.5), sparsegpt(w, 3 * x, ratio=0.5)
    assert torch.equal(a[1], b[1])
    assert torch.allclose(a[0], b[0], rtol=0, atol=1e-9)
    dead = x.clone()
    dead[:, [3, 40]] = 0
    new_w, mask = sparsegpt(w, dead, ratio=0.5, block=16)
    assert bool((new_w[:, [3, 40]] == 0).all())
    assert bool(mask[:, [3, 40]].all())

    # global magnitude: exact total, and the same threshold everywhere
    ws = [w, 3 * randn(10, 20), 0.1 * randn(7, 5)]
    masks = global_magnitude_masks(ws, 0.4)
    assert sum(int(m.sum()) for m in masks) == round(0.4 * sum(v.numel() for v in ws))
    pruned = torch.cat([v[m].abs() for v, m in zip(ws, masks, strict=True)])
    kept = torch.cat([v[~m].abs() for v, m in zip(ws, masks, strict=True)])
    assert pruned.max() <= kept.min()

    # round-to-nearest: at most half a step of error (the maximum is half a step off by
    # construction)
    for bits, group in ((2, 16), (3, 24), (4, 64), (8, 100)):
        q = gptq_rtn(w, bits, group)
        for begin in range(0, inputs, group):
            part = w[:, begin : begin + group]
            step = 2 * part.abs().amax(1, keepdim=True) / (2**bits - 1)
            codes = q[:, begin : begin + group] / step
            assert bool(((q[:, begin : begin + group] - part).abs() <= step * (0.5 + 1e-9)).all())
            assert torch.allclose(codes, codes.round(), rtol=0, atol=1e-9)
            assert codes.min() >= -(2 ** (bits - 1)) - 1e-9
            assert codes.max() <= 2 ** (bits - 1) - 1 + 1e-9
    assert gptq_rtn(torch.tensor([[-1.5, 0.1, 1.5]]), 2, 3).tolist() == [[-2.0, 0.0, 1.0]]

    # block influence
    assert abs(block_influence(x, 2 * x)) < 1e-12
    assert abs(block_influence(x, -x) - 2) < 1e-12
    y = x + 0.3 * randn(tokens, inputs)
    assert abs(block_influence(x, y) - (1 - float(torch.cosine_similarity(x, y).mean()))) < 1e-12

    # fp8: the cast agrees with a search in the grid of E4M3 values, ties included
    grid = _e4m3_grid()
    assert grid[-1] == FP8_E4M3_MAX
    halves = [(lo + hi) / 2 for lo, hi in itertools.pairwise(grid)]
    samples = torch.cat(
        [torch.tensor(halves, dtype=torch.float64), randn(2000) * 60, randn(500) * 1e-2]
    )
    samples = samples.clamp(-FP8_E4M3_MAX, FP8_E4M3_MAX)
    cast = samples.to(torch.float8_e4m3fn).to(torch.float64).tolist()
    assert cast == [_nearest_e4m3(v, grid) for v in samples.tolist()]
    y = fp8_dynamic(w, x)
    error = float((y - x @ w.T).norm() / (x @ w.T).norm())
    print("fp8 relative error", round(error, 4))
    assert y.shape == (tokens, rows)
    assert 1e-3 < error < 0.06
    assert torch.equal(
        fp8_dynamic(torch.zeros(2, 4), torch.ones(3, 4)), torch.zeros(3, 2, dtype=torch.float64)
    )
    print("ok")


if __name__ == "__main__":
    _self_check()

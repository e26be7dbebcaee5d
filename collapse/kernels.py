"""Floor 4. The steps from which a layer is made, outside any class."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from collapse import numeric
from collapse.norms.tokens import magnitude
from collapse.numeric import Number, require


def unit_rows(X: Number) -> Number:
    """Rows scaled to ℓ₂ length 1; zero rows stay zero.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    if isinstance(X, Tensor):
        X = X / magnitude(X, -1)
        length = torch.linalg.vector_norm(X, dim=-1, keepdim=True)
        return X / torch.where(length > 0, length, 1)
    length = numeric.sqrt((X * X).sum(-1, keepdims=True))
    return X / np.where(length == 0, 1, length)


def rotate(q: Number, base: Number) -> Number:
    """Rotary position embedding: row i turns its pair (2a, 2a + 1) by i · base^(−2a/k).

    >>> rotate(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 10.0)
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """
    n, k = q.shape[-2:]
    even, odd = q[..., 0::2], q[..., 1::2]
    if isinstance(q, Tensor):
        steps = torch.arange(max(n, k), dtype=torch.float64, device=q.device)
        angle = steps[:n, None] * torch.exp(-math.log(base) / k * steps[:k:2])
        cos, sin = angle.cos().to(q.dtype), angle.sin().to(q.dtype)
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
    whole = np.arange(max(n, k), dtype=object)
    turns = whole[:n, None] * numeric.exp(-numeric.log(base) / k * whole[:k:2])
    c, s = numeric.cos(turns), numeric.sin(turns)
    return np.stack((even * c - odd * s, even * s + odd * c), -1).reshape(q.shape)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax(q kᵀ) v by head, by torch's fused kernels, which keep no n×n tensor.

    The kernels want four dimensions and one width for queries, keys and values: hence the
    reshaping, and columns of zeros where widths differ, which change no product.

    >>> x = torch.ones(1, 2, 3)
    >>> fused_attention(x, x, x, None).shape
    torch.Size([1, 2, 3])
    """
    batch, width = q.shape[:-3], max(q.shape[-1], v.shape[-1])
    q, k, v_ = (
        (x if x.shape[-1] == width else torch.nn.functional.pad(x, (0, width - x.shape[-1])))
        for x in (q, k, v)
    )
    if len(batch) != 1:
        rows = math.prod(batch)
        q, k, v_ = (x.reshape(rows, *x.shape[-3:]) for x in (q, k, v_))
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v_, attn_mask=mask, scale=1.0)
    if width != v.shape[-1]:
        mixed = mixed[..., : v.shape[-1]]
    return mixed if len(batch) == 1 else mixed.reshape(*batch, *v.shape[-3:])


def overflow(q: Tensor, k: Tensor) -> Tensor:
    """0 if no logit q kᵀ can overflow, else NaN, to be added to what attention returns.

    Where all logits of a row are −∞, torch's kernels say 0 instead of NaN.

    >>> overflow(torch.ones(2, 3), torch.full((2, 3), -1e38)), overflow(*[torch.ones(1, 1) / 0] * 2)
    (tensor(0.), tensor(nan))
    """
    if not q.numel():
        return q.new_zeros(())
    largest, other = q.detach().abs().amax(), k.detach().abs().amax()
    if q.dtype in (torch.float16, torch.bfloat16):  # the kernels add up in float32
        largest, other = largest.float(), other.float()
    return (0 * (q.shape[-1] * largest * other)).to(q.dtype)


def largest_entry(x: Tensor | float | None) -> float:
    """The largest absolute entry of weights, tokens or a scale, at the cost of reading them once.

    >>> largest_entry(torch.tensor([1.0, -2.0])), largest_entry(-3), largest_entry(None)
    (2.0, 3.0, 1.0)
    """
    if not isinstance(x, Tensor):
        return 1.0 if x is None else float(abs(x))
    if not x.numel():
        return 0.0
    low, high = torch.aminmax(x.detach())
    return max(-float(low), float(high))


def times(tokens: Tensor, weights: Tensor) -> Tensor:
    r"""Tokens (\*batch, n, d) times matrices (\*batch, d, c), as few and as large as can be.

    Where the matrices are the same along the last batch dimensions, the tokens there are rows of
    one matrix: broadcasting would copy the matrices instead.

    >>> times(torch.ones(2, 3, 5, 4), torch.ones(2, 1, 4, 1)).shape
    torch.Size([2, 3, 5, 1])
    """
    batch = weights.shape[:-2]
    if not batch:
        return tokens @ weights
    shared = 0
    while shared < len(batch) and batch[-1 - shared] == 1:
        shared += 1
    if shared == len(batch):
        return tokens @ weights.reshape(weights.shape[-2:])  # torch makes rows of all tokens
    if shared == 0:
        return tokens @ weights
    rows = tokens.flatten(-2 - shared, -2) @ weights.flatten(-3 - shared, -3)
    return rows.unflatten(-2, tokens.shape[-2 - shared : -1])


def side_by_side(weights: Tensor) -> Tensor:
    r"""The matrices of all heads, (\*batch, H, d, k), laid out so that a product needs no copy.

    >>> side_by_side(torch.ones(2, 3, 4)).movedim(-3, -2).is_contiguous()
    True
    """
    return weights.movedim(-3, -2).contiguous().movedim(-2, -3)


def split_heads(module: torch.nn.MultiheadAttention) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W_Q, W_K, W_V, W_O of one module by head, 1/√d_k folded into W_Q.

    >>> [w.shape[0] for w in split_heads(torch.nn.MultiheadAttention(4, 2, bias=False))]
    [2, 2, 2, 2]
    """
    require(
        isinstance(module, torch.nn.MultiheadAttention),
        "modules",
        "torch.nn.MultiheadAttention",
        type(module),
    )
    plain = (
        module.in_proj_weight is not None
        and module.in_proj_bias is None
        and module.bias_k is None
        and not module.add_zero_attn
    )
    require(plain, "modules", "no biases, no zero attention, one width", module)
    d, heads = module.embed_dim, module.num_heads
    projections = module.in_proj_weight.detach().reshape(3, heads, d // heads, d)
    query, key, value = projections.transpose(-1, -2)
    output = module.out_proj.weight.detach().T.reshape(heads, d // heads, d)
    return query / math.sqrt(d // heads), key, value, output

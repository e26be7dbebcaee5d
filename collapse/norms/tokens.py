"""Floor 2. How far tokens are from equal, and how attention brings them together."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch

from collapse import numeric
from collapse.checks import check_finite, check_matrix, check_p
from collapse.norms.columns import column_range
from collapse.numeric import Number, is_finite, require, rounding_allowance

_BLOCK_ENTRIES = 1 << 22  # entries of the largest temporary: 32 MiB in float64
# Torch multiplies faster by a tensor of the same type than by a number.
_HALVES = {
    dtype: torch.tensor(0.5, dtype=dtype)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
}


def residual(X: Number) -> Number:
    r"""The Res function: tokens minus the midrange of each column.

    .. math:: \mathrm{Res}(X) = X - \mathbf 1 y^\top, \qquad
        y_j = \tfrac12\bigl(\max_i X_{ij} + \min_i X_{ij}\bigr).

    Args:
        X: Tokens, shape (\*batch, n, d) with n, d ≥ 1; a floating-point tensor or an array of
            exact numbers.

    Returns:
        The residual, same shape.

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity.

    Source:
        as25-res

    >>> residual(torch.tensor([[2.0], [0.0], [-4.0]])).flatten()
    tensor([ 3.,  1., -3.])
    """
    high, low = _column_range(X)
    # Halves are taken first so that the sum cannot overflow.
    return X - (_half(high) + _half(low))[..., None, :]


def residual_norm(X: Number) -> Number:
    r"""Distance of the tokens from equality: the largest entry of the residual.

    .. math:: \rho(X) = \lVert \mathrm{Res}(X) \rVert_\infty = \tfrac12 \mathrm{diam}_\infty(X)
        = \min_y \lVert X - \mathbf 1 y^\top \rVert_\infty .

    Args:
        X: Tokens, shape (\*batch, n, d) with n, d ≥ 1.

    Returns:
        ρ, shape (\*batch,); zero exactly when all tokens are equal.

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity.

    Source:
        res-formula

    >>> residual_norm(torch.tensor([[2.0, 1.0], [0.0, 1.0], [-4.0, 1.0]]))
    tensor(3.)
    """
    if isinstance(X, torch.Tensor):
        check_matrix(X, "X", "tokens of shape (*batch, n, d)")
        high, low = column_range(X)
        ranges = high - low
        spread = ranges.amax(-1) if ranges.ndim > 1 else ranges.max()  # the second is faster
        # NaN and infinity in X show here, and so does a difference that overflows.
        if spread.numel() and math.isfinite((spread.max() if spread.ndim else spread).item()):
            return spread * _HALVES.get(spread.dtype, 0.5)
    high, low = _column_range(X)
    return numeric.amax(_half(high) - _half(low), -1)


def residual_lipschitz(n: Number, centre: str = "midrange") -> Number:
    r"""The sharp Lipschitz constant of centring in the entrywise maximum norm.

    .. math:: \lVert \mathrm{Res} A - \mathrm{Res} B \rVert_\infty
        \le c_n \lVert A - B \rVert_\infty, \qquad c_1 = 0,\; c_2 = 1,\; c_n = 2 \;(n \ge 3).

    Centring at the mean instead has the sharp constant :math:`2(n-1)/n`.

    Args:
        n: Number of tokens, ≥ 1; with the mean also a symbol.
        centre: "midrange", which makes Res, or "mean".

    Returns:
        :math:`c_n`, or the constant of the mean.

    Raises:
        ValueError: If n < 1, or on another centre.

    Source:
        res-lipschitz

    >>> [residual_lipschitz(n) for n in (1, 2, 3, 100)]
    [0, 1, 2, 2]
    >>> [residual_lipschitz(n, "mean") for n in (1, 2, 4, 100)]
    [0.0, 1.0, 1.5, 1.98]
    """
    require(n >= 1, "n", "a number of tokens >= 1", n)
    require(centre in ("mean", "midrange"), "centre", '"mean" or "midrange"', repr(centre))
    return 2 * (n - 1) / n if centre == "mean" else min(n - 1, 2)


def diameter(X: Number, p: float = math.inf) -> Number:
    r"""Largest distance between two tokens.

    .. math:: \mathrm{diam}_p(X) = \max_{i,k} \lVert x_i - x_k \rVert_p .

    O(nd) time for p = ∞; O(n²d) time and bounded memory for p = 1 and 2.

    Args:
        X: Tokens, shape (\*batch, n, d) with n, d ≥ 1.
        p: 1, 2 or ``math.inf``.

    Returns:
        The diameter, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, or p outside the list.

    Source:
        res-formula, res-left

    >>> X = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> [diameter(X, p).item() for p in (1, 2, math.inf)]
    [7.0, 5.0, 4.0]
    """
    check_p(p)
    if p == math.inf:
        return 2 * residual_norm(X)
    check_matrix(X, "X", "tokens of shape (*batch, n, d)")
    check_finite(X, "X")
    return _largest_distance(X, p)


def token_norm(X: Number, p: float = math.inf) -> Number:
    r"""Norm of the largest token.

    .. math:: \lVert X \rVert_p = \max_i \lVert x_i \rVert_p .

    Args:
        X: Tokens, shape (\*batch, n, d) with n, d ≥ 1.
        p: 1, 2 or ``math.inf``.

    Returns:
        The norm, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, or p outside the list.

    Source:
        contraction

    >>> token_norm(torch.tensor([[1.0, -2.0], [0.5, 0.5]]), 1)
    tensor(3.)
    """
    check_p(p)
    check_matrix(X, "X", "tokens of shape (*batch, n, d)")
    norm = numeric.amax(vector_norm(X, p), -1)
    if not is_finite(norm):  # the norm may overflow where no entry does
        check_finite(X, "X")
    return norm


def dobrushin(P: Number) -> Number:
    r"""Dobrushin's coefficient of ergodicity of a row-stochastic matrix.

    .. math:: \tau(P) = \tfrac12 \max_{i,k} \lVert P_i - P_k \rVert_1 \in [0, 1].

    Found by pairs of rows in blocks: O(n²m) time, bounded memory.

    Args:
        P: Row-stochastic matrices, shape (\*batch, n, m).

    Returns:
        τ, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN, a negative entry, or a row sum off 1 by more
            than rounding.

    Source:
        res-left

    >>> dobrushin(torch.eye(2)), dobrushin(torch.full((3, 4), 0.25))
    (tensor(1.), tensor(0.))
    """
    check_matrix(P, "P", "row-stochastic matrices of shape (*batch, n, m)")
    check_finite(P, "P")
    if isinstance(P, torch.Tensor) and P.numel():
        entries = P.detach()  # what is checked is no part of a gradient
        require(entries >= 0, "P", "entries >= 0", float(entries.min()))
        error = float((entries.sum(-1) - 1).abs().max())
        allowed = rounding_allowance(1.0, P.shape[-1] + 8, P.dtype)
        require(error <= allowed, "row sums of P", "1 within rounding", f"an error of {error:.3g}")
    elif isinstance(P, np.ndarray):
        for entry in P.flat:
            require(not _surely(entry < 0), "P", "entries >= 0", entry)
        for total in P.sum(-1).flat:
            inexact = isinstance(total, float) or type(total).__module__.startswith("mpmath")
            allowed = rounding_allowance(1.0, P.shape[-1] + 8) if inexact else 0
            require(not _surely(abs(total - 1) > allowed), "row sums of P", "1", total)
    return _half(_largest_distance(P, 1))


def _surely(relation: object) -> bool:
    """Whether a relation holds for certain; balls and symbols need not decide it."""
    return relation in (True,)  # sympy's true is equal to True, its undecided relations are not


def _half(x: Number) -> Number:
    # Python would turn the half of an integer into a binary float.
    entries = x.flat if isinstance(x, np.ndarray) else (x,)
    if not isinstance(x, torch.Tensor) and all(isinstance(e, int | Fraction) for e in entries):
        return x * Fraction(1, 2)
    return x / 2


def _column_range(X: Number) -> tuple[Number, Number]:
    check_matrix(X, "X", "tokens of shape (*batch, n, d)")
    if isinstance(X, torch.Tensor):
        high, low = column_range(X)
    else:
        high, low = numeric.amax(X, -2), numeric.amin(X, -2)
    # A NaN or infinity anywhere shows in a column's extremes, so one small check suffices.
    check_finite(high, "X")
    check_finite(low, "X")
    return high, low


def vector_norm(x: Number, p: float) -> Number:
    """Norm along the last axis, for every number type."""
    if isinstance(x, torch.Tensor):
        if p != 2:
            return torch.linalg.vector_norm(x, ord=p, dim=-1)
        largest = magnitude(x, -1)
        return torch.linalg.vector_norm(x / largest, dim=-1) * largest[..., 0]
    if p == 1:
        return abs(x).sum(-1)
    return numeric.sqrt((x * x).sum(-1)) if p == 2 else numeric.amax(abs(x), -1)


def magnitude(x: torch.Tensor, dim: int | tuple[int, ...]) -> torch.Tensor:
    """The largest entry along axes, which are kept, by which to divide before numbers are squared.

    The square of 1e-170 would underflow to zero, that of 1e170 overflow. It is 1 where there is
    nothing to divide by, zero or infinity, and a constant to gradients.

    >>> magnitude(torch.tensor([[3.0, -4.0], [0.0, 0.0]]), -1)
    tensor([[4.],
            [1.]])
    """
    largest = x.detach().abs().amax(dim, keepdim=True)
    return torch.where((largest > 0) & (largest < math.inf), largest, 1)


def _largest_distance(X: Number, p: float) -> Number:
    """Largest p-distance between two rows, p = 1 or 2, in blocks of rows."""
    rows = max(1, _BLOCK_ENTRIES // max(1, math.prod(X.shape)))
    largest = None
    for start in range(0, X.shape[-2], rows):
        block = X[..., start : start + rows, None, :] - X[..., None, start:, :]
        distance = numeric.amax(numeric.amax(vector_norm(block, p), -1), -1)
        largest = distance if largest is None else numeric.maximum(largest, distance)
    return largest

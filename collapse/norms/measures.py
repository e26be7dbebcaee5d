"""Floor 2. The measures of the neighbouring papers, and the dictionary between them and ρ."""

from __future__ import annotations

import math

import torch

from collapse import numeric
from collapse.checks import check_finite, check_matrix, check_tensor
from collapse.norms.tokens import magnitude, residual, vector_norm
from collapse.norms.weights import singular_values, widened
from collapse.numeric import Number, require


def mean_residual_norm(X: Number) -> Number:
    r"""Distance from the mean token, in the Frobenius norm: the measure μ of W24.

    .. math:: \mu(X) = \lVert X - \mathbf 1 \mathbf 1^\top X / n \rVert_F .

    Args:
        X: Tokens, shape (\*batch, n, d); a floating-point tensor, or an array of balls or symbols.

    Returns:
        μ, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity.

    Source:
        metric-dictionary

    >>> mean_residual_norm(torch.tensor([[1.0], [-1.0]]))
    tensor(1.4142)
    """
    check_matrix(X, "X", "tokens of shape (*batch, n, d)")
    check_finite(X, "X")
    distance = vector_norm(_less_mean(X).reshape(*X.shape[:-2], math.prod(X.shape[-2:])), 2)
    return distance.to(X.dtype) if isinstance(X, torch.Tensor) else distance


def composite_residual_norm(X: torch.Tensor, centre: str = "mean") -> torch.Tensor:
    r"""The measure of D21, from the 1- and ∞-norms of the centred tokens. Not a norm.

    .. math:: \sqrt{\lVert R \rVert_1 \lVert R \rVert_\infty}, \qquad R = X - \mathbf 1 x^\top ,

    with the largest column sum and the largest row sum of \|R|.

    Args:
        X: Tokens, a floating-point tensor of shape (\*batch, n, d).
        centre: "mean" or "midrange", the token x that is subtracted.

    Returns:
        The measure, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, or another centre.

    Source:
        metric-dictionary

    >>> composite_residual_norm(torch.tensor([[2.0], [-2.0]]))
    tensor(2.8284)
    """
    check_tensor(X, "X")
    require(centre in ("mean", "midrange"), "centre", '"mean" or "midrange"', repr(centre))
    R = abs(_less_mean(X) if centre == "mean" else residual(widened(X)))
    return (R.sum(-2).amax(-1).sqrt() * R.sum(-1).amax(-1).sqrt()).to(X.dtype)


def stable_rank(X: torch.Tensor) -> torch.Tensor:
    r"""Stable rank: how many directions carry the Frobenius norm.

    .. math:: \lVert X \rVert_F^2 / \lVert X \rVert_2^2 \in [1, \mathrm{rank}(X)],

    and 0 for the zero matrix.

    Args:
        X: Matrices, a floating-point tensor of shape (\*batch, n, d).

    Returns:
        The stable rank, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity.

    Source:
        metric-dictionary

    >>> stable_rank(torch.eye(3)), stable_rank(torch.zeros(2, 2))
    (tensor(3.), tensor(0.))
    """
    check_tensor(X, "X")
    singular = singular_values(X / magnitude(X, (-2, -1)))
    top = singular[..., :1]
    return (singular / torch.where(top > 0, top, 1)).square().sum(-1)


def _less_mean(X: Number) -> Number:
    """Tokens minus their mean; half precision as float32."""
    if isinstance(X, torch.Tensor):
        X = residual(widened(X))  # a sum of large tokens may overflow where their mean does not
    return X - (X.sum(-2) / X.shape[-2])[..., None, :]


def measure_dictionary(n: Number, d: Number) -> tuple[Number, Number]:
    r"""The constants between ρ and W24's μ, both attained.

    .. math:: \sqrt2\, \rho(X) \le \mu(X) \le \sqrt{4 d \lfloor n^2/4 \rfloor / n}\; \rho(X).

    Args:
        n: Number of tokens, ≥ 2; an integer or a symbol.
        d: Width, ≥ 1; an integer or a symbol.

    Returns:
        The lower and the upper constant.

    Raises:
        ValueError: If n < 2 or d < 1.

    Source:
        metric-dictionary

    >>> measure_dictionary(4, 9)
    (1.4142135623730951, 6.0)
    """
    require(n >= 2, "n", "a number of tokens >= 2", n)
    require(d >= 1, "d", "a width >= 1", d)
    return numeric.sqrt(2 + 0 * n * d), numeric.sqrt(4 * d * (n * n // 4) / n)

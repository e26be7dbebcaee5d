r"""Floor 8. Weighted skips: layers λX + O(X) of any mixer, and what they keep of the tokens.

:func:`weighted_trace` runs them, :func:`kept_diameters` says what an attention network must keep,
:func:`j24_least_skip` what J24's theorem asks of λ. :mod:`collapse.rescaling` removes the weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.contraction import contraction_factor
from collapse.bounds.weighted_skips import j24_best, normalised_factor
from collapse.checks import check_p
from collapse.kernels import unit_rows
from collapse.norms import diameter, token_norm
from collapse.numeric import Number, require, rounding_allowance
from collapse.stack import column

Layer = Callable[[Number], Number]


def mixed(M: Number, Y: Number, V: Number, skip: Number) -> Number:
    r"""One layer of J24 with a given mixer: D(M Y C_V + λY), D scaling rows to length 1.

    Args:
        M: Mixing matrices, shape (\*batch, n, n).
        Y: Tokens, shape (\*batch, n, d).
        V: C_V, shape (\*batch, d, d).
        skip: λ, a number or a tensor of shape (\*batch,).

    Returns:
        Tokens, shape (\*batch, n, d); a zero row stays zero.

    Source:
        j24-lower-bound

    >>> one = torch.eye(2)
    >>> mixed(torch.tensor([[0.5, -0.5], [-0.5, 0.5]]), one, one, -1.0)
    tensor([[-0.7071, -0.7071],
            [-0.7071, -0.7071]])
    """
    return unit_rows(M @ Y @ V + column(skip, 2) * Y)


def weighted_trace(
    layers: Sequence[Layer], X: Tensor, skip: Number, normalise: bool = True
) -> Tensor:
    r"""Tokens before the first and after each layer λX + O(X), for mixers of any kind.

    Args:
        layers: What makes O of the tokens, one a layer; for example the mixers of
            :mod:`collapse.ssm`.
        X: Tokens, shape (\*batch, n, d).
        skip: λ, a number or a tensor of shape (\*batch,).
        normalise: Whether rows are scaled to length 1 after each layer.

    Returns:
        Shape (\*batch, L + 1, n, d). Without normalisation tokens may overflow; all are NaN then.

    Source:
        lambda-skip

    >>> swap = lambda X: X.flip(-2)
    >>> weighted_trace([swap, swap], torch.eye(2), 1.0, normalise=False)[-1]
    tensor([[2., 2.],
            [2., 2.]])
    """
    shape = torch.broadcast_shapes(X.shape[:-2], torch.as_tensor(skip).shape)
    steps = [X.expand(*shape, *X.shape[-2:])]
    for layer in layers:
        if not torch.isfinite(steps[-1]).all():
            steps.append(torch.full_like(steps[-1], torch.nan))
            continue
        Y = layer(steps[-1]) + column(skip, 2) * steps[-1]
        steps.append(unit_rows(Y) if normalise else Y)
    return torch.stack(steps, -3)


def kept_diameters(network: Network, X: Tensor, p: float = 2) -> Tensor:
    r"""What a weighted skip is sure to keep of the diameter, layer after layer.

    .. math:: \mathrm{diam}_p(X_\ell) \ge \max(0, |\lambda| - K_\ell)\, \mathrm{diam}_p(X_{\ell-1})
        \quad\text{or, with row normalisation,}\quad
        \mathrm{diam}_2(X_\ell) \ge \max(0, F_\ell)\, \mathrm{diam}_2(X_{\ell-1}),

    with K of :func:`~collapse.bounds.contraction.contraction_factor` and F of
    :func:`~collapse.bounds.weighted_skips.normalised_factor`, both at the diameters met on the way.

    Args:
        network: norm None or "row"; without normalisation any skip, else \|skip\| > Σν₂(V_h).
        X: Tokens, shape (\*batch, n, d); with row normalisation of length 1.
        p: 1, 2 or ``math.inf``; 2 with row normalisation.

    Returns:
        Lower bounds, shape (\*batch, L + 1), the first attained.

    Raises:
        ValueError: On another norm, p or skip, or tokens whose length is not 1.

    Source:
        lambda-skip

    >>> from collapse.bounds.weighted_pairs import narrowing
    >>> network, Y = narrowing(*(torch.tensor(x) for x in (0.01, 0.0, 1.0)), 3.0)
    >>> kept = kept_diameters(network, Y)[-1]
    >>> bool(0.999 * diameter(network(Y), 2) < kept <= diameter(network(Y), 2))
    True
    """
    check_p(p)
    require(network.norm in (None, "row"), "norm", 'None or "row"', network.norm)
    X = network.prepare(X)
    steps, scaled = network.trace(X), network.norm == "row"
    if scaled:
        require(p == 2, "p", "2 with row normalisation", p)
        error = (torch.linalg.vector_norm(X, dim=-1) - 1).abs().max()
        allowed = rounding_allowance(1.0, X.shape[-1] + 8, X.dtype)
        require(error <= allowed, "X", "rows of length 1", f"an error of {float(error):.3g}")
    sizes = network_sizes(network, X.shape[-2], p)
    skip = torch.as_tensor(network.skip).to(X)
    kept = [diameter(X, p)]
    for layer in range(network.depth):
        Z = steps[..., layer, :, :]
        K = contraction_factor(sizes, layer, token_norm(Z, p), diameter(Z, p))
        v = sizes.head_value[..., layer, :].sum(-1)
        share = normalised_factor(skip, v, K) if scaled else skip.abs() - K
        kept.append(kept[-1] * share.clamp(min=0))
    return torch.stack(kept, -1)


def j24_least_skip(depth: int, width: int, size: float = 1.0, share: float = 1.0) -> float:
    r"""The least \|λ\| at which J24's two conditions can be met at all, for the best a.

    Solves d · 2t (K+1)(1 + 1/K)^K (1 + t)^{2K} = μ(Y⁰)²/N for t = SC_M/\|λ\|; from there on every
    larger \|λ\| will do.

    Args:
        depth: K ≥ 1.
        width: d ≥ 1.
        size: SC_M > 0.
        share: μ(Y⁰)²/N, 0 < share ≤ 1; at most 1 for unit tokens.

    Returns:
        \|λ\|.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        j24-lower-bound

    >>> round(j24_least_skip(1, 8), 1), round(j24_least_skip(12, 8), 1)
    (66.0, 567.0)
    """
    require(width >= 1, "width", "an integer >= 1", width)
    require(size > 0, "size", "size > 0", size)
    require(0 < share <= 1, "share", "0 < share <= 1", share)
    low, high = -60.0, 60.0  # log t
    for _ in range(200):
        middle = (low + high) / 2
        asked = width * j24_best(depth, math.exp(middle))[1]
        low, high = (middle, high) if asked <= share else (low, middle)
    return size / math.exp(low)

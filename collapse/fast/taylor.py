"""Attention with exp replaced by its Taylor polynomial: time linear in n, if the rank is small."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from collapse.bounds.taylor import relative_tv_bound, taylor_error
from collapse.checks import check_finite, check_tensor
from collapse.fast.linear import diameter_upper
from collapse.norms import diameter, token_norm
from collapse.numeric import Bound, require, rounding_allowance

_BLOCK_ENTRIES = 1 << 20  # entries of features kept at a time: 8 MiB in float64


def taylor_rank(key_width: int, degree: int) -> int:
    r"""Number of features: the monomials of degree at most g in k variables.

    .. math:: \binom{k + g}{g}

    Args:
        key_width: k ≥ 1.
        degree: g ≥ 0.

    Returns:
        The number.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        taylor-attention

    >>> taylor_rank(8, 6)
    3003
    """
    require(key_width >= 1, "key_width", "an integer >= 1", key_width)
    require(degree >= 0, "degree", "an integer >= 0", degree)
    return math.comb(key_width + degree, degree)


def taylor_features(q: Tensor, degree: int) -> Tensor:
    r"""Features whose inner products are the Taylor polynomial of exp.

    .. math:: \phi(q) \cdot \phi(k) = \sum_{m=0}^{g} \frac{(q \cdot k)^m}{m!}, \qquad
        \phi(q)_\alpha = \frac{q^\alpha}{\sqrt{\alpha!}}, \quad \lvert\alpha\rvert \le g .

    With a constant coordinate :math:`q_0 = 1` the monomials are the non-decreasing index sequences
    of length g. Each step appends one index to all sequences at once.

    Args:
        q: Queries or keys, shape (\*batch, n, k).
        degree: g ≥ 0.

    Returns:
        Shape (\*batch, n, rank), with the rank of :func:`taylor_rank`.

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, or a negative degree.

    Source:
        taylor-attention

    >>> x = torch.tensor([[1.0, 2.0]])
    >>> taylor_features(x, 2) @ taylor_features(x, 2).T
    tensor([[18.5000]])
    """
    check_tensor(q, "q")
    require(degree >= 0, "degree", "an integer >= 0", degree)
    q = torch.cat((torch.ones_like(q[..., :1]), q), -1)
    features = q[..., :1]
    last = torch.zeros(1, dtype=torch.int64, device=q.device)  # the last index of each sequence
    run = torch.zeros_like(last)  # how often it stands there
    for _ in range(degree):
        choices = q.shape[-1] - last
        parent = torch.arange(len(last), device=q.device).repeat_interleave(choices)
        first = (choices.cumsum(0) - choices)[parent]
        step = torch.arange(len(parent), device=q.device) - first
        last, run = last[parent] + step, torch.where(step == 0, run[parent] + 1, 1)
        # 1/√α! builds up along a run of equal indices; the constant coordinate counts for nothing.
        root = torch.where(last == 0, 1, run).to(q).rsqrt()
        features = features[..., parent] * (q[..., last] * root)
    return features


def taylor_attention(q: Tensor, k: Tensor, v: Tensor, degree: int) -> Tensor:
    r"""Attention with exp replaced by its Taylor polynomial, without any n×n matrix.

    .. math:: \frac{\phi(q_i) \cdot \sum_j \phi(k_j) v_j}{\phi(q_i) \cdot \sum_j \phi(k_j)} .

    O(n · rank · d) operations; memory is bounded by a block of features.

    Args:
        q: Queries, every scale folded in, shape (\*batch, n, k).
        k: Keys, shape (\*batch, n, k).
        v: Values, shape (\*batch, n, d).
        degree: g ≥ 0. An odd one may make a denominator vanish where logits are below −1.

    Returns:
        Shape (\*batch, n, d).

    Raises:
        ValueError: On bad input, or if a denominator vanishes.

    Source:
        taylor-attention

    >>> q = torch.tensor([[0.1], [0.2]])
    >>> v = torch.eye(2)
    >>> error = taylor_attention(q, q, v, 3) - torch.softmax(q @ q.T, -1)
    >>> bool(error.abs().max() < 1e-6)
    True
    """
    for name, x in (("q", q), ("k", k), ("v", v)):
        check_tensor(x, name)
    require(q.shape[-1] == k.shape[-1], "key width", f"{q.shape[-1]} as of q", k.shape[-1])
    require(k.shape[-2] == v.shape[-2], "tokens of v", f"{k.shape[-2]} as of k", v.shape[-2])
    weighted = torch.cat((v, torch.ones_like(v[..., :1])), -1)
    rows = max(1, _BLOCK_ENTRIES // (taylor_rank(q.shape[-1], degree) * math.prod(q.shape[:-2])))
    summed: Tensor | float = 0.0
    for keys, values in zip(k.split(rows, -2), weighted.split(rows, -2), strict=True):
        summed = summed + taylor_features(keys, degree).mT @ values
    mixed = torch.cat([taylor_features(part, degree) @ summed for part in q.split(rows, -2)], -2)
    result = mixed[..., :-1] / mixed[..., -1:]
    check_finite(result, "polynomial attention")
    return result


def taylor_bound(q: Tensor, k: Tensor, v: Tensor, degree: int, p: float = math.inf) -> Bound:
    r"""Bound on the error of :func:`taylor_attention`, rounding included, in time linear in n.

    .. math:: \max_i \lVert \text{error}_i \rVert_p \le
        \frac{1 - \sqrt{1 - r^2}}{r}\, \mathrm{diam}_p(v) +
        \frac{2\rho}{1 - r - \rho} \max_j \lVert v_j \rVert_p, \qquad
        B = \max_i \lVert q_i \rVert_2 \max_j \lVert k_j \rVert_2 ,

    with :math:`\rho = \gamma_m e^{2B}` of :func:`~collapse.numeric.rounding_allowance`: terms as
    large as :math:`e^B` may cancel to :math:`e^{-B}`.

    Args:
        q: Queries, shape (\*batch, n, k).
        k: Keys, shape (\*batch, n, k).
        v: Values, shape (\*batch, n, d).
        degree: g ≥ 0.
        p: 1, 2 or ``math.inf``.

    Returns:
        A Bound; its value has shape (\*batch,).

    Raises:
        ValueError: On bad input, or if r ≥ 1: then the degree is too low for these logits; or if
            r + ρ ≥ 1: then no degree will do in this dtype.

    Source:
        taylor-attention

    >>> q = torch.tensor([[0.1], [0.2]])
    >>> taylor_bound(q, q, torch.eye(2), 3).value < 1e-5
    tensor(True)
    """
    size = token_norm(q, 2) * token_norm(k, 2)
    r = taylor_error(size, degree)
    enough = f"one with e^B B^(g+1)/(g+1)! < 1 at B = {float(size.max()):.3g}"
    require(r < 1, "degree", enough, degree)
    # The longest chain of roundings: both features, then the sums over keys and over features.
    chain = 12 * degree + k.shape[-2] + taylor_rank(q.shape[-1], degree)
    rho = rounding_allowance(torch.exp(2 * size), chain, q.dtype)
    most = f"so small that {q.dtype} rounds e^(-B) well"
    require(r + rho < 1, "logits", most, f"B = {float(size.max()):.3g}")
    spread = diameter(v, p) if p == math.inf else diameter_upper(v, p)
    rounded = 2 * rho / (1 - r - rho) * token_norm(v, p)
    note = f"logits at most {float(size.max()):.3g}"
    value = relative_tv_bound(r) * spread + rounded
    return Bound(value, "taylor-attention", "upper", (note,))


def taylor_degree(size: float, distance: float) -> int:
    r"""The least degree whose bound keeps every row within a total variation.

    Args:
        size: Bound B on the logits, 0 ≤ B ≤ 700: beyond, e^B leaves float64.
        distance: Total variation allowed, > 0.

    Returns:
        The least g with r < 1 and :math:`(1 - \sqrt{1 - r^2})/r` at most the distance.

    Raises:
        ValueError: If B leaves its range, or the distance is not positive.

    Source:
        taylor-attention

    >>> taylor_degree(1.0, 0.01)
    5
    """
    require(0 <= size <= 700, "size", "a bound 0 <= B <= 700 on the logits", size)
    require(distance > 0, "distance", "> 0", distance)
    degree = 0
    while (r := taylor_error(size, degree)) >= 1 or relative_tv_bound(r) > distance:
        degree += 1
    return degree

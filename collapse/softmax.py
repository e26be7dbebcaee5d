"""Floor 3. What a small change of the logits does to a row of softmax, exactly.

A perturbation E of the logits is θ-balanced when the oscillation (max − min) of each of its rows
is at most θ. Only the oscillation matters: softmax ignores a constant added to a row. The
formulas take every number type; the functions of logits take tensors and arrays.
"""

from __future__ import annotations

import numpy as np
import torch

from collapse import numeric
from collapse.checks import (
    check_batches,
    check_finite,
    check_mask,
    check_matrix,
    check_number,
    check_whole,
)
from collapse.numeric import Number, require


def softmax(A: Number, mask: Number | None = None) -> Number:
    r"""Softmax of each row, over the visible tokens.

    .. math:: P_{ij} = e^{A_{ij}} \Big/ \sum_{k\,\text{visible from}\,i} e^{A_{ik}} .

    Args:
        A: Logits, shape (\*batch, n, m).
        mask: Booleans, shape (n, m), True where row i may attend to j, some in every row;
            None for all.

    Returns:
        Row-stochastic matrices, shape (\*batch, n, m), exactly 0 outside the mask.

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, or a row without visible token.

    Source:
        softmax-ratio

    >>> softmax(torch.tensor([[0.0, 0.0]]))
    tensor([[0.5000, 0.5000]])
    """
    check_matrix(A, "A", "logits of shape (*batch, n, m)")
    check_finite(A, "A")
    visible = None if mask is None else check_mask(mask, tuple(A.shape[-2:]))
    if isinstance(A, torch.Tensor):
        if visible is not None:
            A = A.masked_fill(~visible.to(A.device), -torch.inf)
        return torch.softmax(A, -1)
    if all(isinstance(entry, int | float) for entry in A.flat):
        A = A - numeric.amax(A, -1)[..., None]  # the exponentials of Python's floats overflow
    weights = numeric.exp(A)
    if visible is not None:
        weights = np.where(visible.numpy(), weights, 0)
    return weights / weights.sum(-1, keepdims=True)


def oscillation(A: Number) -> Number:
    r"""Spread of each row.

    .. math:: \mathrm{osc}(a) = \max_j a_j - \min_j a_j .

    Args:
        A: Shape (\*batch, n, m).

    Returns:
        Shape (\*batch, n).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity.

    Source:
        uniform-tv

    >>> oscillation(torch.tensor([[1.0, 4.0], [2.0, 2.0]]))
    tensor([3., 0.])
    """
    check_matrix(A, "A", "a batch of matrices of shape (*batch, n, m)")
    check_finite(A, "A")
    return numeric.amax(A, -1) - numeric.amin(A, -1)


def balance(E: Number) -> Number:
    r"""The least θ for which E is θ-balanced: the largest oscillation of a row.

    Args:
        E: Perturbations of logits, shape (\*batch, n, m).

    Returns:
        θ, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity.

    Source:
        softmax-tv

    >>> balance(torch.tensor([[1.0, 4.0], [2.0, 2.0]]))
    tensor(3.)
    """
    return numeric.amax(oscillation(E), -1)


def total_variation(P: Number, Q: Number) -> Number:
    r"""Total variation distance between corresponding rows.

    .. math:: \mathrm{TV}(P_i, Q_i) = \tfrac12 \lVert P_i - Q_i \rVert_1 .

    Args:
        P: Row-stochastic matrices, shape (\*batch, n, m).
        Q: Likewise; leading dimensions broadcast.

    Returns:
        Shape (\*batch, n).

    Raises:
        ValueError: On wrong or different shapes, NaN or infinity.

    Source:
        softmax-tv

    >>> total_variation(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor([0.5000])
    """
    for name, rows in (("P", P), ("Q", Q)):
        check_matrix(rows, name, "row-stochastic matrices of shape (*batch, n, m)")
        check_finite(rows, name)
    require(P.shape[-2:] == Q.shape[-2:], "Q", f"(n, m) = {tuple(P.shape[-2:])}", tuple(Q.shape))
    tensors = isinstance(P, torch.Tensor) == isinstance(Q, torch.Tensor)
    require(tensors, "Q", f"a {type(P).__name__}, as P", type(Q))
    check_batches(Q.shape[:-2], P.shape[:-2], "Q")
    return abs(P - Q).sum(-1) / 2


def tv_bound(theta: Number) -> Number:
    r"""Sharp bound on the total variation that a θ-balanced perturbation causes.

    .. math:: \mathrm{TV}(P_i, P'_i) \le \tanh(\theta/4),
        \qquad P = \mathrm{softmax}(A),\; P' = \mathrm{softmax}(A + E).

    Attained for every θ by two values of the perturbation, the larger on mass
    :math:`1/(1 + e^{\theta/2})`.

    Args:
        theta: θ ≥ 0, of any number type.

    Returns:
        The bound, of the type of θ.

    Raises:
        ValueError: If θ is negative or NaN.

    Source:
        softmax-tv

    >>> tv_bound(4.0)
    0.7615941559557649
    """
    _check_theta(theta)
    return numeric.tanh(theta / 4)


def tv_bounds(theta: Number) -> dict[str, Number]:
    r"""The bounds on total variation in circulation, for one θ.

    =========  ==========================  =============================================
    name       bound                       where it comes from
    =========  ==========================  =============================================
    sharp      :math:`\tanh(\theta/4)`     :func:`tv_bound`
    linear     :math:`\theta/4`            its tangent; the norm of the softmax Jacobian
    as25       :math:`(e^\theta - 1)/2`    the entrywise ratio bound, summed over a row
    d21        :math:`\theta`              proved for θ ≤ 1.2564, the root of e^x = 1 + 2x
    =========  ==========================  =============================================

    Args:
        theta: θ ≥ 0, of any number type.

    Returns:
        The four bounds by name.

    Raises:
        ValueError: If θ is negative or NaN.

    Source:
        softmax-compare

    >>> tv_bounds(1.0)["linear"]
    0.25
    """
    return {
        "sharp": tv_bound(theta),
        "linear": theta / 4,
        "as25": ratio_bound(theta) / 2,
        "d21": theta,
    }


def ratio_bound(theta: Number) -> Number:
    r"""Bound on the relative change of each entry.

    .. math:: e^{-\theta} \le P'_{ij}/P_{ij} \le e^\theta, \quad\text{hence}\quad
        \lvert P'_{ij} - P_{ij} \rvert \le (e^\theta - 1)\, P_{ij} .

    Args:
        theta: θ ≥ 0, of any number type.

    Returns:
        :math:`e^\theta - 1`.

    Raises:
        ValueError: If θ is negative or NaN.

    Source:
        softmax-ratio

    >>> round(ratio_bound(1.0), 6)
    1.718282
    """
    _check_theta(theta)
    return numeric.expm1(theta)


def entry_bound(P: Number, theta: Number) -> Number:
    r"""Sharp bound on the change of one entry of softmax, given the entry.

    .. math:: \lvert P'_{ij} - P_{ij} \rvert \le
        \frac{P_{ij}(1 - P_{ij})(e^\theta - 1)}{1 + \min(P_{ij}, 1 - P_{ij})(e^\theta - 1)}
        \le \tanh(\theta/4).

    An entry below ½ moves farthest by rising, one above ½ by falling; hence the minimum.

    Args:
        P: Entries in [0, 1], of any number type or shape.
        theta: θ ≥ 0, of any number type; broadcasts with P.

    Returns:
        The bound, of the shape of P and θ together.

    Raises:
        ValueError: If θ is negative or NaN, or an entry leaves [0, 1].

    Source:
        softmax-entry

    >>> round(entry_bound(0.9, 1.0), 4), round(entry_bound(0.1, 1.0), 4)
    (0.132, 0.132)
    """
    _check_theta(theta)
    check_number(P, "P", "entries in [0, 1]")
    require(P >= 0, "P", "entries in [0, 1]", P)
    require(P <= 1, "P", "entries in [0, 1]", P)
    smaller = numeric.minimum(P, 1 - P)
    # Divided through by e^θ, so that a large θ cannot overflow; an entry 0 or 1 cannot move.
    gain = -numeric.expm1(-theta)
    still = 1 * (smaller == 0)
    return P * (1 - P) * gain / (numeric.exp(-theta) + smaller * gain + still)


def uniform_tv_bound(theta: Number, n: int) -> Number:
    r"""Sharp bound on the distance of a softmax row from uniform attention, at given n.

    .. math:: \mathrm{TV}(P_i, \mathbf 1/n) \le \max_{1 \le k < n}
        \frac{q(1-q)(e^\theta - 1)}{1 + q(e^\theta - 1)},\quad q = \tfrac kn,
        \qquad \theta = \mathrm{osc}(A_i).

    It is at most :math:`\tanh(\theta/4)`, its limit in n; for n = 2 it is ½ tanh(θ/2).

    Args:
        theta: Oscillation θ ≥ 0 of the logits, of any number type.
        n: Number of visible tokens, ≥ 1.

    Returns:
        The bound, of the type of θ (0 for n = 1).

    Raises:
        ValueError: If θ is negative or NaN, or n < 1.

    Source:
        uniform-tv

    >>> round(uniform_tv_bound(2.0, 2), 6)
    0.380797
    """
    _check_theta(theta)
    n = check_whole(n, "n", 1)
    # Divided through by e^θ, so that a large θ cannot overflow.
    gain, rest = -numeric.expm1(-theta), numeric.exp(-theta)
    largest = 0 * gain
    for k in range(1, n):
        value = gain * k / n * (n - k) / (n * rest + k * gain)
        largest = numeric.maximum(largest, value)
    return largest


def extremal_pair(theta: Number) -> tuple[Number, Number]:
    r"""Logits and a θ-balanced perturbation that attain tanh(θ/4), on two tokens.

    .. math:: A = (0, \theta/2), \qquad E = (\theta, 0):

    softmax(A) puts mass :math:`1/(1 + e^{\theta/2})` where E is larger.

    Args:
        theta: θ ≥ 0, finite, a tensor of shape (\*batch,) or a scalar of any number type.

    Returns:
        A and E, shape (\*batch, 1, 2): tensors, or arrays of exact numbers.

    Raises:
        ValueError: If θ is negative, infinite or NaN.

    Source:
        softmax-tv

    >>> A, E = extremal_pair(torch.tensor(1.0, dtype=torch.float64))
    >>> total_variation(softmax(A), softmax(A + E)).item() / tv_bound(1.0)
    1.0
    """
    _check_theta(theta)
    check_finite(theta, "theta")
    require(not isinstance(theta, np.ndarray), "theta", "a tensor or a scalar", "an array")
    pairs = ((0 * theta, theta / 2), (theta, 0 * theta))
    if isinstance(theta, torch.Tensor):
        A, E = (torch.stack(pair, -1)[..., None, :] for pair in pairs)
        return A, E
    return np.array([pairs[0]], dtype=object), np.array([pairs[1]], dtype=object)


def retrieval_threshold(m: int, delta: Number, s: int = 1) -> Number:
    r"""Oscillation of the logits below which no row can single out s of m tokens.

    .. math:: \text{mass} \ge 1 - \delta \text{ on } s \text{ of } m \text{ tokens} \implies
        \mathrm{osc} \ge \log \frac{(m - s)(1 - \delta)}{s\,\delta} ,

    attained by two levels of logits.

    Args:
        m: Number of visible tokens (n without mask, i in causal row i), > s.
        delta: Mass allowed to stray, 0 < δ < (m − s)/m; any number type.
        s: Number of tokens to single out, ≥ 1.

    Returns:
        The threshold, > 0, of the type of δ.

    Raises:
        ValueError: If s < 1, m ≤ s, or δ is outside its range (at δ = (m − s)/m uniform attention
            suffices).

    Source:
        retrieval

    >>> round(retrieval_threshold(1001, 0.5), 4)
    6.9078
    """
    for name, count in (("s", s), ("m", m)):
        check_number(count, name, "a number of tokens")
    require(s >= 1, "s", "a number of tokens >= 1", s)
    require(m > s, "m", f"a number of tokens > s = {s}", m)
    check_number(delta, "delta", "0 < delta < (m - s)/m")
    require(delta > 0, "delta", "0 < delta < (m - s)/m", delta)
    require(delta * m < m - s, "delta", f"0 < delta < (m - s)/m = ({m} - {s})/{m}", delta)
    # A quotient of logarithms' arguments would overflow at a small δ.
    return numeric.log((m - s) * (1 - delta) / s) - numeric.log(delta)


def _check_theta(theta: Number) -> None:
    check_number(theta, "theta", "theta >= 0")
    require(theta >= 0, "theta", "theta >= 0", theta)

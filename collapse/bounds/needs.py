"""What bounded entries can do at most, and how large they must be to look something up."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from collapse import numeric
from collapse.bounds.ladder import Sizes
from collapse.numeric import Number, require
from collapse.softmax import retrieval_threshold


def entrywise_sizes(
    eta: Tensor | float, layers: int, heads: int, width: int, key_width: int
) -> Sizes:
    r"""The largest sizes of weights whose entries are at most η, for p = ∞.

    .. math:: \nu_\infty(V_h) \le d\eta, \qquad \nu_\infty(\textstyle\sum_h V_h) \le Hd\eta, \qquad
        \beta_\infty(M_h) \le d^2 d_k \eta^2 ,

    all attained at once by weights that all equal η.

    Args:
        eta: η ≥ 0, a number or a tensor of shape (\*batch,).
        layers: L ≥ 0.
        heads: H ≥ 0.
        width: d ≥ 1.
        key_width: d_k ≥ 1.

    Returns:
        Sizes of batch (\*batch,), in float64 if η is a number.

    Raises:
        ValueError: If η is negative.

    Source:
        large-weights-needed

    >>> entrywise_sizes(0.5, 1, 2, 2, 1).query_key
    tensor([[1., 1.]], dtype=torch.float64)
    """
    eta = eta if isinstance(eta, Tensor) else torch.tensor(eta, dtype=torch.float64)
    require(eta >= 0, "eta", "eta >= 0", eta)
    head = eta[..., None, None].expand(*eta.shape, layers, heads)
    whole = eta[..., None].expand(*eta.shape, layers)
    return Sizes(width * head, heads * width * whole, width * width * key_width * head * head)


def lookup_entry(m: int, delta: float, width: int, key_width: int, phi: float = 1.0) -> float:
    r"""The least size of entries with which a head can put mass 1 − δ on one of m tokens.

    .. math:: \eta \ge \frac{1}{\varphi}
        \sqrt{\frac{1}{2 d^2 d_k} \log\frac{(m-1)(1-\delta)}{\delta}},

    since logits of tokens with entries at most φ oscillate by at most
    :math:`2 d^2 d_k \eta^2 \varphi^2`. Attained by weights that all equal η, a token of entries φ
    and others of entries −φ.

    Args:
        m: Number of visible tokens, ≥ 2.
        delta: Mass allowed to stray, 0 < δ < (m − 1)/m.
        width: d ≥ 1.
        key_width: d_k ≥ 1.
        phi: Bound φ > 0 on the entries of the tokens that the head reads.

    Returns:
        The least η.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        large-weights-needed

    >>> round(lookup_entry(1001, 0.5, 8, 8), 4)
    0.0821
    """
    for name, size in (("width", width), ("key_width", key_width), ("phi", phi)):
        require(size > 0, name, "> 0", size)
    return math.sqrt(retrieval_threshold(m, delta) / (2 * width * width * key_width)) / phi


def induction_gap(tokens: int, scale: Number) -> Number:
    r"""By how much the logit of the right value exceeds those of the other values.

    .. math:: \Delta(s) = s^3\, \tau(s), \qquad
        \tau(s) = \frac{e^{s^2} - 1}{e^{s^2} + n - 1} .

    Args:
        tokens: Length n of the sequence.
        scale: s ≥ 0, of any number type.

    Returns:
        Δ(s), of the type of s; it increases with s.

    Raises:
        ValueError: If s is negative.

    Source:
        large-weights-suffice

    >>> round(induction_gap(65, 2.0), 4)
    3.6154
    """
    return scale * scale * scale * induction_contraction(tokens, scale)


def induction_contraction(tokens: int, scale: Number) -> Number:
    r"""Dobrushin coefficient τ(s) of the previous-token head on three tokens or more.

    It is ½ at :math:`s = \sqrt{\log(n + 1)}`.

    Args:
        tokens: Length n of the sequence.
        scale: s ≥ 0, of any number type.

    Returns:
        τ(s), of the type of s.

    Raises:
        ValueError: If s is negative.

    Source:
        large-weights-suffice

    >>> round(induction_contraction(65, math.sqrt(math.log(66))), 12)
    0.5
    """
    require(scale >= 0, "scale", "s >= 0", scale)
    # Divided through by e^(s²), which could overflow.
    small = numeric.exp(-scale * scale)
    return -numeric.expm1(-scale * scale) / (1 + (tokens - 1) * small)

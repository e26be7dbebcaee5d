"""Lower bounds: what no one-layer network can do, however many heads or whatever weights it has.

Each floor comes from explicit deep networks and inputs (:mod:`collapse.witnesses`) that every
one-layer network must confuse. η bounds the weights, t the size of the tokens.
"""

from __future__ import annotations

from collapse import numeric
from collapse.numeric import Number, require


def one_layer_floor(eta: Number, t: Number = 1) -> Number:
    r"""Error that every one-layer network makes somewhere, whatever its heads and weights.

    .. math:: \tfrac12 \eta t\, \frac{u(u-1)(u+2)}{(2+u^2)(1+2u)}, \quad u = e^{\eta^3 t^2/6}
        \qquad (\to \eta^4 t^3/36).

    For the two-layer network of width one with W_Q = W_K = 0 in its first layer and all other
    weights η, on t(0, 1, 0) or t(0, ½, ½). No query bias; a token-wise map may follow.

    Args:
        eta: η ≥ 0, of any number type.
        t: Size of the tokens, ≥ 0.

    Returns:
        The floor, of the type of η.

    Raises:
        ValueError: If η or t is negative.

    Source:
        one-layer-floor

    >>> round(one_layer_floor(0.01) / (0.01**4 / 36), 4)
    1.0
    """
    _check(eta, t)
    x = eta * eta * eta * t * t / 6
    # Written in 1/u, which cannot overflow.
    w, gap = numeric.exp(-x), -numeric.expm1(-x)
    return eta * t * gap * (1 + 2 * w) / (2 * (1 + 2 * w * w) * (2 + w))


def one_layer_floor_with_biases(eta: Number, t: Number = 1) -> Number:
    r"""The same for one-layer networks with any biases, and no token-wise map behind.

    .. math:: \tfrac14 \eta t \bigl(\tanh(x/2) - \tanh(x/4)\bigr), \quad x = \eta^3 t^2
        \qquad (\to \eta^4 t^3/16).

    A head with a fixed query is additive under Minkowski sums of token multisets, so its second
    difference over t{0,1,1,2}, t{0,0,1,1}, t{0,0,0,0} vanishes; the deep network's does not. One
    of the three errors is at least a quarter of it.

    Args:
        eta: η ≥ 0, of any number type.
        t: Size of the tokens, ≥ 0.

    Returns:
        The floor, of the type of η.

    Raises:
        ValueError: If η or t is negative.

    Source:
        one-layer-floor

    >>> round(one_layer_floor_with_biases(0.01) / (0.01**4 / 16), 4)
    1.0
    """
    _check(eta, t)
    x = eta * eta * eta * t * t
    half, quarter = numeric.tanh(x / 2), numeric.tanh(x / 4)
    # tanh a − tanh b = tanh(a − b)(1 − tanh a tanh b), without cancellation.
    return eta * t * quarter * (1 - half * quarter) / 4


def one_head_floor(eta: Number, t: Number = 1) -> Number:
    r"""Error of every one-layer network with one head and no biases against a pair of heads.

    .. math:: \tfrac13 \eta t \tanh(\eta^2 t^2/2) \qquad (\to \eta^3 t^3/6).

    For S(X) = X + η(P₊ − P₋)X with M = ±η², on X = t(0, 1). With a value bias one head can be
    exact: the bias takes back what the head adds to the zero token.

    Args:
        eta: η ≥ 0, of any number type.
        t: Size of the tokens, ≥ 0.

    Returns:
        The floor, of the type of η.

    Raises:
        ValueError: If η or t is negative.

    Source:
        one-head-floor

    >>> round(one_head_floor(0.01) / (0.01**3 / 6), 4)
    1.0
    """
    _check(eta, t)
    return eta * t * numeric.tanh(eta * eta * t * t / 2) / 3


def causal_floor(eta: Number, t: Number = 1) -> Number:
    r"""Error that every causal one-layer network makes somewhere.

    .. math:: \tfrac13 \eta^2 t

    For two layers of uniform causal attention of width one with V = η, on t(1, −1, 0) or
    t(−1, 1, 0): the last row of one layer does not see the order of the tokens before it.

    Args:
        eta: η ≥ 0, of any number type.
        t: Size of the tokens, ≥ 0.

    Returns:
        The floor, of the type of η.

    Raises:
        ValueError: If η or t is negative.

    Source:
        causal-floor

    >>> round(causal_floor(0.3), 4)
    0.03
    """
    _check(eta, t)
    return eta * eta * t / 3


def preln_floor(eta: Number, short: Number = 1, long: Number = 2) -> Number:
    r"""Error that every one-layer pre-normalised network makes somewhere.

    .. math:: \frac{\eta a}{2\sqrt2} \Bigl(\frac{1}{\sqrt{a^2 + (s + a)^2}}
        - \frac{1}{\sqrt{a^2 + (s' + a)^2}}\Bigr), \quad a = \frac{\eta}{\sqrt2}
        \qquad \Bigl(\to \frac{\eta^2}{4} \bigl(\tfrac1s - \tfrac1{s'}\bigr)\Bigr).

    For two layers of uniform attention of width 2 with V = ηI, on the tokens (r, 0), (0, s) or
    (r, 0), (0, s'), any r > 0: the first row of one layer does not see the length of the second
    token. The error is measured in the largest entry. As s → 0 it is of order η.

    Args:
        eta: η ≥ 0, of any number type that has square roots.
        short: The length s, > 0.
        long: The length s', ≥ s.

    Returns:
        The floor, of the type of η.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        preln-floor

    >>> round(preln_floor(0.001) / (0.001**2 / 8), 2)
    1.0
    """
    require(eta >= 0, "eta", "eta >= 0", eta)
    require(short > 0, "short", "short > 0", short)
    require(long >= short, "long", f"long >= short = {short}", long)
    a = eta / numeric.sqrt(2 + 0 * eta)
    near, far = (numeric.sqrt(a * a + (s + a) * (s + a)) for s in (short, long))
    # 1/near − 1/far, without cancellation.
    gap = (long - short) * (long + short + 2 * a) / (near * far * (near + far))
    return a * a * gap / 2


def _check(eta: Number, t: Number) -> None:
    require(eta >= 0, "eta", "eta >= 0", eta)
    require(t >= 0, "t", "t >= 0", t)

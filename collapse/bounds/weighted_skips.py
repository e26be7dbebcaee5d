r"""With a weighted skip λX + A(X): what is kept of the distances between tokens, and for how long.

The tokens Y are unit rows and D scales rows to length 1, as in J24.
"""

from __future__ import annotations

from collapse.numeric import Number, maximum, require, sqrt


def normalised_factor(skip: Number, v: Number, K: Number) -> Number:
    r"""The share of the diameter that one layer with weighted skip and row normalisation keeps.

    .. math:: \mathrm{diam}_2(D(\lambda Y + A(Y))) \ge F\, \mathrm{diam}_2(Y), \qquad
        F = \frac{|\lambda| - K}{|\lambda| + v}

    as long as :math:`K \le |\lambda| - v`, and
    :math:`\tfrac12\bigl(1 - K^2/(\lambda^2 - v^2)\bigr)` beyond. Attained as the diameter vanishes,
    for K ≤ \|λ\| − v.

    Args:
        skip: λ, with \|λ\| > v.
        v: Σν₂(V_h) ≥ 0, a bound on the attention output of unit tokens.
        K: The factor of :func:`~collapse.bounds.contraction.contraction_factor`, ≥ 0.

    Returns:
        F, of the number type of the inputs; not positive where nothing is guaranteed.

    Raises:
        ValueError: Unless K ≥ 0 and 0 ≤ v < \|λ\|.

    Source:
        lambda-skip

    >>> round(normalised_factor(4.0, 1.0, 0.5), 4), round(normalised_factor(-1.25, 1.0, 1.0), 4)
    (0.7, -0.3889)
    """
    size = abs(skip)
    require(v >= 0, "v", "v >= 0", v)
    require(K >= 0, "K", "K >= 0", K)
    require(size > v, "skip", "|skip| > v", skip)
    below, above = size - v, size + v
    # The least value over the lengths 1/u that a token can have before it is scaled. Factor by
    # factor: squares of a large skip would overflow, and promise an infinite share.
    u = maximum(1 / above, K / below / above)
    return (1 + (below * u) * (above * u)) / 2 - K * u


def row_drift(ratio: Number) -> Number:
    r"""How far a unit token can move when it is scaled back after something was added.

    .. math:: \bigl\lVert D(\lambda y + o) - \operatorname{sgn}(\lambda)\, y \bigr\rVert
        \le 2 \sin\bigl(\tfrac12 \arcsin t\bigr) = \sqrt{2 - 2\sqrt{1 - t^2}}, \qquad
        \lVert o \rVert \le t |\lambda| .

    Args:
        ratio: t, 0 ≤ t ≤ 1.

    Returns:
        The largest move, attained for every t < 1.

    Raises:
        ValueError: If t leaves its range.

    Source:
        skip-drift

    >>> round(row_drift(0.6), 4), row_drift(0.0)
    (0.6325, 0.0)
    """
    require((ratio >= 0) & (ratio <= 1), "ratio", "0 <= ratio <= 1", ratio)
    # The root of 2 − 2√(1 − t²), without cancellation: a small move must not become none.
    return ratio * sqrt(2 / (1 + sqrt(1 - ratio * ratio)))


def total_drift(skip: Number, moved: Number) -> Number:
    r"""How far all tokens together can move, whatever was added and however large it is.

    .. math:: \mu(D(\lambda Y + O)) \ge \mu(Y) - \frac{2}{|\lambda|}\lVert O \rVert_F .

    Args:
        skip: λ ≠ 0.
        moved: ‖O‖_F ≥ 0.

    Returns:
        2‖O‖/\|λ\|. The constant 2 is approached as the number of tokens grows.

    Raises:
        ValueError: If λ = 0.

    Source:
        skip-drift

    >>> total_drift(-4.0, 1.0)
    0.5
    """
    require((skip > 0) | (skip < 0), "skip", "a number other than 0", skip)
    return 2 * moved / abs(skip)


def j24_margin(a: Number, skip: Number, size: Number) -> Number:
    r"""J24's first condition asks that this be positive: λ² − a(SC_M + \|λ\|)².

    Args:
        a: 0 < a < 1.
        skip: λ.
        size: SC_M ≥ 0, with S = sup‖C_V‖_F and C_M = sup‖M‖_F.

    Returns:
        The margin, of the number type of the inputs.

    Source:
        j24-lower-bound

    >>> j24_margin(0.25, 2.0, 1.0)
    1.75
    """
    return skip * skip - a * (size + abs(skip)) ** 2


def j24_threshold(
    a: Number,
    depth: int,
    skip: Number,
    size: Number,
    tokens: int,
    width: int,
    printed: bool = False,
) -> Number:
    r"""What J24's second condition asks of the input, μ(Y⁰)² ≥ b.

    .. math:: b = a^{-K}\,\frac{2|\lambda|\,N d\,S C_M}{\lambda^2 - a(S C_M + |\lambda|)^2} .

    Args:
        a: 0 < a < 1, with a positive :func:`j24_margin`.
        depth: K ≥ 1 layers.
        skip: λ.
        size: SC_M.
        tokens: N ≥ 1.
        width: d ≥ 1.
        printed: With 2λ in the numerator, as reported; the statement is then false for λ < 0.

    Returns:
        b, of the number type of the inputs.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        j24-lower-bound

    >>> j24_threshold(0.25, 1, 2.0, 1.0, 2, 2), j24_threshold(0.25, 1, -2.0, 1.0, 2, 2, True) < 0
    (36.57142857142857, True)
    """
    require((a > 0) & (a < 1), "a", "0 < a < 1", a)
    require(depth >= 1, "depth", "an integer >= 1", depth)
    margin = j24_margin(a, skip, size)
    require(margin > 0, "margin", "a positive first condition of J24", margin)
    weight = skip if printed else abs(skip)
    return 2 * weight * tokens * width * size / (margin * a**depth)


def j24_best(depth: int, ratio: Number) -> tuple[Number, Number]:
    r"""J24's conditions at the a that asks least of the input.

    .. math:: a = \frac{K}{(K+1)(1+t)^2}, \qquad \frac{b}{N d} =
        2t\,(K+1)\bigl(1 + \tfrac1K\bigr)^K (1+t)^{2K}, \qquad t = \frac{S C_M}{|\lambda|} .

    Unit tokens have μ² ≤ N, so the hypothesis is empty where d times this exceeds 1.

    Args:
        depth: K ≥ 1.
        ratio: t > 0.

    Returns:
        The best a, and the least b/(Nd).

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        j24-lower-bound

    >>> j24_best(1, 1.0)
    (0.125, 32.0)
    """
    require(depth >= 1, "depth", "an integer >= 1", depth)
    require(ratio > 0, "ratio", "ratio > 0", ratio)
    grown = (1 + ratio) * (1 + ratio)
    a = depth / ((depth + 1) * grown)
    return a, 2 * ratio * (depth + 1) * grown**depth * (depth + 1) ** depth / depth**depth


def threshold_rate(skip: Number, kept: Number, given: Number) -> Number:
    r"""The rate at which two tokens align in the two-token example with M = [[m, 0], [c, m]].

    .. math:: r = \frac{|\lambda + m|}{|\lambda + m| + c} .

    Above λ = −m, :math:`\tan(\theta'/2) \le r \tan(\theta/2)` for their angle θ; below, the same
    for π − θ.

    Args:
        skip: λ ≠ −m.
        kept: m.
        given: c > 0, what the second token gets of the first.

    Returns:
        The rate, of the number type of the inputs.

    Raises:
        ValueError: If λ = −m or c ≤ 0.

    Source:
        lambda-threshold

    >>> threshold_rate(1.0, 1.0, 2.0), threshold_rate(-3.0, 1.0, 2.0)
    (0.5, 0.5)
    """
    require(given > 0, "given", "given > 0", given)
    total = skip + kept
    require((total > 0) | (total < 0), "skip", "a number other than -kept", skip)
    return abs(total) / (abs(total) + given)

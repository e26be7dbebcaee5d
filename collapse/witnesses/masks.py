"""Attention matrices under a mask that collapse as slowly as the bounds allow."""

from __future__ import annotations

import numpy as np

from collapse.numeric import Number, require


def lazy_walk(tokens: int, epsilon: Number) -> np.ndarray:
    r"""Window of one earlier token: ε on it, the rest on the token itself.

    Attains :func:`~collapse.bounds.masked.walk_factors` after every number of layers.

    Args:
        tokens: n ≥ 2.
        epsilon: ε in [0, 1], of any exact number type.

    Returns:
        A row-stochastic matrix (n, n) of exact numbers.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        masked-walk

    >>> from fractions import Fraction
    >>> lazy_walk(2, Fraction(1, 4))[1].tolist()
    [Fraction(1, 4), Fraction(3, 4)]
    """
    require(tokens >= 2, "tokens", "at least two", tokens)
    _check(epsilon, 1)
    P = np.full((tokens, tokens), 0 * epsilon, dtype=object)
    P[0, 0] = 1 + 0 * epsilon
    for i in range(1, tokens):
        P[i, i - 1], P[i, i] = epsilon, 1 - epsilon
    return P


def outward_drift(radius: int, epsilon: Number) -> np.ndarray:
    r"""Window of one neighbour on each side of 2r + 1 tokens: all but ε of the mass flows outward.

    .. math:: \lambda_2 \ge 1 - \frac{\varepsilon^r}{(1 - 2\varepsilon)^{r-1}} ,

    so the radius belongs in the exponent of the bound.

    Args:
        radius: r ≥ 1, the steps from either end to the token in the middle.
        epsilon: ε in [0, 1/3], of any exact number type.

    Returns:
        A row-stochastic matrix (2r + 1, 2r + 1) of exact numbers.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        masked-collapse

    >>> from fractions import Fraction
    >>> outward_drift(1, Fraction(1, 4))[:, 1].tolist()
    [Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)]
    """
    require(radius >= 1, "radius", "at least one", radius)
    _check(3 * epsilon, 1)
    n = 2 * radius + 1
    P = np.full((n, n), 0 * epsilon, dtype=object)
    P[radius, radius - 1 : radius + 2] = epsilon, 1 - 2 * epsilon, epsilon
    for i in range(radius):
        inward, outward = (i, i + 1), (i, max(i - 1, 0))
        P[inward], P[i, i] = epsilon, epsilon
        P[outward] = 1 - 2 * epsilon if i else 1 - epsilon
        P[n - 1 - i] = P[i, ::-1]
    return P


def _check(epsilon: Number, most: Number) -> None:
    require(epsilon >= 0, "epsilon", "a floor >= 0 that the rows can hold", epsilon)
    require(epsilon <= most, "epsilon", "a floor that the rows can hold", epsilon)

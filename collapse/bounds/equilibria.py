r"""Closed forms for attention with row normalisation at rest: multipliers, and a map of one number.

Two families are covered: k groups of tokens at orthonormal directions with M = bI, and two tokens
of which the first sees only itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from collapse import numeric
from collapse.numeric import Number, require


def group_values(groups: Sequence[int], b: Number) -> list[list[Number]]:
    r"""The k×k matrix that undoes the averaging of groups of tokens at orthonormal directions.

    .. math:: (G^{-1})_{gh} = \frac{Z_h}{n_g(e^b - 1)}
        \Bigl(\delta_{gh} - \frac{1}{e^b - 1 + k}\Bigr), \qquad
        G_{gh} = \frac{n_h e^{b \delta_{gh}}}{Z_g}, \quad Z_g = n_g(e^b - 1) + n .

    Args:
        groups: Sizes n_1, …, n_k ≥ 1 of the groups, n in all.
        b: The factor of M = bI, of any number type with an exponential; not 0 unless k = 1.

    Returns:
        The rows of the matrix, with entries of the type of b.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        ln-equilibria

    >>> [[round(x, 4) for x in row] for row in group_values([1, 1], 1.0)]
    [[1.582, -0.582], [-0.582, 1.582]]
    """
    k, tokens = len(groups), sum(groups)
    require(k >= 1, "groups", "at least one", groups)
    require(all(size >= 1 for size in groups), "groups", "sizes >= 1", groups)
    if k == 1:
        return [[1 + 0 * b]]
    require(b != 0, "b", "b != 0 for two groups or more", b)
    grown = numeric.expm1(b)
    return [
        [
            (size * grown + tokens) / (own * grown) * (int(g == h) - 1 / (grown + k))
            for h, size in enumerate(groups)
        ]
        for g, own in enumerate(groups)
    ]


def own_share(b: Number, k: Number) -> Number:
    r"""The attention that a token pays to its own group, of k groups of equal size.

    .. math:: p = \frac{e^b}{e^b + k - 1}

    Args:
        b: The factor of M = bI, of any number type.
        k: Number of groups, ≥ 1, or a symbol.

    Returns:
        p, of the type of b.

    Raises:
        ValueError: If k < 1.

    Source:
        ln-equilibria

    >>> own_share(0.0, 4)
    0.25
    """
    require(k >= 1, "k", "k >= 1", k)
    return 1 / (1 + (k - 1) * numeric.exp(-b))


def symmetric_multiplier(b: Number, k: Number) -> Number:
    r"""The multiplier of the mode in which all groups approach each other alike.

    .. math:: 1 + \frac{2bp}{e^b - 1} > 1

    Args:
        b: The factor of M = bI, not 0.
        k: Number of groups of equal size, ≥ 2.

    Returns:
        The multiplier, of the type of b.

    Raises:
        ValueError: If b = 0 or k < 2.

    Source:
        ln-equilibria

    >>> round(symmetric_multiplier(1.0, 2), 4)
    1.8509
    """
    _check(b, k)
    return 1 + 2 * b * own_share(b, k) / numeric.expm1(b)


def equilibrium_multipliers(b: Number, k: int, tokens: int) -> list[tuple[Number, int]]:
    r"""All multipliers of the equilibrium of k equal groups within the span of its tokens.

    With :math:`\rho = 1/(e^b - 1)`, p of :func:`own_share` and :math:`q = (1 - p)/(k - 1)`:

    * :math:`1 + 2b\rho p`, once: all groups approach alike;
    * :math:`1 + 2b\rho`, k(k − 3)/2 times: pairs of groups approach, others part;
    * 1, (k − 1)(k − 2)/2 times: rotations;
    * the two eigenvalues of
      :math:`\begin{pmatrix} p + b\rho(1 - (k-2)q) & \rho(b - 1) \\
      q + b\rho(1 - (k-2)q) & 1 + (k-1)\rho + b\rho \end{pmatrix}`, k − 1 times each, for k ≥ 3; the
      one number :math:`p + \rho = \coth b` for k = 2;
    * :math:`b\rho`, (k − 2)(n − k) times, and :math:`b\rho p`, n − k times: tokens within a group.

    Args:
        b: The factor of M = bI, not 0; a float or an mpmath float.
        k: Number of groups, ≥ 2.
        tokens: Number n of tokens, a multiple of k.

    Returns:
        Pairs of a multiplier and how often it occurs, n(k − 1) in all.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        ln-equilibria

    >>> sum(times for _, times in equilibrium_multipliers(1.0, 4, 8))
    24
    """
    _check(b, k)
    require(tokens % k == 0 and tokens > 0, "tokens", f"a multiple of k = {k}", tokens)
    rho, p = 1 / numeric.expm1(b), own_share(b, k)
    q, spare = (1 - p) / (k - 1), tokens - k
    found = [(symmetric_multiplier(b, k), 1), (b * rho * p, spare)]
    if k == 2:
        return [*found, (p + rho, 1)]
    common = b * rho * (1 - (k - 2) * q)
    trace = p + common + 1 + (k - 1) * rho + b * rho
    gap = p + common - 1 - (k - 1) * rho - b * rho
    root = numeric.sqrt(gap * gap + 4 * rho * (b - 1) * (q + common))
    return [
        *found,
        ((trace + root) / 2, k - 1),
        ((trace - root) / 2, k - 1),
        (1 + 2 * b * rho, k * (k - 3) // 2),
        (1 + 0 * b, (k - 1) * (k - 2) // 2),
        (b * rho, (k - 2) * spare),
    ]


def two_token_multipliers(w: Number) -> dict[str, Number]:
    r"""Multipliers of the three fixed points of the second token, the first resting at (0, 1).

    .. math:: \text{top } (0, 1): \tfrac12, \qquad \text{second }
        \Bigl(-\tfrac1w, -\sqrt{1 - \tfrac1{w^2}}\Bigr): 1 - \sqrt{1 - \tfrac1{w^2}}, \qquad
        \text{repeller } \Bigl(-\tfrac1w, \sqrt{1 - \tfrac1{w^2}}\Bigr):
        1 + \sqrt{1 - \tfrac1{w^2}} .

    Args:
        w: w > 1, of any number type that has square roots.

    Returns:
        The multipliers by name.

    Raises:
        ValueError: If w ≤ 1.

    Source:
        ln-two-token

    >>> round(two_token_multipliers(2.0)["second"], 4)
    0.134
    """
    require(w > 1, "w", "w > 1", w)
    height = numeric.sqrt(1 - 1 / (w * w))
    return {"top": (1 + 0 * w) / 2, "second": 1 - height, "repeller": 1 + height}


def two_token_step(s: Number, w: Number, slope: Number | None = None) -> Number:
    r"""One layer for a second token in the open left half-plane, by its slope.

    The token is :math:`(-1, s)/\sqrt{1 + s^2}`, the first one :math:`(1, a)/\sqrt{1 + a^2}`, or
    (0, 1) where no slope a is given. Then

    .. math:: s' = \frac{c a + s h}{h - c} - w, \quad h = \frac{1}{\sqrt{1 + s^2}}, \;
        c = \frac{1}{\sqrt{1 + a^2}}, \qquad
        s' = s + \sqrt{1 + s^2} - w \;\text{ for } (0, 1).

    It stays in that half-plane as long as h > c.

    Args:
        s: Slope of the second token.
        w: The entry of V.
        slope: Slope a of the first token; None for (0, 1).

    Returns:
        s', of the type of the arguments.

    Source:
        ln-two-token

    >>> two_token_step(0.75, 1.5)
    0.5
    """
    h = 1 / numeric.sqrt(1 + s * s)
    if slope is None:
        return s + 1 / h - w
    c = 1 / numeric.sqrt(1 + slope * slope)
    return (c * slope + s * h) / (h - c) - w


def two_token_preimage(s: Number, w: Number, slope: Number | None = None) -> tuple[Number, Number]:
    r"""The second token that one layer takes to slope s: a rational map.

    Before the shear the sum of the tokens points to m = (−1, s + w), which halves the angle between
    them. So with b = (1, a), or (0, 1), the second token points to :math:`2(m \cdot b)m - (m \cdot
    m)b`.

    Args:
        s: Slope after the layer, as in :func:`two_token_step`.
        w: The entry of V.
        slope: Slope a of the first token; None for (0, 1).

    Returns:
        Both coordinates of a vector in the direction of the second token, of any length.

    Source:
        ln-two-token

    >>> two_token_preimage(0.5, 1.5)
    (-4.0, 3.0)
    """
    rise = s + w
    square = 1 + rise * rise
    if slope is None:
        return -2 * rise, 2 * rise * rise - square
    product = rise * slope - 1
    return -2 * product - square, 2 * product * rise - square * slope


def _check(b: Number, k: Number) -> None:
    require(b != 0, "b", "b != 0", b)
    require(k >= 2, "k", "k >= 2", k)

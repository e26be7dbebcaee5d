r"""Floor 7. Exact inputs that refute a statement or attain a bound; each names its label.

The matrices are arrays of Fractions, so ``collapse.norms`` evaluates them without rounding. Where a
witness is built from a given matrix, that matrix may hold any exact real numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from collapse.numeric import exact, require

Pair = tuple[np.ndarray, np.ndarray]


def lemma_4_1() -> tuple[Pair, Pair]:
    r"""Two pairs of columns that Res moves apart: 1 becomes 2, and 4 becomes 5.

    .. math:: (2, 0, -2)^\top, (1, 1, -3)^\top \qquad (-2, 4, -2)^\top, (-2, 2, 2)^\top

    Returns:
        The pairs (A, B), each of shape (3, 1).

    Source:
        as25-lem-4.1

    >>> [int(abs(A - B).max()) for A, B in lemma_4_1()]
    [1, 4]
    """
    return (_column(2, 0, -2), _column(1, 1, -3)), (_column(-2, 4, -2), _column(-2, 2, 2))


def lipschitz(n: int) -> Pair:
    r"""Two columns of n tokens at distance 1 between which Res moves by :math:`c_n`.

    .. math:: A = (2, 0, \dots, 0, -2)^\top, \quad B = (1, 1, \dots, 1, -3)^\top \qquad (n \ge 3):

    both ends go down by one, and with them the midrange; the tokens between them go up by one.

    Args:
        n: Number of tokens, ≥ 1.

    Returns:
        The pair (A, B), each of shape (n, 1).

    Raises:
        ValueError: If n < 1.

    Source:
        res-lipschitz, as25-lem-4.1

    >>> lipschitz(3)[1].ravel().tolist() == [1, 1, -3]
    True
    """
    require(n >= 1, "n", "a number of tokens >= 1", n)
    if n >= 3:
        return _column(2, *[0] * (n - 2), -2), _column(1, *[1] * (n - 2), -3)
    return _column(*[1, -1][:n]), _column(*[0] * n)


def mean_lipschitz(n: int) -> Pair:
    r"""Two columns at distance 1 that centring at the mean moves apart by 2(n-1)/n.

    .. math:: A = (1, -1, \dots, -1)^\top, \quad B = 0 .

    Args:
        n: Number of tokens, ≥ 1.

    Returns:
        The pair (A, B), each of shape (n, 1).

    Raises:
        ValueError: If n < 1.

    Source:
        res-lipschitz

    >>> A, B = mean_lipschitz(4)
    >>> (A - A.sum() / 4)[0].item()
    Fraction(3, 2)
    """
    require(n >= 1, "n", "a number of tokens >= 1", n)
    return _column(1, *[-1] * (n - 1)), _column(*[0] * n)


def walk(n: int) -> list[np.ndarray]:
    r"""Columns at distance 1 from one to the next that add up to a shift.

    .. math:: A_0 = 0, \qquad A_k = A_{k-1} + \mathbf 1 - 2 e_k, \qquad A_n = (n - 2)\, \mathbf 1 .

    Any centre that follows shifts rises by n - 2 over the walk, hence by (n - 2)/n or more in one
    of the steps, and in every step one entry falls by 1.

    Args:
        n: Number of tokens, ≥ 1.

    Returns:
        The n + 1 columns, each of shape (n, 1).

    Raises:
        ValueError: If n < 1.

    Source:
        res-lipschitz

    >>> [column.ravel().tolist() == values for column, values in zip(walk(1), ([0], [-1]))]
    [True, True]
    """
    require(n >= 1, "n", "a number of tokens >= 1", n)
    columns = [_column(*[0] * n)]
    for k in range(n):
        columns.append(columns[-1] + _column(*(1 - 2 * (i == k) for i in range(n))))
    return columns


def stretched(W: np.ndarray, n: int = 2) -> np.ndarray:
    r"""Tokens whose residual W stretches as much as it can.

    The column of W with the largest sum of :math:`|W|` has the signs s; the tokens are s, -s and,
    from the third on, zero.

    Args:
        W: Exact real matrix, shape (d, e).
        n: Number of tokens, ≥ 2.

    Returns:
        X of shape (n, d) with ρ(X) = 1 and ρ(XW) = ν_∞(W).

    Raises:
        ValueError: If n < 2.

    Source:
        res-right

    >>> stretched(exact([[1, 2], [3, -4]])).tolist() == [[1, -1], [-1, 1]]
    True
    """
    require(n >= 2, "n", "a number of tokens >= 2", n)
    column = max(W.T, key=lambda entries: abs(entries).sum())
    signs = _signs(column)
    return np.stack([signs, -signs, *[0 * signs] * (n - 2)])


def kept_apart(P: np.ndarray, direction: np.ndarray) -> np.ndarray:
    r"""Tokens that a mixing matrix brings together as little as it can, in every norm.

    Rows i and k of P are two that differ most; token j is half the direction times the sign of
    :math:`P_{ij} - P_{kj}`.

    Args:
        P: Exact real matrix with two columns or more, shape (n, m).
        direction: Any token other than zero, shape (d,).

    Returns:
        X of shape (m, d) with distinct tokens and diam(PX) = τ(P) diam(X).

    Raises:
        ValueError: If P has one column.

    Source:
        res-left

    >>> kept_apart(exact([["2/3", "1/3"], [0, 1]]), exact([2])).tolist() == [[1], [-1]]
    True
    """
    require(P.shape[-1] >= 2, "columns of P", "at least 2", P.shape[-1])
    gap = max((row - other for row in P for other in P), key=lambda gap: abs(gap).sum())
    signs = _signs(gap)
    if not gap.any():  # all rows are equal: every diam(PX) is zero
        signs[0] = -signs[0]
    return signs[:, None] * direction / 2


def dictionary(n: int, d: int) -> Pair:
    r"""Tokens with ρ = 1 whose distance μ from the mean is the least, and the largest.

    The least: 1 and -1 in one feature, all else zero. The largest: half of the tokens (rounded
    down) have every feature 1, the others -1.

    Args:
        n: Number of tokens, ≥ 2.
        d: Width, ≥ 1.

    Returns:
        The pair (least, largest), each of shape (n, d).

    Raises:
        ValueError: If n < 2 or d < 1.

    Source:
        metric-dictionary

    >>> least, largest = dictionary(3, 1)
    >>> least.ravel().tolist() == [1, 0, -1], largest.ravel().tolist() == [1, -1, -1]
    (True, True)
    """
    require(n >= 2, "n", "a number of tokens >= 2", n)
    require(d >= 1, "d", "a width >= 1", d)
    least = exact(np.zeros((n, d), dtype=int).tolist())
    least[0, 0], least[-1, 0] = exact([1, -1])
    return least, exact([[1] * d] * (n // 2) + [[-1] * d] * (n - n // 2))


def _column(*entries: Any) -> np.ndarray:
    return exact([[entry] for entry in entries])


def _signs(entries: np.ndarray) -> np.ndarray:
    return exact([1 if entry >= 0 else -1 for entry in entries])

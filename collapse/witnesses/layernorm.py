r"""Floor 7. Tokens that row normalisation leaves where they are, and pairs that it tells apart.

Each function returns an :class:`~collapse.exact.ExactNetwork` with normalised rows and tokens of
the number type of its parameters; integers and decimal strings become Fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from collapse import numeric
from collapse.bounds.equilibria import group_values
from collapse.exact import ExactNetwork
from collapse.numeric import Number, exact, require

Case = tuple[ExactNetwork, np.ndarray]


def equilibrium(groups: Sequence[int], b: Number, width: int | None = None) -> Case:
    r"""Groups of tokens at orthonormal directions, held in place by one normalised layer.

    .. math:: M = bI, \quad V = \begin{pmatrix} G^{-1} & 0 \\ 0 & 0 \end{pmatrix}

    with the :func:`~collapse.bounds.equilibria.group_values`.

    Args:
        groups: Sizes n_1, …, n_k ≥ 1 of the groups.
        b: The factor of M; not 0 unless k = 1. A ball, an mpmath float or a symbol, since an
            exponential is taken.
        width: d ≥ k; k by default.

    Returns:
        A network of one layer without skip, and its tokens of shape (n, d), a fixed point of
        rank k.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        ln-equilibria

    >>> import mpmath
    >>> network, X = equilibrium([2, 1], mpmath.mpf(1))
    >>> float(abs(network(X) - X).max()) < 1e-12
    True
    """
    k = len(groups)
    width = k if width is None else width
    require(width >= k, "width", f"at least k = {k}", width)
    zero, one = 0 * b, 1 + 0 * b
    padding = [zero] * (width - k)
    V = [[*row, *padding] for row in group_values(groups, b)] + [[zero] * width] * (width - k)
    query, key = _diagonal(b, width), _diagonal(one, width)
    rows = [g for g, size in enumerate(groups) for _ in range(size)]
    X = [[one if g == column else zero for column in range(width)] for g in rows]
    return _normalised([query], [key], [V]), exact(X)


def two_tokens(w: Number, first: Sequence[Number], second: Sequence[Number], layers: int) -> Case:
    r"""Two tokens of which the first sees only itself and the second averages both, V sheared.

    .. math:: P = \begin{pmatrix} 1 & 0 \\ \tfrac12 & \tfrac12 \end{pmatrix}, \qquad
        V = \begin{pmatrix} 1 & w \\ 0 & 1 \end{pmatrix} ,

    which is causal attention with M = 0.

    Args:
        w: The entry of V.
        first: x₁, of length 1.
        second: x₂, of length 1.
        layers: Number of layers.

    Returns:
        The network without skip, and X of shape (2, 2).

    Source:
        ln-two-token

    >>> network, X = two_tokens("3/2", (0, 1), ("-4/5", "3/5"), 1)
    >>> network.value[0, 0].tolist()[0]
    [Fraction(1, 1), Fraction(3, 2)]
    """
    (w,) = exact([w])
    zero, one = 0 * w, 1 + 0 * w
    silent, V = [[zero], [zero]], [[one, w], [zero, one]]
    causal = torch.ones(2, 2, dtype=torch.bool).tril()
    network = _normalised([silent] * layers, [silent] * layers, [V] * layers, mask=causal)
    return network, exact([list(first), list(second)])


def swapped_tokens(layers: int) -> Case:
    """Two tokens that attend to each other but not to themselves: they swap for ever.

    Args:
        layers: Number of layers.

    Returns:
        The network, V the identity, and the tokens (3/5, 4/5) and (4/5, 3/5).

    Source:
        ln-orthogonal

    >>> network, X = swapped_tokens(1)
    >>> network.mask.tolist()
    [[False, True], [True, False]]
    """
    (zero, one) = exact([0, 1])
    silent, V = [[zero], [zero]], _diagonal(one, 2)
    mask = torch.tensor([[False, True], [True, False]])
    network = _normalised([silent] * layers, [silent] * layers, [V] * layers, mask=mask)
    return network, exact([["3/5", "4/5"], ["4/5", "3/5"]])


def crossed_tokens(b: Number, width: int, layers: int) -> Case:
    r"""The 2d tokens ±e_i with M = bI and V = I: in no open hemisphere, and at rest.

    Every row of attention is symmetric about its token, so that
    :math:`P X = \frac{e^b - e^{-b}}{e^b + e^{-b} + 2d - 2} X`.

    Args:
        b: The factor of M, > 0.
        width: d ≥ 1.
        layers: Number of layers.

    Returns:
        The network, and X of shape (2d, d).

    Raises:
        ValueError: If b is not positive.

    Source:
        ln-orthogonal

    >>> crossed_tokens(1, 2, 1)[1].tolist() == [[1, 0], [0, 1], [-1, 0], [0, -1]]
    True
    """
    (b,) = exact([b])
    require(b > 0, "b", "b > 0", b)
    one = 1 + 0 * b
    V = _diagonal(one, width)
    network = _normalised([_diagonal(b, width)] * layers, [V] * layers, [V] * layers)
    axes = np.array(V, dtype=object)
    return network, np.concatenate((axes, -axes))


def postln_swap(eta: Number) -> tuple[ExactNetwork, np.ndarray, np.ndarray]:
    r"""Two causal layers with skip and normalisation after each, and two orders of the tokens.

    Uniform attention, V = ηI, and the tokens e₁, e₂, (e₁ + e₂)/√2 or e₂, e₁, (e₁ + e₂)/√2.

    Args:
        eta: η, a ball, an mpmath float or a symbol, since a root is taken.

    Returns:
        The network and the two inputs, of shape (3, 2).

    Source:
        postln-floor

    >>> import mpmath
    >>> network, X, swapped = postln_swap(mpmath.mpf(1))
    >>> bool(network(X)[2, 0] > network(swapped)[2, 0])
    True
    """
    (eta,) = exact([eta])
    zero, one = 0 * eta, 1 + 0 * eta
    half = 1 / numeric.sqrt(2 * one)
    silent, V = [[zero], [zero]], _diagonal(eta, 2)
    causal = torch.ones(3, 3, dtype=torch.bool).tril()
    network = _normalised([silent] * 2, [silent] * 2, [V] * 2, mask=causal, skip=1)
    X = exact([[one, zero], [zero, one], [half, half]])
    return network, X, X[[1, 0, 2]]


def _diagonal(entry: Number, width: int) -> list[list[Any]]:
    return [[entry if i == j else 0 * entry for j in range(width)] for i in range(width)]


def _normalised(query: Any, key: Any, value: Any, **options: Any) -> ExactNetwork:
    """A network of one head with normalised rows, by default without skip, from its layers."""
    query, key, value = (exact([[head] for head in w]) for w in (query, key, value))
    return ExactNetwork(query, key, value, **{"skip": 0, "norm": "row", **options})

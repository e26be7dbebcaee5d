r"""Floor 7. Networks and inputs that settle what skip connections can and cannot do.

Each function returns an :class:`~collapse.exact.ExactNetwork` and the tokens it is meant for, all
of the number type of the parameters: integers and decimal strings become Fractions, and flint
balls, mpmath floats and symbols stay what they are. Lift a result made of Fractions to another
type before a softmax has to be taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from collapse.exact import ExactNetwork
from collapse.numeric import Number, exact, require

Case = tuple[ExactNetwork, np.ndarray]
Confused = tuple[ExactNetwork, np.ndarray, np.ndarray]


def common_shift(eta: Number, c: Number) -> Case:
    r"""Two layers with skips; the first shifts all tokens alike, the second then attends elsewhere.

    Width 1. Layer 1 has W_Q = W_K = 0 and V = η, layer 2 all weights η. The tokens are

    .. math:: X = c\,(-1,\; 1 + 4/\eta)^\top, \qquad A_1(X) = 2c\,(1, 1)^\top,

    so that Res(A₁) = 0, while row 1 of layer 2 goes over to the other token. The move of A₂ attains
    the bound ``attention-lipschitz``.

    Args:
        eta: η ≠ 0.
        c: Half the shift, ≠ 0.

    Returns:
        The network and X of shape (2, 1).

    Source:
        shift-matters, as25-lem-5.2, as25-lem-c.1, attention-lipschitz

    >>> network, X = common_shift(2, 1)
    >>> network.layers(0, 1)(X).tolist() == [[1], [5]]
    True
    """
    eta, c = _numbers(eta, c)
    return _stack([[0, 0, eta], [eta, eta, eta]]), exact([[-c], [c * (eta + 4) / eta]])


def moved_difference(kappa: Number, theta: Number) -> tuple[ExactNetwork, np.ndarray, np.ndarray]:
    r"""One layer and tokens X, Z whose difference moves attention through ‖X‖ diam(Δ) alone.

    Width 3: queries read feature 1 (equal to 1/κ for both tokens), keys feature 2 (±κ/4, exchanged
    between X and Z), values feature 3 (±1/2). As κ → 0 the move of row 1 tends to tanh(θ/4), and
    with it the bound ``attention-lipschitz``, for every θ.

    Args:
        kappa: diam(Z − X), > 0.
        theta: Change of the logits, ≥ 0.

    Returns:
        The network, X and Z, both of shape (2, 3).

    Source:
        attention-lipschitz

    >>> network, X, Z = moved_difference("1/100", 1)
    >>> [str(x) for x in (Z - X)[1]]
    ['0', '1/200', '0']
    """
    kappa, theta = _numbers(kappa, theta)
    zero, one = 0 * kappa, 1 + 0 * kappa
    query, key = ([[[[w] for w in row]]] for row in ([one, zero, zero], [zero, theta, zero]))
    value = [[[[zero] * 3, [zero] * 3, [zero, zero, one]]]]
    network = ExactNetwork(exact(query), exact(key), exact(value))
    X, Z = (
        exact([[1 / kappa, -s, -one / 2], [1 / kappa, s, one / 2]]) for s in (-kappa / 4, kappa / 4)
    )
    return network, X, Z


def rotary_shift(delta: Number, r: Number) -> tuple[ExactNetwork, np.ndarray, np.ndarray]:
    r"""One layer with rotary positions and a common shift that the plain bound misses.

    Width 5: queries read features 1 and 2, keys features 3 and 4, values feature 5. Tokens are
    :math:`(0, 0, r, 0, \pm\tfrac12)`, and Z adds δ to feature 1 of both. Without positions all
    logits of a row stay equal. With them they come to differ by :math:`\delta r (1 - \cos 1)`.

    Args:
        delta: δ, the shift.
        r: Size of the keys.

    Returns:
        The network with base 10,000, X and Z, both of shape (2, 5).

    Source:
        attention-lipschitz

    >>> network, X, Z = rotary_shift("1/100", 400)
    >>> [str(x) for x in (Z - X)[0]]
    ['1/100', '0', '0', '0', '0']
    """
    delta, r = _numbers(delta, r)
    one, zero = 1 + 0 * delta, 0 * delta
    unit = [[one * (i == j) for j in range(5)] for i in range(5)]
    query, key = (exact([[[row[a:b] for row in unit]]]) for a, b in ((0, 2), (2, 4)))
    value = exact([[[[one * (i == j == 4) for j in range(5)] for i in range(5)]]])
    network = ExactNetwork(query, key, value, rope=10_000)
    X, Z = (
        exact([[shift, zero, r, zero, -one / 2], [shift, zero, r, zero, one / 2]])
        for shift in (zero, delta)
    )
    return network, X, Z


def width_missing(
    eta: Number, phi: Number, width: int, heads: int = 1, key_width: int = 1
) -> tuple[ExactNetwork, np.ndarray, np.ndarray]:
    r"""One layer with every weight equal to η, and tokens on which its width shows.

    .. math:: X = \varphi\,(\mathbf 1, -\mathbf 1)^\top: \quad
        \rho(A_1) = Hd\eta\varphi \tanh(d^2 d_k \eta^2 \varphi^2), \qquad
        \tilde X = \varphi\,(\mathbf 1, \mathbf 1)^\top: \quad
        \lVert X_1 \rVert_\infty = (1 + Hd\eta)\varphi .

    Args:
        eta: η, the weights.
        phi: φ, the size of the tokens.
        width: d ≥ 1.
        heads: H ≥ 1.
        key_width: d_k ≥ 1.

    Returns:
        The network with skip, X and X̃, both of shape (2, d).

    Raises:
        ValueError: If a size is not positive.

    Source:
        eps-counterexample, as25-eps

    >>> network, _, equal = width_missing("1/10", 10, width=3)
    >>> network.value_output.sum(), equal.max()
    (Fraction(9, 10), Fraction(10, 1))
    """
    for name, size in (("width", width), ("heads", heads), ("key_width", key_width)):
        require(size >= 1, name, "an integer >= 1", size)
    eta, phi = _numbers(eta, phi)
    query, value = (exact([[[[eta] * columns] * width] * heads]) for columns in (key_width, width))
    return (
        ExactNetwork(query, query, value),
        exact([[phi] * width, [-phi] * width]),
        exact([[phi] * width] * 2),
    )


def opposing_values(nu: Number, beta: Number, r: Number) -> Case:
    r"""One layer that pulls two tokens together as far as a layer with skip can.

    .. math:: V = -\nu,\; M = \beta,\; X = (-r, r)^\top: \qquad
        \mathrm{diam}(X_1) = |1 - \nu \tanh(\beta r^2)|\, \mathrm{diam}(X).

    Args:
        nu: ν ≥ 0.
        beta: β ≥ 0.
        r: Half the distance of the tokens.

    Returns:
        The network and X of shape (2, 1).

    Source:
        rank-survives

    >>> opposing_values(1, 1, 2)[1].ravel().tolist() == [-2, 2]
    True
    """
    nu, beta, r = _numbers(nu, beta, r)
    return _stack([[beta, 1, -nu]]), exact([[-r], [r]])


def causal_swap(eta: Number, t: Number) -> Confused:
    r"""Two layers of uniform causal attention, and two orders of the same tokens.

    Width 1, V = η. Row 3 is :math:`\pm \eta^2 t/3` on :math:`t(1, -1, 0)`, :math:`t(-1, 1, 0)`.

    Args:
        eta: η.
        t: Size of the tokens.

    Returns:
        The network and the two inputs, of shape (3, 1).

    Source:
        causal-floor

    >>> network, X, swapped = causal_swap(1, 3)
    >>> network(X)[2, 0], network(swapped)[2, 0]
    (Fraction(1, 1), Fraction(-1, 1))
    """
    eta, t = _numbers(eta, t)
    mask = torch.ones(3, 3, dtype=torch.bool).tril()
    network = _stack([[0, 0, eta], [0, 0, eta]], mask=mask)
    return network, exact([[t], [-t], [0 * t]]), exact([[-t], [t], [0 * t]])


def preln_lengths(eta: Number, short: Number, long: Number) -> Confused:
    r"""Two pre-normalised layers of uniform attention, and a token of two lengths.

    Width 2, V = ηI; the tokens are (1, 0) and (0, s), with s short or long.

    Args:
        eta: η.
        short: The length s.
        long: The length s'.

    Returns:
        The network and the two inputs, of shape (2, 2).

    Source:
        preln-floor

    >>> preln_lengths(1, 1, 2)[2].tolist() == [[1, 0], [0, 2]]
    True
    """
    eta, short, long = _numbers(eta, short, long)
    one, zero = 1 + 0 * eta, 0 * eta
    silent = exact([[[[zero], [zero]]]] * 2)
    value = exact([[[[eta, zero], [zero, eta]]]] * 2)
    network = ExactNetwork(silent, silent, value, norm="pre")
    X, longer = (exact([[one, zero], [zero, s]]) for s in (short, long))
    return network, X, longer


def four_cells(eta: Number, skip: int) -> Confused:
    r"""Two layers of width 1 with all weights η, with or without skips, and two inputs to confuse.

    .. math:: X = (0, 1, 0, -\tfrac12)^\top, \qquad \tilde X = (0, \tfrac12, \tfrac12,
        -\tfrac12)^\top

    have the same mean, and a zero token attends uniformly: row 1 of a one-layer network is the
    same on both, whatever its weights.

    Args:
        eta: η > 0; small and large are the two columns of the table.
        skip: 1 or 0.

    Returns:
        The network and the two inputs, of shape (4, 1).

    Raises:
        ValueError: If the skip is neither 0 nor 1.

    Source:
        as25-skip, rank-survives, one-layer-floor

    >>> four_cells(1, 1)[1].sum(), four_cells(1, 1)[2].sum()
    (Fraction(1, 2), Fraction(1, 2))
    """
    require(skip in (0, 1), "skip", "0 or 1", skip)
    (eta,) = _numbers(eta)
    half = (1 + 0 * eta) / 2
    X, other = (_tokens(*row) for row in ((0, 2, 0, -1), (0, 1, 1, -1)))
    return _stack([[eta, eta, eta]] * 2, skip=skip), X * half, other * half


def equal_outputs(eta: Number) -> Confused:
    r"""Two layers without skips whose output tokens are all equal, and yet not one layer's work.

    Width 1. Layer 1 has W_Q = W_K = η and V = 1, layer 2 averages. The two inputs are
    :math:`(0, 1, 0)^\top` and :math:`(0, \tfrac12, \tfrac12)^\top`; as η → ∞ the common output
    token tends to 5/9 and to 4/9.

    Args:
        eta: η > 0.

    Returns:
        The network and the two inputs, of shape (3, 1).

    Source:
        as25-skip, one-layer-floor

    >>> [str(x) for x in equal_outputs(1)[2].ravel()]
    ['0', '1/2', '1/2']
    """
    (eta,) = _numbers(eta)
    half = (1 + 0 * eta) / 2
    network = _stack([[eta, eta, 1], [0, 0, 1]], skip=0)
    return network, _tokens(0, 2, 0) * half, _tokens(0, 1, 1) * half


def _stack(layers: list[list[Any]], **options: Any) -> ExactNetwork:
    """A network of width 1 with one head, from W_Q, W_K and V of each layer."""
    zero = 0 * sum(sum(layer) for layer in layers)  # of the weights' number type
    query, key, value = (exact([[[[zero + layer[i]]]] for layer in layers]) for i in range(3))
    return ExactNetwork(query, key, value, **options)


def _tokens(*entries: int) -> np.ndarray:
    return np.array([[entry] for entry in entries], dtype=object)


def _numbers(*values: Number) -> tuple[Any, ...]:
    """Integers, floats and decimal strings as Fractions, anything else as it is."""
    return tuple(exact(list(values)))

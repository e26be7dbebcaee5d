r"""Floor 7. Networks and tokens that attain a rung's bound, or that one layer must confuse.

The floors' networks are arrays of Fractions, or of whatever numbers η and t are; their names are
those of the floors in :mod:`collapse.bounds.floors`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from collapse.attention import Network
from collapse.exact import ExactNetwork
from collapse.numeric import Number, exact, require

ONE = Fraction(1)


def scaled(network: Network, eta: Number) -> Network:
    """The network with all of W_Q, W_K and V multiplied by η: M by η², a slope of one a weight.

    Args:
        network: A Network or ExactNetwork without output factor.
        eta: A number, or for a Network also a tensor of shape (steps,), which becomes the first
            batch dimension.

    Returns:
        A network of the same class.

    Raises:
        ValueError: If the network has an output factor, which would scale V twice.

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> one = torch.ones(1, 1, 1, 1)
    >>> scaled(Network(one, one, one), torch.tensor([0.5, 2.0])).query_key.flatten()
    tensor([0.2500, 4.0000])
    """
    require(network.output is None, "output", "None", network.output)
    if isinstance(eta, torch.Tensor):
        eta = eta.reshape(*eta.shape, *[1] * network.query.ndim)
    parts = {name: getattr(network, name) * eta for name in ("query", "key", "value")}
    return network.replace(**parts)


def one_layer_floor(eta: Number = ONE, t: Number = ONE) -> tuple[ExactNetwork, np.ndarray]:
    r"""Two layers of width one, and two inputs with one mean and one zero token.

    The first layer has W_Q = W_K = 0; all other weights are η. The inputs are t(0, 1, 0) and
    t(0, ½, ½): from its zero token, one layer sees only the mean, t/3 in both.

    Args:
        eta: η ≥ 0, an exact number.
        t: Size of the tokens, ≥ 0, an exact number.

    Returns:
        The network, and the inputs, shape (2, 3, 1).

    Source:
        one-layer-floor

    >>> network, X = one_layer_floor(Fraction(1, 10))
    >>> network.depth, [str(entry) for entry in X[1].flatten()]
    (2, ['0', '1/2', '1/2'])
    """
    half = Fraction(1, 2)
    return _late(eta), exact([[[0], [1], [0]], [[0], [half], [half]]]) * t


def one_layer_floor_with_biases(
    eta: Number = ONE, t: Number = ONE
) -> tuple[ExactNetwork, np.ndarray]:
    """The same network, and three inputs whose second difference one layer cannot see.

    The inputs are t{0, 1, 1, 2}, t{0, 0, 1, 1} and t{0, 0, 0, 0}, with a zero token first. The
    first is the second added to itself, as multisets add.

    Args:
        eta: η ≥ 0, an exact number.
        t: Size of the tokens, ≥ 0, an exact number.

    Returns:
        The network, and the inputs, shape (3, 4, 1).

    Source:
        one-layer-floor

    >>> one_layer_floor_with_biases()[1].shape
    (3, 4, 1)
    """
    rows = [[0, 1, 1, 2], [0, 0, 1, 1], [0, 0, 0, 0]]
    return _late(eta), exact([[[x] for x in row] for row in rows]) * t


def one_head_floor(eta: Number = ONE, t: Number = ONE) -> tuple[ExactNetwork, np.ndarray]:
    r"""One layer with two opposite heads, :math:`S(X) = X + \\eta(P_+ - P_-)X`, on t(0, 1).

    Args:
        eta: η ≥ 0, an exact number.
        t: Size of the tokens, ≥ 0, an exact number.

    Returns:
        The network, with M = ±η² and V = ±η, and the tokens, shape (2, 1).

    Source:
        one-head-floor

    >>> network, X = one_head_floor(Fraction(1, 2))
    >>> [str(m) for m in network.query_key.flatten()]
    ['1/4', '-1/4']
    """
    signs = exact([[[[1]], [[-1]]]]) * eta
    return ExactNetwork(abs(signs), signs, signs), exact([[0], [1]]) * t


def wide_pair(high: int, low: int) -> tuple[ExactNetwork, np.ndarray]:
    r"""The network of :func:`one_layer_floor` at η = 1, and a pair of many tokens in [-1, 1].

    One input holds a zero token, ``high`` tokens 1 and ``low`` tokens -1; the other a zero token
    and, for all the rest, their mean. One variance is large, the other nearly zero.

    Args:
        high: Number of tokens 1, >= 1.
        low: Number of tokens -1, >= 0.

    Returns:
        The network, and the inputs, shape (2, 1 + high + low, 1).

    Raises:
        ValueError: If a number is out of range.

    Source:
        one-layer-floor

    >>> [str(row[1, 0]) for row in wide_pair(3, 1)[1]]
    ['1', '1/2']
    """
    require(high >= 1, "high", "an integer >= 1", high)
    require(low >= 0, "low", "an integer >= 0", low)
    mean = Fraction(high - low, high + low)
    rows: list[list[Any]] = [[0] + [1] * high + [-1] * low, [0] + [mean] * (high + low)]
    return _late(ONE), exact([[[x] for x in row] for row in rows])


def equal_tokens(layers: int = 3) -> tuple[Network, torch.Tensor]:
    """Equal tokens under positive values, which attain the bounds of rungs 0 and 1.

    Args:
        layers: L ≥ 1.

    Returns:
        A network of width one in float64, and the tokens, shape (2, 1).

    Source:
        rung-0, rung-1

    >>> equal_tokens(2)[0].depth
    2
    """
    weights = torch.full((layers, 1, 1, 1), 0.5, dtype=torch.float64)
    return Network(weights, weights, weights), torch.ones(2, 1, dtype=torch.float64)


def two_levels(high: int, n: int) -> tuple[Network, torch.Tensor]:
    r"""One layer that attains the bound of rung 2, at θ = 2 log((n − high)/high).

    The first ``high`` tokens are 1, the others −1, and M = θ/2 moves a row of attention from
    uniform as far as its oscillation θ allows.

    Args:
        high: Number of tokens that are 1, with 1 ≤ high < n/2.
        n: Number of tokens.

    Returns:
        A network of width one in float64, and the tokens, shape (n, 1).

    Raises:
        ValueError: Unless 1 ≤ high < n/2.

    Source:
        rung-2

    >>> network, X = two_levels(1, 10)
    >>> from collapse import collapse_bound
    >>> from collapse.rungs import surrogate
    >>> error = (network(X) - surrogate(network, 2)(X)).abs().max()
    >>> round(float(error / collapse_bound(network, X, 2).value), 9)
    1.0
    """
    require(1 <= high < n / 2, "high", "1 <= high < n/2", high)
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    signs = [1.0] * high + [-1.0] * (n - high)
    network = Network(one * math.log((n - high) / high), one, one)
    return network, torch.tensor(signs, dtype=torch.float64)[:, None]


def moved_logits(r: float = 1e-4) -> tuple[Network, torch.Tensor]:
    """Two layers that attain the bound of rung 3 by moving the logits, for r → 0 in every norm.

    The first layer has W_Q = W_K = 0 and adds the same to both tokens (1, ±r). The second turns
    that into logits, and reads only the second feature.

    Args:
        r: Half the distance of the tokens, > 0.

    Returns:
        A network of width two in float64, and the tokens, shape (2, 2).

    Raises:
        ValueError: If r is not positive.

    Source:
        rung-3

    >>> moved_logits()[1].shape
    torch.Size([2, 2])
    """
    require(r > 0, "r", "a number > 0", r)
    query = _stack([[0.0], [0.0]], [[1.0], [0.0]])
    key = _stack([[0.0], [0.0]], [[0.0], [1.0]])
    value = _stack([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]])
    return Network(query, key, value), torch.tensor([[1.0, r], [1.0, -r]], dtype=torch.float64)


def one_apart(n: int) -> tuple[Network, torch.Tensor]:
    r"""Two layers that come within 1/n of the bound of rung 3 by moving one token of many.

    One token is c + 1, the others c − 1, with c such that the first layer keeps them apart as much
    as it can. The second layer has W_Q = W_K = 0: it averages where rung 3 copies.

    Args:
        n: Number of tokens, ≥ 2.

    Returns:
        A network of width one in float64, and the tokens, shape (n, 1).

    Raises:
        ValueError: If n < 2.

    Source:
        rung-3

    >>> one_apart(3)[1].flatten().tolist()[1:] == [one_apart(3)[1][1].item()] * 2
    True
    """
    require(n >= 2, "n", "a number of tokens >= 2", n)
    first, both = _stack([[1.0]], [[0.0]]), _stack([[1.0]], [[1.0]])
    X = torch.full((n, 1), math.log(n - 1) / 2 - 1, dtype=torch.float64)
    X[0] += 2
    return Network(first, first, both), X


def _late(eta: Number) -> ExactNetwork:
    """Two layers of width one, all weights η, but no logits in the first."""
    zero_one: Any = exact([[[[0]]], [[[1]]]])
    return ExactNetwork(zero_one * eta, zero_one * eta, exact([[[[1]]], [[[1]]]]) * eta)


def _stack(*layers: list[list[float]]) -> torch.Tensor:
    return torch.tensor([[layer] for layer in layers], dtype=torch.float64)

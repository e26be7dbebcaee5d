"""Trials of chapter 3: attention without skips, layer after layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from collapse import numeric
from collapse.attention import Network
from collapse.bounds import contraction_bound
from collapse.bounds.certificates import network_sizes
from collapse.bounds.contraction import contraction_factor
from collapse.norms import diameter, query_key_norm, residual_norm, token_norm
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    ALL,
    BALLS,
    FLOATS,
    base,
    causal,
    identity,
    network,
    shapes,
)

Pair = tuple[Number, Number]
PAIR = shapes(layers=1, heads=1, width=1, key_width=1, tokens=2)
PLANE = shapes(layers=1, heads=2, width=2, key_width=2, tokens=3)
DEEP = shapes(layers=6, heads=2, width=3, key_width=3, tokens=4)


def layers(
    query: Number, key: Number, value: Number, X: Number, over: int = 1, **options: Any
) -> Case:
    """Attention without skip on any tokens; ``over`` makes random logits weaker."""
    return {"network": network(query / over, key, value, **{"skip": 0, **options}), "X": X}


def rotary(query: Number, key: Number, value: Number, X: Number, over: int = 1) -> Case:
    """The same with rotary positions."""
    return layers(query, key, value, X, over, rope=base(query))


# --- contraction, as25-lem-5.1, norm-choice ------------------------------------------------------


def _contracted(network: Network, X: Number, p: float = math.inf) -> Pair:
    return diameter(network(X), p), contraction_bound(network, X, p).value


def _near(build: Callable[..., Case], X: Number, **weights: Number) -> Case:
    """Tokens nearer to each other than to zero, and weak logits."""
    first = X[..., :1, :]
    return build(**weights, X=first + (X - first) / 16, over=256)


def _as_if_plain(network: Network, X: Number) -> Pair:
    """The factor of plain attention where there is a mask, or there are positions."""
    plain = network.replace(mask=None, rope=None)
    return diameter(network(X)), contraction_bound(plain, X).value


def _every_layer(network: Network, X: Number, mask: Any = None) -> Pair:
    """The largest quotient of a diameter and its bound, over the layers, against 1.

    A mask acts on the tokens alone: the factor does not know of it.
    """
    sizes, steps = network_sizes(network, X.shape[-2]), network.replace(mask=mask).trace(X)
    largest = 0 * token_norm(X)
    for layer in range(network.depth):
        before, after = (diameter(steps[..., layer + k, :, :]) for k in (0, 1))
        factor = contraction_factor(sizes, layer, 0 * before, before)
        largest = numeric.maximum(largest, after / (factor * before))
    return largest, 1 + 0 * largest


def _residuals(network: Network, X: Number) -> Pair:
    rho = residual_norm(X)
    factor = contraction_factor(network_sizes(network, X.shape[-2]), 0, 0 * rho, 2 * rho)
    return residual_norm(network(X)), factor * rho


def _bilinear(u: Number, M: Number, v: Number, p: float) -> Pair:
    product = (u @ M @ v.swapaxes(-1, -2))[..., 0, 0]
    return product, token_norm(u, p) * query_key_norm(M, p) * token_norm(v, p)


def _weak_logits(M: Number, X: Number) -> Case:
    """One head with V = I and logits so weak that tanh is all but linear."""
    one = identity(M.shape[-1], M)[None, None] + 0 * M[..., None, None, :, :]
    return layers(M[..., None, None, :, :], one, one, X, over=64)


def _factor(network: Network, X: Number, p: float) -> Number:
    D = diameter(X, p)
    return contraction_factor(network_sizes(network, X.shape[-2], p), 0, 0 * D, D)


def _not_least(network: Network, X: Number, p: float, others: tuple[float, ...]) -> Pair:
    """That some other norm has a factor no larger: false for some tokens and weights."""
    least = _factor(network, X, others[0])
    for other in others[1:]:
        least = numeric.minimum(least, _factor(network, X, other))
    return least, _factor(network, X, p)


_NORMS = (("p = 1", 1, ALL), ("p = 2", 2, FLOATS), ("p = inf", math.inf, ALL))

_OTHER = (
    ("causal mask", shapes(1, 1, 1, 1, tokens=3), partial(layers, mask=causal(3))),
    ("rotary positions", shapes(1, 1, 2, 2, tokens=2), rotary),
)

TRIALS: tuple[Trial, ...] = (
    *(
        Trial(
            "contraction",
            f"two tokens, {name}",
            PAIR,
            layers,
            partial(_contracted, p=p),
            sharp=True,
            kinds=kinds,
        )
        for name, p, kinds in _NORMS
    ),
    *(
        Trial(
            "contraction",
            f"three tokens, two heads, {name}",
            PLANE,
            layers,
            partial(_contracted, p=p),
            sharp=True,
            kinds=kinds,
        )
        for name, p, kinds in _NORMS
    ),
    *(
        Trial("contraction", name, free, build, _contracted, sharp=True)
        for name, free, build in _OTHER
    ),
    *(
        Trial(
            "contraction",
            f"the plain factor, {name}",
            free,
            partial(_near, build),
            _as_if_plain,
            holds=False,
            control=_contracted,
            dropped="the factor for a mask or positions, which is true: nothing may be found",
        )
        for name, free, build in _OTHER
    ),
    Trial(
        "contraction",
        "six layers of two heads",
        DEEP,
        partial(layers, over=4),
        _every_layer,
        control=partial(_every_layer, mask=causal(4)),
        dropped="a causal mask that the factor does not know of",
        kinds=BALLS,
    ),
    Trial("as25-lem-5.1", "three tokens, two heads", PLANE, layers, _residuals, sharp=True),
    *(
        Trial(
            "norm-choice",
            f"the norm of M, {name}",
            {"u": (1, 3), "M": (3, 3), "v": (1, 3)},
            dict,
            partial(_bilinear, p=p),
            sharp=True,
            kinds=kinds,
        )
        for name, p, kinds in _NORMS
    ),
    *(
        Trial(
            "norm-choice",
            f"{name} never the least",
            {"M": (2, 2), "X": (3, 2)},
            _weak_logits,
            partial(_not_least, p=p, others=tuple(q for _, q, _ in _NORMS if q != p)),
            holds=False,
            limit=2,
            kinds=FLOATS,
        )
        for name, p, _ in _NORMS
    ),
    *(
        Trial(
            "norm-choice",
            f"p = {p} no better than p = {q}",
            {"M": (2, 2), "X": (2, 2)},
            _weak_logits,
            partial(_not_least, p=p, others=(q,)),
            holds=False,
            limit=4,
        )
        for p, q in ((1, math.inf), (math.inf, 1))
    ),
)

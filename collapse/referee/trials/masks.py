"""Trials of chapter 8, masks and components: products of attention matrices on a graph."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from collapse import masks
from collapse.attention import Network
from collapse.blocks import MLP
from collapse.bounds import contraction_bound
from collapse.bounds.certificates import network_sizes
from collapse.bounds.masked import averaging_error, centre_factors, least_weight, walk_factors
from collapse.norms import diameter, residual, token_norm
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    ALL,
    IDENTITY,
    any_network,
    constant,
    equal,
    inner,
    network,
    shapes,
    stochastic,
)

Pair = tuple[Number, Number]


# --- masked-collapse, masked-walk ----------------------------------------------------------------


def _on_graph(w: Number, size: Number, mask: torch.Tensor) -> Case:
    """Row-stochastic matrices with at least ε on every edge, ε anywhere up to 1/deg."""
    edges = constant(mask.int().numpy(), w)
    degree = int(mask.sum(-1).max())
    epsilon = inner(size)[..., None, None] / degree
    free = stochastic(w) * edges
    free = free / free.sum(-1, keepdims=True)
    seen = edges.sum(-1)[:, None]
    return {"P": epsilon * edges + (1 - epsilon * seen) * free, "epsilon": epsilon[..., 0, 0]}


def _product(P: Number) -> Number:
    """P_t ⋯ P_1, layer 1 first along the axis before the matrices."""
    whole = P[..., 0, :, :]
    for layer in range(1, P.shape[-3]):
        whole = P[..., layer, :, :] @ whole
    return whole


def _met(P: Number, epsilon: Number, count: int, steps: int) -> Pair:
    """What the bound says must have met, 1 − factor, against what has, 1 − τ."""
    floors = [epsilon[..., 0] if hasattr(epsilon, "shape") else epsilon] * P.shape[-3]
    (*_, factor) = centre_factors(floors, count, steps)
    return 1 - factor, 1 - diameter(_product(P), 1) / 2


def _walked(P: Number, epsilon: Number, longest: int) -> Pair:
    floors = [epsilon[..., 0] if hasattr(epsilon, "shape") else epsilon] * P.shape[-3]
    (*_, factor) = walk_factors(floors, longest)
    return 1 - factor, 1 - diameter(_product(P), 1) / 2


def _masked(network: Network, X: Number, count: int, steps: int) -> Pair:
    """The diameter of a deep network, and its bound from the weights alone."""
    sizes, phi, bound = network_sizes(network, X.shape[-2]), token_norm(X), diameter(X)
    assert network.mask is not None
    visible, grown, floors = int(network.mask.sum(-1).max()), 1, []
    for layer in range(network.depth):
        # Under a mask attention never spreads tokens: ν alone bounds size and diameter.
        theta = sizes.query_key[..., layer, 0] * phi * diameter(X) * grown * grown
        floors.append(least_weight(theta, visible))
        grown = grown * sizes.head_value[..., layer, 0]
    (*_, factor) = centre_factors(floors, count, steps)
    return diameter(network(X)), factor * grown * bound


# --- masked-rate ---------------------------------------------------------------------------------


def _from_average(network: Network, X: Number, mask: Any = None) -> Pair:
    """The distance of attention from averaging, what each row sees or what another mask shows."""
    shown = network.mask if mask is None else mask
    assert shown is not None
    seen = constant(shown.int().numpy(), X)
    P = seen / seen.sum(-1)[:, None]
    average = P @ X @ network.value_output.sum(-3)[..., 0, :, :]
    sizes = network_sizes(network, X.shape[-2])
    return token_norm(network(X) - average), averaging_error(sizes, 0, token_norm(X), diameter(X))


# --- d21-skips, d21-mlp --------------------------------------------------------------------------


def _uniform(value: Number, X: Number, key: Number, over: int = 1) -> Case:
    """Queries zero, so that attention is uniform: any keys, any values, skips."""
    return {"network": network(0 * key, key, value), "X": X, "key": key / over}


def _unmoved(network: Network, X: Number, key: Number) -> Pair:
    return equal(residual(network(X)), residual(X))


def _asked(network: Network, X: Number, key: Number) -> Pair:
    return _unmoved(network.replace(query=key), X, key)


def _block(query: Number, key: Number, value: Number, X: Number, **parts: Number) -> Case:
    return {"network": network(query, key, value, skip=0), "X": X, "mlp": MLP(**parts)}


def _after_block(network: Network, X: Number, mlp: MLP) -> Pair:
    bound = contraction_bound(network, X).value * mlp.lipschitz()[..., 0]
    return diameter(mlp(network(X), 0)), bound


_PRODUCTS = (
    ("complete, two layers", masks.complete(3), 2, 3, 1),
    ("sliding window, two layers", masks.sliding_window(3, 1), 2, 1, 1),
    ("one-sided window, two layers", masks.one_sided_window(3, 1), 2, 1, 2),
)
_WALKS = (
    ("three tokens, three layers", masks.one_sided_window(3, 1), 3, 2),
    ("four tokens, five layers", masks.one_sided_window(4, 1), 5, 3),
)
_SMALL = shapes(layers=2, heads=1, width=1, key_width=1, tokens=3)

TRIALS: tuple[Trial, ...] = (
    *(
        Trial(
            "masked-collapse",
            name,
            {"w": (layers, *mask.shape), "size": (1,)},
            partial(_on_graph, mask=mask),
            partial(_met, count=count, steps=steps),
            sharp=True,
        )
        for name, mask, layers, count, steps in _PRODUCTS
    ),
    Trial(
        "masked-collapse",
        "a network, one-sided window",
        _SMALL,
        partial(any_network, over=4, skip=0, mask=masks.one_sided_window(3, 1)),
        partial(_masked, count=1, steps=2),
        control=partial(_masked, count=3, steps=2),
        dropped="three centres where there is one",
    ),
    *(
        Trial(
            "masked-walk",
            name,
            {"w": (layers, *mask.shape), "size": (1,)},
            partial(_on_graph, mask=mask),
            partial(_walked, longest=longest),
            sharp=True,
        )
        for name, mask, layers, longest in _WALKS
    ),
    Trial(
        "masked-walk",
        "causal, two layers",
        {"w": (2, 3, 3), "size": (1,)},
        partial(_on_graph, mask=masks.causal(3)),
        partial(_walked, longest=2),
        control=partial(_met, count=2, steps=1),
        dropped="two centres where the mask has one",
    ),
    Trial(
        "masked-rate",
        "two causal tokens",
        shapes(layers=1, heads=1, width=1, key_width=1, tokens=2),
        partial(any_network, skip=0, mask=masks.causal(2)),
        _from_average,
        sharp=True,
    ),
    Trial(
        "masked-rate",
        "sliding window, two heads",
        shapes(layers=1, heads=2, width=2, key_width=2, tokens=4),
        partial(any_network, over=4, skip=0, mask=masks.sliding_window(4, 1)),
        _from_average,
        control=partial(_from_average, mask=masks.causal(4)),
        dropped="the averages of another mask",
    ),
    Trial(
        "d21-skips",
        "two layers of two heads",
        {"value": (2, 2, 2, 2), "X": (3, 2), "key": (2, 2, 2, 2)},
        _uniform,
        _unmoved,
        control=_asked,
        dropped="W_Q = 0",
        kinds=IDENTITY,
    ),
    Trial(
        "d21-mlp",
        "two tokens, hidden width two",
        shapes(layers=1, heads=1, width=1, key_width=1, tokens=2)
        | {"inner": (1, 1, 2), "bias": (1, 2), "outer": (1, 2, 1)},
        _block,
        _after_block,
        sharp=True,
        kinds=ALL,
    ),
)

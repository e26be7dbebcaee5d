"""Trials of the floors of chapters 4 and 5: no one-layer network comes nearer than this."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np

from collapse.attention import Network
from collapse.bounds.floors import (
    causal_floor,
    one_head_floor,
    one_layer_floor,
    one_layer_floor_with_biases,
    preln_floor,
)
from collapse.norms import token_norm
from collapse.numeric import Number, amax, expm1, maximum
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import BALLS, causal, constant, network, number, shapes, times
from collapse.rungs import surrogate

Inputs = Sequence[Number]


def _worst(deep: Network, shallow: Network, inputs: Inputs, features: int) -> Number:
    """The largest error on any of the inputs, in the first features of the tokens."""
    errors = (token_norm((deep(X) - shallow(X))[..., :features]) for X in inputs)
    return reduce(maximum, errors)


def _missed(
    deep: Network, shallow: Network, inputs: Inputs, floor: Number, features: int = 1
) -> tuple[Number, Number]:
    return floor, _worst(deep, shallow, inputs, features)


def _itself(
    deep: Network, shallow: Network, inputs: Inputs, floor: Number, features: int = 1
) -> tuple[Number, Number]:
    """Control: the deep network imitates itself."""
    return floor, _worst(deep, deep, inputs, features)


def _sizes(*roots: Number) -> tuple[Number, ...]:
    """Numbers ≥ 0: squares of free ones."""
    return tuple(number(root * root) for root in roots)


_DEPTH = "that S' has one layer"

# --- one-layer-floor, as25-thm-5.3 ---------------------------------------------------------------


def _late(eta: Number) -> Network:
    """Two layers of width one with all weights η, but no logits in the first."""
    logits, value = (times(eta, [[[[x]]] for x in column]) for column in ((0, 1), (1, 1)))
    return network(logits, logits, value)


def _one_mean(t: Number) -> tuple[Number, Number]:
    """Two inputs with one mean and a zero token."""
    return times(t, [[0], [2], [0]], 2), times(t, [[0], [1], [1]], 2)


def _one_layer(eta: Number, t: Number, query: Number, key: Number, value: Number) -> Case:
    eta, t = _sizes(eta, t)
    shallow = network(query, key, value)
    floor = one_layer_floor(eta, t)
    return {"deep": _late(eta), "shallow": shallow, "inputs": _one_mean(t), "floor": floor}


def _followed(polynomial: Number, **free: Number) -> Case:
    """One layer of one head, and a cubic polynomial of every token behind it."""
    case = dict(_one_layer(**free))
    layer, a = case["shallow"], polynomial[..., None, None]

    def shallow(X: Number) -> Number:
        Y = layer(X)
        return (
            Y
            + a[..., 0, :, :]
            + Y * (a[..., 1, :, :] + Y * (a[..., 2, :, :] + Y * a[..., 3, :, :]))
        )

    return case | {"shallow": shallow}


def _biased(eta: Number, t: Number, query: Number, key: Number, value: Number) -> Case:
    """Tokens with a second feature 1, which gives S' biases everywhere."""
    eta, t = _sizes(eta, t)
    rows = ((0, 1, 1, 2), (0, 0, 1, 1), (0, 0, 0, 0))
    inputs = tuple(times(t, [[x, 0] for x in row]) + constant([[0, 1]] * 4, query) for row in rows)
    logits = times(eta, [[[[0], [0]]], [[[1], [0]]]])
    deep = network(logits, logits, times(eta, [[[[1, 0], [0, 0]]]] * 2))
    floor = one_layer_floor_with_biases(eta, t)
    return {
        "deep": deep,
        "shallow": network(query, key, value),
        "inputs": inputs,
        "floor": floor,
    }


def _large(eta: Number, t: Number, **weights: Number) -> Case:
    """Inputs so large that the floor is near a quarter of η for every unit of them."""
    root = (1 + eta * eta) / 2  # of η, so that no input is infinite
    size = (4 + t * t) / (root * root * root)
    eta, t = number(root * root), number(size)
    x = eta * eta * eta * t * t / 6
    shallow = network(**weights)
    floor = -expm1(-x) * eta * t / 4
    return {"deep": _late(eta), "shallow": shallow, "inputs": _one_mean(t), "floor": floor}


_ETA_T: dict[str, tuple[int, ...]] = {"eta": (1,), "t": (1,)}
_ONE_LAYER = (
    Trial("one-layer-floor", "any layer of three heads", _ETA_T | shapes(1, 3, 1, 1),
          _one_layer, _missed, sharp=True, control=_itself, dropped=_DEPTH),
    Trial("one-layer-floor", "a token-wise map behind",
          _ETA_T | {"polynomial": (4,)} | shapes(1, 1, 1, 1), _followed, _missed, sharp=True,
          control=_itself, dropped=_DEPTH),
    Trial("one-layer-floor", "biases everywhere", _ETA_T | shapes(1, 3, 2, 2),
          _biased, _missed, sharp=True, control=_itself, dropped=_DEPTH),
    Trial("as25-thm-5.3", "no layer beats the order η", _ETA_T | shapes(1, 2, 1, 1),
          _large, _missed, sharp=True, control=_itself, dropped=_DEPTH),
)  # fmt: skip

# --- one-head-floor ------------------------------------------------------------------------------


def _one_head(eta: Number, t: Number, query: Number, key: Number, value: Number) -> Case:
    """Two opposite heads, and one head to imitate them."""
    eta, t = _sizes(eta, t)
    same, signs = (times(eta, [[[[1]], [[sign]]]]) for sign in (1, -1))
    return {
        "deep": network(same, signs, signs),
        "shallow": network(query, key, value),
        "inputs": (times(t, [[0], [1]]),),
        "floor": one_head_floor(eta, t),
    }


_ONE_HEAD = Trial(
    "one-head-floor", "any head", _ETA_T | shapes(1, 1, 1, 1), _one_head, _missed, sharp=True,
    control=_itself, dropped="that S' has one head",
)  # fmt: skip

# --- causal-floor --------------------------------------------------------------------------------


def _causal(
    eta: Number, t: Number, mean: Number, query: Number, key: Number, value: Number
) -> Case:
    """Two layers of uniform causal attention on two orders of the same tokens.

    Two tokens are moved alike, so that what one layer makes of their mean must be right, too.
    """
    eta, t = _sizes(eta, t)
    common = times(number(mean), [[1], [1], [0]])
    silent, uniform = (times(eta, [[[[x]]]] * 2) for x in (0, 1))
    return {
        "deep": network(silent, silent, uniform, mask=causal(3)),
        "shallow": network(query, key, value, mask=causal(3)),
        "inputs": tuple(common + times(t, [[sign], [-sign], [0]]) for sign in (1, -1)),
        "floor": causal_floor(eta, t),
    }


def _half_gap(deep: Network, inputs: Inputs, rows: Any) -> Number:
    """Half of how far two outputs are apart, in rows that one layer cannot tell apart."""
    gap = abs(deep(inputs[0]) - deep(inputs[1]))[..., rows, :]
    return amax(amax(gap, -1), -1) / 2


def _swapped(query: Number, key: Number, value: Number, X: Number) -> Case:
    """Any causal network, two early tokens exchanged, and rung 1."""
    weights = (w / 4 for w in (query, key, value))
    deep = network(*weights, mask=causal(X.shape[-2]))
    inputs = (X, X[..., [1, 0, *range(2, X.shape[-2])], :])
    floor = _half_gap(deep, inputs, slice(2, None))
    return {"deep": deep, "shallow": surrogate(deep, 1), "inputs": inputs, "floor": floor}


_CAUSAL = (
    Trial("causal-floor", "any layer of one head", _ETA_T | {"mean": (1,)} | shapes(1, 1, 1, 1),
          _causal, _missed, sharp=True, control=_itself, dropped=_DEPTH),
    Trial("causal-floor", "six layers, tokens exchanged", shapes(6, 2, 3, 2, tokens=4), _swapped,
          partial(_missed, features=3), control=partial(_itself, features=3), dropped=_DEPTH,
          kinds=BALLS),
)  # fmt: skip

# --- preln-floor ---------------------------------------------------------------------------------


def _preln(eta: Number, lengths: Number, query: Number, key: Number, value: Number) -> Case:
    """Two pre-normalised layers of uniform attention, and a token of two lengths."""
    (eta,) = _sizes(eta)
    positive = (1 + lengths * lengths) / 8
    first, short, more = (positive[..., i] for i in range(3))
    long = short + more
    silent = times(eta, [[[[0], [0]]]] * 2)
    inputs = tuple(
        times(first, [[1, 0], [0, 0]]) + times(size, [[0, 0], [0, 1]]) for size in (short, long)
    )
    return {
        "deep": network(silent, silent, times(eta, [[np.eye(2, dtype=int)]] * 2), norm="pre"),
        "shallow": network(query, key, value, norm="pre"),
        "inputs": inputs,
        "floor": preln_floor(eta, short, long),
    }


def _stretched(query: Number, key: Number, value: Number, X: Number, factors: Number) -> Case:
    """Any pre-normalised network, all tokens but the first made longer, and one even head."""
    weights = (w / 4 for w in (query, key, value))
    deep = network(*weights, norm="pre")
    others = constant([[int(i > 0)] for i in range(X.shape[-2])], X)
    inputs = (X, X * (1 + others * (factors * factors)[..., :, None]))
    floor = _half_gap(deep, inputs, slice(0, 1))
    return {"deep": deep, "shallow": surrogate(deep, 2), "inputs": inputs, "floor": floor}


_PRELN = (
    Trial("preln-floor", "any layer of one head", {"eta": (1,), "lengths": (3,)}
          | shapes(1, 1, 2, 1), _preln, partial(_missed, features=2), sharp=True,
          control=partial(_itself, features=2), dropped=_DEPTH),
    Trial("preln-floor", "six layers, tokens stretched",
          shapes(6, 2, 3, 2, tokens=4) | {"factors": (4,)}, _stretched,
          partial(_missed, features=3), control=partial(_itself, features=3), dropped=_DEPTH,
          kinds=BALLS),
)  # fmt: skip

TRIALS: tuple[Trial, ...] = (*_ONE_LAYER, _ONE_HEAD, *_CAUSAL, *_PRELN)

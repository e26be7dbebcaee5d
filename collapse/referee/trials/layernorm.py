"""Trials of chapter 8 on normalised rows: hemispheres, equilibria, two tokens, one-layer twins."""

from __future__ import annotations

import itertools
from functools import partial, reduce
from typing import Any

import numpy as np
import torch

from collapse.attention import Network
from collapse.bounds.equilibria import group_values, two_token_step
from collapse.bounds.ladder import Sizes
from collapse.bounds.normalised import (
    hemisphere_factors,
    postln_causal_floor,
    postln_collapse,
    preln_collapse,
    stretched_factor,
)
from collapse.kernels import unit_rows
from collapse.layernorm import normalised_bound, normalised_layer
from collapse.norms import token_norm
from collapse.numeric import Number, amax, amin, maximum, sqrt
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    FLOATS,
    IDENTITY,
    agree,
    any_network,
    causal,
    constant,
    identity,
    join,
    network,
    number,
    shapes,
    times,
)

Pair = tuple[Number, Number]
SWAP = torch.tensor([[False, True, False], [True, False, False], [True, True, False]])
WINDOW = torch.tensor([[True, False, False], [True, True, False], [False, True, True]])


def _spread(X: Number) -> Number:
    """Square of diam₂: no root, so that balls need not decide that a distance is not negative."""
    pairs = itertools.combinations(range(X.shape[-2]), 2)
    gaps = (X[..., i, :] - X[..., j, :] for i, j in pairs)
    return reduce(maximum, ((gap * gap).sum(-1) for gap in gaps))


def _raised(Y: Number) -> Number:
    """Points of the plane at distance 1 from 0, as vectors (y, 1)."""
    return join(Y, 1 + 0 * Y[..., :1])


def _matrix(rows: list[list[Number]]) -> Number:
    if isinstance(rows[0][0], torch.Tensor):
        return torch.stack([torch.stack(row, -1) for row in rows], -2)
    return np.array(rows, dtype=object)


def _rotation(t: Number) -> Number:
    """A rotation of the plane, rational in t."""
    t = number(t)
    scale = 1 + t * t
    cos, sin = (1 - t * t) / scale, 2 * t / scale
    return _matrix([[cos, sin], [-sin, cos]])


def _layers(weight: Number, depth: int) -> Number:
    """The same matrix as the one head of every layer."""
    weight = weight[..., None, None, :, :]
    one = constant(np.ones((depth, 1, 1, 1), int), weight)
    return weight * one


def _heads(b: Number, V: Number, depth: int, **options: Any) -> Network:
    """M = bI and V, in every layer, without skip and with normalised rows."""
    one = identity(2, V)
    b = b[..., None, None] if isinstance(b, torch.Tensor) else b
    parts = (_layers(w + 0 * V, depth) for w in (b * one, one, V))
    return network(*parts, **{"skip": 0, "norm": "row", **options})


# --- ln-orthogonal -------------------------------------------------------------------------------


def _hemisphere(b: Number, turn: Number, Y: Number, mask: torch.Tensor, depth: int) -> Case:
    b, Y = number(b), _raised(Y)
    return {"layers": _heads(b, _rotation(turn), depth, mask=mask), "beta": abs(b), "Y": Y}


def _met(layers: Network, beta: Number, Y: Number, steps: int, mask: Any = None) -> Pair:
    """Squares of the diameter after all layers and of its bound; a control has another mask."""
    visible = int(layers.mask.sum(-1).max()) if layers.mask is not None else Y.shape[-2]
    height = amin(1 / sqrt((Y * Y).sum(-1)), -1)
    factors = hemisphere_factors(beta, visible, height, layers.depth, 1, steps)
    if mask is not None:
        layers = layers.replace(mask=mask)
    return _spread(layers(unit_rows(Y))), factors[-1] * factors[-1] * _spread(Y)


_PLANE = {"b": (1,), "turn": (1,), "Y": (3, 1)}
_ORTHOGONAL = tuple(
    Trial("ln-orthogonal", name, _PLANE, partial(_hemisphere, mask=mask, depth=depth),
          partial(_met, steps=steps), control=partial(_met, steps=steps, mask=SWAP),
          dropped="the self-loops: two tokens swap")
    for name, mask, depth, steps in (
        ("causal mask, four layers", causal(3), 4, 1), ("a window of one, six layers", WINDOW, 6, 2)
    )
)  # fmt: skip

# --- ln-contraction ------------------------------------------------------------------------------


def _stretched(b: Number, stretch: Number, before: Number, after: Number, Y: Number) -> Case:
    """V with singular values 1 and κ between two rotations."""
    b, kappa, Y = number(b * b), 1 + number(stretch * stretch), _raised(Y)
    values = _matrix([[1 + 0 * kappa, 0 * kappa], [0 * kappa, kappa]])
    V = _rotation(before) @ values @ _rotation(after)
    inverse = _rotation(-after) @ _matrix(
        [[1 + 0 * kappa, 0 * kappa], [0 * kappa, 1 / kappa]]
    ) @ _rotation(-before)  # fmt: skip
    axis = inverse[..., :, 1]  # V⁻¹ a, of the heights of the averages after V
    return {"layers": _heads(b, V, 1), "beta": b, "kappa": kappa, "Y": Y, "axis": axis}


def _widened(
    layers: Network, beta: Number, kappa: Number, Y: Number, axis: Number, known: bool = True
) -> Pair:
    """Squares of the projected diameter after a layer and of its bound."""
    X = unit_rows(Y)
    Z = layers(X)
    heights = (Z * axis[..., None, :]).sum(-1)[..., None]
    wide = _spread(Z / heights) * (axis * axis).sum(-1)
    factor = stretched_factor(beta, sqrt(_spread(X)), kappa if known else 1)
    return wide, factor * factor * _spread(Y)


_CONTRACTION = tuple(
    Trial("ln-contraction", name, {**dict.fromkeys(("b", "stretch", "before", "after"), (1,)),
          "Y": (n, 1)}, _stretched, _widened, sharp=n == 2,
          control=None if n == 2 else partial(_widened, known=False),
          dropped="the bound is lowered by 1 %" if n == 2 else "the condition number of V")
    for name, n in (("two tokens", 2), ("three tokens", 3))
)  # fmt: skip

# --- ln-equilibria -------------------------------------------------------------------------------


def _grouped(b: Number, groups: tuple[int, ...], sign: int) -> Case:
    """The equilibrium of groups of tokens, |b| at least 1/8."""
    b = sign * (1 + 8 * number(b * b)) / 8
    V, k = _matrix(group_values(groups, b)), len(groups)
    one = identity(k, V)
    rows = [g for g, size in enumerate(groups) for _ in range(size)]
    b = b[..., None, None] if isinstance(b, torch.Tensor) else b
    parts = (_layers(w + 0 * V, 1) for w in (b * one, one, V))
    return {"layer": network(*parts, skip=0, norm="row"), "X": one[rows, :] + 0 * V[..., :1, :1]}


def _at_rest(layer: Network, X: Number, V: int = 1) -> Pair:
    """That a layer gives the tokens back; a control leaves out V."""
    if not V:
        layer = layer.replace(value=layer.value * 0 + identity(layer.width, X))
    return agree(layer(X), X)


def _together(b: Number, s: Number, k: int, sign: int) -> Case:
    """All groups moved towards each other alike."""
    case = _grouped(b, (1,) * k, sign)
    share = number(s * s) / (1 + number(s * s))
    share = share[..., None, None] if isinstance(share, torch.Tensor) else share
    X = case["X"]
    return {"layer": case["layer"], "X": unit_rows(X + share * (X * 0 + 1 - X))}


def _nearer(layer: Network, X: Number) -> Pair:
    """Squared distances of the tokens, after and before a layer."""
    return _spread(layer(X)), _spread(X)


_WORDS = ((1, "b > 0"), (-1, "b < 0"))
_EQUILIBRIA = (
    *(Trial("ln-equilibria", f"groups of 2, 1 and 1, {words}", {"b": (1,)},
            partial(_grouped, groups=(2, 1, 1), sign=sign), _at_rest,
            control=partial(_at_rest, V=0), dropped="V, which is put at I", kinds=IDENTITY)
      for sign, words in _WORDS),
    *(Trial("ln-equilibria", f"three groups approach for good, {words}", {"b": (1,), "s": (1,)},
            partial(_together, k=3, sign=sign), _nearer, sharp=True) for sign, words in _WORDS),
)  # fmt: skip

# --- ln-two-token --------------------------------------------------------------------------------


def _slopes(h: Number, t: Number, side: int) -> Case:
    """A w with a rational √(w² − 1), and a slope above it or below."""
    h = 1 / (1 + number(h * h)) * 15 / 16  # in (0, 15/16]
    t = (1 + 16 * number(t * t)) / 16
    w, edge = (1 + h * h) / (2 * h), (1 - h * h) / (2 * h)
    return {"w": w, "edge": edge, "s": edge + side * t}


def _falls(w: Number, edge: Number, s: Number, rises: bool = False) -> Pair:
    """The distance to the second limit, after and before a layer."""
    after, before = abs(two_token_step(s, w) + edge), abs(s + edge)
    return (before, after) if rises else (after, before)


def _escapes(w: Number, edge: Number, s: Number) -> Pair:
    """Above the repeller the slope grows."""
    return s, two_token_step(s, w)


def _returns(w: Number, edge: Number, s: Number) -> Pair:
    return _escapes(w, edge, s)[::-1]


_PAIR = {"h": (1,), "t": (1,)}
_TWO_TOKEN = (
    Trial("ln-two-token", "below the repeller", _PAIR, partial(_slopes, side=-1), _falls,
          control=partial(_falls, rises=True), dropped="the direction: claimed to go away"),
    Trial("ln-two-token", "above the repeller", _PAIR, partial(_slopes, side=1), _escapes,
          control=_returns, dropped="the direction: claimed to come back"),
)  # fmt: skip

# --- preln-collapse, postln-collapse, postln-floor -----------------------------------------------


def _small(v: Number, b: Number, turn: Number, Y: Number, norm: str, depth: int, weak: int) -> Case:
    """Weights v times a rotation and M = bI, so that all norms are rational; tokens (y, 1)."""
    v, b, Y = number(v * v) / (8 * weak), number(b * b), _raised(Y)
    value = v[..., None, None] if isinstance(v, torch.Tensor) else v
    deep = _heads(b, value * _rotation(turn), depth, norm=norm, skip=1)
    return {"deep": deep, "v": v, "b": b, "X": unit_rows(Y) if norm == "row" else Y}


def _imitated(deep: Network, v: Number, b: Number, X: Number, rung: int = 1) -> Pair:
    """Squares of the error of one layer and of its bound; a control takes the tokens as they are.

    Rung 0 of order η against a bound of order η².
    """
    sizes = _sizes(v, b, deep.depth)
    if deep.norm == "row":
        bound = postln_collapse(sizes, sqrt(_spread(X)))
    else:
        root = sqrt(2 + 0 * v)
        shortest = sqrt(amin((X * X).sum(-1), -1))
        bound = preln_collapse(sizes, 2, shortest, root * sqrt(_spread(unit_rows(X))))
    gap = deep(X) - (normalised_layer(deep)(X) if rung else X)
    return amax((gap * gap).sum(-1), -1), bound * bound


def _sizes(v: Number, b: Number, depth: int) -> Sizes:
    if isinstance(v, torch.Tensor):
        nu, beta = (x[..., None, None].expand(*x.shape, depth, 1) for x in (v, b))
    else:
        nu, beta = (np.array([[x]] * depth, dtype=object) for x in (v, b))
    return Sizes(nu, nu[..., 0], beta)


def _measured(network: Network, X: Number, rung: int = 1) -> Pair:
    gap = network(X) - (normalised_layer(network)(X) if rung else X)
    return token_norm(gap, 2), normalised_bound(network, X).value


def _any(query: Number, key: Number, value: Number, X: Number, norm: str) -> Case:
    X = _raised(X)
    return any_network(query, key, value, unit_rows(X) if norm == "row" else X, 64, norm=norm)


_ANGLES: dict[str, tuple[int, ...]] = {**dict.fromkeys(("v", "b", "turn"), (1,)), "Y": (3, 1)}
_RUNG = "the surrogate: the tokens as they are, with an error of order η"
_COLLAPSE = (
    *(Trial(label, "rotations, three layers", _ANGLES, partial(_small, norm=norm, depth=3, weak=8),
            _imitated, control=partial(_imitated, rung=0), dropped=_RUNG)
      for label, norm in (("preln-collapse", "pre"), ("postln-collapse", "row"))),
    *(Trial(label, "any weights, two heads", shapes(2, 2, 3, 2) | {"X": (4, 2)},
            partial(_any, norm=norm), _measured, control=partial(_measured, rung=0),
            dropped=_RUNG, kinds=FLOATS)
      for label, norm in (("preln-collapse", "pre"), ("postln-collapse", "row"))),
)  # fmt: skip


def _unseen(eta: Number, query: Number, key: Number, value: Number) -> Case:
    """Two causal, post-normalised layers of averages, and any one layer of one head."""
    eta = number(eta * eta) / 64
    silent, eye = (times(eta, [[0], [0]]), times(eta, [[1, 0], [0, 1]]))
    deep = network(*(_layers(w, 2) for w in (silent, silent, eye)), mask=causal(3), norm="row")
    shallow = network(query, key, value / 64, mask=causal(3), norm="row")
    X = unit_rows(times(1 + 0 * eta, [[1, 0], [0, 1], [1, 1]]))
    return {"deep": deep, "shallow": shallow, "X": X, "floor": postln_causal_floor(eta)}


def _missed(
    deep: Network, shallow: Network, X: Number, floor: Number, itself: bool = False
) -> Pair:
    """The floor, against the larger error of row 3 on the two orders of the tokens."""
    errors = []
    for order in ([0, 1, 2], [1, 0, 2]):
        tokens = X[..., order, :]
        errors.append(
            token_norm((deep(tokens) - (deep if itself else shallow)(tokens))[..., 2:, :])
        )
    return floor, maximum(*errors)


_FLOOR = Trial("postln-floor", "any layer of one head", {"eta": (1,)} | shapes(1, 1, 2, 1),
               _unseen, _missed, sharp=True, control=partial(_missed, itself=True),
               dropped="that S' has one layer")  # fmt: skip

TRIALS: tuple[Trial, ...] = (
    *_ORTHOGONAL,
    *_CONTRACTION,
    *_EQUILIBRIA,
    *_TWO_TOKEN,
    *_COLLAPSE,
    _FLOOR,
)

"""Trials of chapter 5: the missing width, and what skips and small weights leave of the tokens."""

from __future__ import annotations

from fractions import Fraction
from functools import partial, reduce
from typing import Any

import numpy as np

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import Sizes, State, ladder
from collapse.bounds.skips import head_epsilon, reported_epsilon, surviving_diameters
from collapse.ledger import Kind
from collapse.norms import diameter, residual_norm, token_norm
from collapse.numeric import Number, maximum
from collapse.referee.trial import Case, Trial
from collapse.referee.trials import shifts
from collapse.referee.trials.domain import BALLS, network, number, shapes, times, within
from collapse.rungs import surrogate

SEARCHED = frozenset[Kind]({"attacked", "certified"})  # rare among random cases
Pair = tuple[Number, Number]

# --- as25-eps, eps-counterexample ----------------------------------------------------------------


def _bounded(
    eta: Number, phi: Number, query: Number, key: Number, value: Number, X: Number
) -> Case:
    """Entries of weights at most η, of tokens at most φ₀."""
    eta, phi = eta * eta, phi * phi
    parts = (eta[..., None, None, None] * within(w) for w in (query, key, value))
    X = phi[..., None] * within(X)
    return {"deep": network(*parts), "X": X, "eta": number(eta), "phi": number(phi)}


def _head_outputs(deep: Network, X: Number) -> Number:
    """The largest residual of an output of a head in the last layer."""
    last = deep.depth - 1
    X, layer = deep.layers(0, last)(X), deep.layers(last, deep.depth)
    heads = (
        layer.replace(
            **{w: getattr(layer, w)[..., h : h + 1, :, :] for w in ("query", "key", "value")}
        )
        for h in range(deep.heads)
    )
    return reduce(maximum, (residual_norm(head.attention(X, 0)) for head in heads))


def _counted(deep: Network, X: Number, eta: Number, phi: Number) -> Pair:
    bound = head_epsilon(eta, phi, deep.heads, deep.width, deep.depth)
    return _head_outputs(deep, X), bound


def _uncounted(deep: Network, X: Number, eta: Number, phi: Number) -> Pair:
    """Control: no width in the bound, and all weights η and equal tokens."""
    ones = np.ones(deep.value.shape[-4:], int)
    same = network(deep.query, deep.key, times(eta, ones))
    tokens = times(phi, np.ones(X.shape[-2:], int))
    bound = head_epsilon(eta, phi, deep.heads, 1, deep.depth)
    return token_norm(same.layers(deep.depth - 1, deep.depth).attention(
        same.layers(0, deep.depth - 1)(tokens), 0)) / deep.heads, bound  # fmt: skip


def _reported(deep: Network, X: Number, eta: Number, phi: Number) -> Pair:
    return _head_outputs(deep, X), reported_epsilon(eta, phi, deep.heads, deep.depth)


def _opposite(eta: Number, phi: Number, width: int) -> Case:
    """All weights η ≤ 1/8 and tokens ±φ with ηφ ≥ 2."""
    root = (1 + eta * eta) * (1 + eta * eta)
    size = 8 * root * (2 + phi * phi)
    eta, phi = number(1 / (8 * root)), number(size)
    column, square = ([[[[1] * k] * width]] for k in (1, width))
    parts = (times(eta, part) for part in (column, column, square))
    X = times(phi, [[1] * width, [-1] * width])
    return {"deep": network(*parts), "X": X, "eta": eta, "phi": phi}


def _exceeded(deep: Network, X: Number, eta: Number, phi: Number) -> Pair:
    return _reported(deep, X, eta, phi)[::-1]


def _narrow(deep: Network, X: Number, eta: Number, phi: Number) -> Pair:
    """Control: two features, which refute nothing."""
    w = {name: getattr(deep, name)[..., :2, :] for name in ("query", "key")}
    narrow = deep.replace(**w, value=deep.value[..., :2, :2])
    return _exceeded(narrow, X[..., :2], eta, phi)


_ETA_PHI: dict[str, tuple[int, ...]] = {"eta": (1,), "phi": (1,)}
_WIDTH = "the width d in the bound"
_EPS = (
    Trial("as25-eps", "as reported", _ETA_PHI | shapes(1, 1, 3, 1, tokens=2), _bounded, _reported,
          holds=False, control=_counted,
          dropped="nothing: the width is put in, which makes it true", kinds=SEARCHED),
    Trial("as25-eps", "as reported, all weights η", _ETA_PHI, partial(_opposite, width=3),
          _reported, holds=False, limit=Fraction(3, 2)),
    Trial("as25-eps", "repaired", _ETA_PHI | shapes(2, 1, 2, 1, tokens=2), _bounded, _counted,
          sharp=True, control=_uncounted, dropped=_WIDTH),
    Trial("eps-counterexample", "exceeded in width three", _ETA_PHI, partial(_opposite, width=3),
          _exceeded, control=_narrow, dropped="one of the three features"),
    Trial("eps-counterexample", "the width counted", _ETA_PHI | shapes(1, 2, 2, 1, tokens=2),
          _bounded, _counted, sharp=True, control=_uncounted, dropped=_WIDTH),
    Trial("eps-counterexample", "the width counted, six layers",
          _ETA_PHI | shapes(6, 2, 3, 2, tokens=4), _bounded, _counted, control=_uncounted,
          dropped=_WIDTH, kinds=BALLS),
)  # fmt: skip

# --- rank-survives -------------------------------------------------------------------------------


def _small(query: Number, key: Number, value: Number, X: Number, over: int = 4) -> Case:
    return {"deep": network(query / over, key / over, value / over), "X": X}


def _lost(deep: Network, X: Number, skip: int = 1) -> Pair:
    """What one layer takes from the diameter, against what it can take."""
    D, sizes = diameter(X), network_sizes(deep, X.shape[-2])
    kept = surviving_diameters(sizes, token_norm(X), D)[-1]
    return D - diameter(deep.replace(skip=skip)(X)), D - kept


def _kept(deep: Network, X: Number, skip: int = 1, met: bool = False) -> Pair:
    """What must be left of the diameter after all layers, against what is."""
    steps = deep.trace(X)
    states = None
    if met:
        before = (steps[..., layer, :, :] for layer in range(deep.depth))
        states = [State(token_norm(Z), diameter(Z), 0, 0) for Z in before]
    sizes = network_sizes(deep, X.shape[-2])
    kept = surviving_diameters(sizes, token_norm(X), diameter(X), states)[-1]
    return kept, diameter(deep.replace(skip=skip)(X))


_NO_SKIP = "the skip connections"
_RANK = (
    Trial("rank-survives", "what one layer takes", shapes(1, 1, 2, 1, tokens=3), _small, _lost,
          sharp=True, control=partial(_lost, skip=0), dropped=_NO_SKIP),
    Trial("rank-survives", "six layers", shapes(6, 2, 3, 2, tokens=4), partial(_small, over=16),
          _kept, control=partial(_kept, skip=0), dropped=_NO_SKIP, kinds=BALLS),
    Trial("rank-survives", "six layers, states met", shapes(6, 2, 3, 2, tokens=4),
          partial(_small, over=8), partial(_kept, met=True),
          control=partial(_kept, met=True, skip=0), dropped=_NO_SKIP, kinds=BALLS),
)  # fmt: skip

# --- as25-skip -----------------------------------------------------------------------------------


def _small_entries(eta: Number, query: Number, key: Number, value: Number, X: Number) -> Case:
    """Entries of weights at most η ≤ 1/8, of tokens at most 1."""
    size = 1 / (8 * (1 + eta * eta))
    parts = (size[..., None, None, None] * within(w) for w in (query, key, value))
    return {"deep": network(*parts), "X": within(X), "eta": number(size)}


def _largest_sizes(deep: Network, eta: Number) -> Sizes:
    """The sizes that entries up to η allow."""
    L, H, d, k = deep.depth, deep.heads, deep.width, deep.key_width
    value, whole, logits = (np.full(shape, size) for shape, size in
                            (((L, H), d), (L, H * d), ((L, H), d * d * k)))  # fmt: skip
    return Sizes(times(eta, value), times(eta, whole), times(eta * eta, logits))


def _imitated(deep: Network, X: Number, eta: Number, rung: int, skip: int = 1) -> Pair:
    """The error of one layer against what the entries alone promise."""
    unit = 0 * eta + 1
    error = token_norm(deep.replace(skip=skip)(X) - surrogate(deep, rung)(X))
    return error, ladder(_largest_sizes(deep, eta), unit, 2 * unit, rung)


def _apart(deep: Network, X: Number, eta: Number, skip: int = 1) -> Pair:
    """The diameter that the entries alone promise, against the one that is left."""
    kept = surviving_diameters(_largest_sizes(deep, eta), token_norm(X), diameter(X))[-1]
    return kept, diameter(deep.replace(skip=skip)(X))


def _collapses(depth: int, heads: int, width: int, tokens: int, **options: Any) -> list[Trial]:
    free: dict[str, tuple[int, ...]] = {"eta": (1,)}
    free |= shapes(depth, heads, width, 1, tokens=tokens)
    ways: list[tuple[str, Any]] = [
        ("one head", partial(_imitated, rung=2)),
        ("one layer", partial(_imitated, rung=3)),
        ("tokens stay apart", _apart),
    ]
    return [
        Trial("as25-skip", f"{name} for {depth} layers", free, _small_entries, sides,
              control=partial(sides, skip=0), dropped=_NO_SKIP, **options)
        for name, sides in ways
    ]  # fmt: skip


TRIALS: tuple[Trial, ...] = (
    *shifts.TRIALS,
    *_EPS,
    *_RANK,
    *_collapses(2, 1, 2, 3),
    *_collapses(6, 2, 3, 4, kinds=BALLS),
)

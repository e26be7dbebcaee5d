"""Trials of chapter 9: weighted skips, and what J24 are reported to claim of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from collapse import numeric
from collapse.attention import Network
from collapse.bounds import contraction_bound
from collapse.bounds.certificates import network_sizes
from collapse.bounds.contraction import contraction_factor
from collapse.bounds.ladder import Sizes
from collapse.bounds.weighted_pairs import direction, merging, narrowing, two_token_mixer
from collapse.bounds.weighted_skips import (
    j24_margin,
    j24_threshold,
    normalised_factor,
    row_drift,
    threshold_rate,
    total_drift,
)
from collapse.kernels import unit_rows
from collapse.lambda_skip import mixed
from collapse.norms import diameter
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    ALL,
    FLOATS,
    IDENTITY,
    agree,
    identity,
    inner,
    join,
    network,
    number,
    shapes,
    unit,
    within,
)
from collapse.rescaling import unit_skip

Pair = tuple[Number, Number]


def circle(t: Number) -> Number:
    r"""Unit tokens in the plane from rational parameters: (\*batch, n) → (\*batch, n, 2)."""
    c, s = direction(t)
    return join(c[..., None], s[..., None])


def _square(x: Number) -> Number:
    """The sum of the squares of a matrix's entries."""
    return (x * x).sum(-1).sum(-1)


def _spread(Y: Number) -> Number:
    """μ(Y)²."""
    return _square(Y - Y.sum(-2)[..., None, :] / Y.shape[-2])


def _column(x: Number) -> Number:
    """A number or a batch of numbers, to multiply matrices with."""
    return x[..., None, None] if isinstance(x, torch.Tensor) else x


# --- lambda-skip ---------------------------------------------------------------------------------


def _weighted(query: Number, key: Number, value: Number, X: Number, lam: Number) -> Case:
    return {"layer": network(query, key, value, skip=number(lam)), "X": X}


def _taken(layer: Network, X: Number) -> Pair:
    """What one layer takes from |λ| diam(X), against what it can take."""
    lost = abs(layer.skip) * diameter(X) - diameter(layer(X))
    return lost, contraction_bound(layer, X).value


def _without_skip(layer: Network, X: Number) -> Pair:
    lost = abs(layer.skip) * diameter(X) - diameter(layer.replace(skip=0)(X))
    return lost, contraction_bound(layer, X).value


def _unit_tokens(
    t: Number, u: Number, w: Number, turn: Number, beta: Number, v: Number, gap: Number
) -> Case:
    """One head of width two on unit tokens; V is v times a reflection, |λ| > v."""
    size, (c, s) = number(v) * number(v), direction(turn)
    reflection = join(join(c, s)[..., None, :], join(s, -c)[..., None, :])  # reshaped below
    reflection = reflection.reshape(*turn.shape[:-1], 2, 2)
    left, right = (circle(x).swapaxes(-1, -2)[..., None, None, :, :] for x in (u, w))
    query = left * _column(_column(number(beta)))
    value = (reflection * _column(size))[..., None, None, :, :]
    skip = size + number(gap) * number(gap) + number(1 + 0 * gap) / 8
    return {"layer": network(query, right, value, skip=skip, norm="row"), "Y": circle(t), "v": size}


def _kept(layer: Network, Y: Number, v: Number, lost: int = 1) -> Pair:
    """What must be left of the diameter of unit tokens, against what is."""
    D, sizes = diameter(Y, 2), network_sizes(layer, Y.shape[-2], 2)
    factor = normalised_factor(layer.skip, v, contraction_factor(sizes, 0, 0 * D, D))
    return factor**lost * D, diameter(layer(Y), 2)


def _narrowed(t: Number, beta: Number, v: Number, gap: Number) -> Case:
    size = number(v) * number(v)
    beta = number(beta) * number(beta)
    skip = 2 * size + number(gap) * number(gap) + number(1 + 0 * gap) / 8
    layer, Y = narrowing(number(inner(t)), beta, size, skip)
    return {"layer": layer, "Y": Y, "v": size, "beta": beta}


def _kept_square(layer: Network, Y: Number, v: Number, beta: Number, lost: int = 1) -> Pair:
    """The same for two tokens with known sizes, by squares: no root of zero for balls."""
    before, after = (_square(Z[..., :1, :] - Z[..., 1:, :]) for Z in (Y, layer(Y)))
    D = numeric.sqrt(before)
    weight = v[..., None] if isinstance(v, torch.Tensor) else identity(1, Y)[0] * v
    logits = weight * 0 + (beta[..., None] if isinstance(beta, torch.Tensor) else beta)
    sizes = Sizes(weight[..., None, :], weight, logits[..., None, :])
    factor = normalised_factor(layer.skip, v, contraction_factor(sizes, 0, 0 * D, D)) ** lost
    return factor * factor * before, after


def _merged(s: Number, t: Number, v: Number) -> Case:
    angle = number(inner(s))
    size = number(v) * number(v) + number(1 + 0 * v)
    layer, Y = merging(angle, angle * number(unit(t)) / 2, size)
    return {"layer": layer, "Y": Y}


def _rows_agree(layer: Network, Y: Number, more: int = 1) -> Pair:
    Z = layer.replace(skip=more * layer.skip)(Y) if more > 1 else layer(Y)
    return agree(Z[..., :1, :], Z[..., 1:, :])


_PAIR = shapes(1, 1, 1, 1, tokens=2) | {"lam": (1,)}
_CIRCLE: dict[str, tuple[int, ...]] = {
    name: (1,) for name in ("u", "w", "turn", "beta", "v", "gap")
}
_LAMBDA = (
    Trial("lambda-skip", "raw, two tokens", _PAIR, _weighted, _taken, sharp=True),
    Trial("lambda-skip", "raw, two heads, three tokens",
          shapes(1, 2, 2, 1, tokens=3) | {"lam": (1,)}, _weighted, _taken,
          control=_without_skip, dropped="the skip"),
    Trial("lambda-skip", "normalised, two tokens",
          {"t": (1,), "beta": (1,), "v": (1,), "gap": (1,)}, _narrowed, _kept_square, sharp=True,
          control=partial(_kept_square, lost=0), dropped="the factor F"),
    Trial("lambda-skip", "normalised, any three tokens", {"t": (3,), **_CIRCLE}, _unit_tokens,
          _kept, control=partial(_kept, lost=0), dropped="the factor F", kinds=FLOATS),
    Trial("lambda-skip", "merged below v", {"s": (1,), "t": (1,), "v": (1,)}, _merged,
          _rows_agree, control=partial(_rows_agree, more=20), dropped="|λ| < v", kinds=IDENTITY),
)  # fmt: skip

# --- lambda-rescaling ----------------------------------------------------------------------------


def _stack(
    query: Number, key: Number, value: Number, X: Number, lam: Number, **options: Any
) -> Case:
    """Two layers under one weight above 1/8, either sign."""
    size = lam * lam + (1 + 0 * lam) / 8
    skip = number(size) * (-1 if options.pop("negative", False) else 1)
    weights = (w / 4 for w in (query, key, value))
    return {"deep": network(*weights, skip=skip, **options), "X": X}


def _rescaled(deep: Network, X: Number, ignored: bool = False) -> Pair:
    plain, scale = unit_skip(deep)
    if ignored:  # the second layer's logits as they were
        plain = plain.replace(query=deep.query)
    return agree(_column(scale) * plain(X), deep(X))


_RESCALED = [
    Trial("lambda-rescaling", name, shapes(2, 1, 2, 1, tokens=3) | {"lam": (1,)},
          partial(_stack, negative=True, **options), _rescaled, control=control, dropped=dropped,
          kinds=IDENTITY)
    for name, options, control, dropped in (
        ("two layers", {}, partial(_rescaled, ignored=True), "the factor Λ² in the logits"),
        ("normalised", {"norm": "row"}, lambda deep, X: agree(unit_skip(deep)[0](-X), deep(X)),
         "the sign of Λ"),
    )
]  # fmt: skip

# --- skip-drift ----------------------------------------------------------------------------------


def _mixer(t: Number, M: Number, V: Number, lam: Number) -> Case:
    skip = number(lam) * number(lam) + number(1 + 0 * lam) / 8
    return {"Y": circle(t), "M": M, "V": V, "skip": skip}


def _drifted(Y: Number, M: Number, V: Number, skip: Number, constant: int = 2) -> Pair:
    """What μ loses, against ‖O‖ times the constant over λ."""
    lost = numeric.sqrt(_spread(Y)) - numeric.sqrt(_spread(mixed(M, Y, V, skip)))
    return lost, total_drift(skip, numeric.sqrt(_square(M @ Y @ V))) * constant / 2


def _added(t: Number, angle: Number, length: Number, ratio: Number) -> Case:
    """Unit tokens, and what is added to each: at most t of its length."""
    share = number(inner(ratio))
    added = circle(angle) * within(length)[..., None] * _column(share)
    return {"Y": circle(t), "added": added, "ratio": share}


def _row_drifted(Y: Number, added: Number, ratio: Number) -> Pair:
    lost = numeric.sqrt(_spread(Y)) - numeric.sqrt(_spread(unit_rows(Y + added)))
    tokens = identity(1, Y)[0, 0] * Y.shape[-2]
    return lost, numeric.sqrt(tokens) * row_drift(ratio)


_DRIFT = (
    Trial("skip-drift", "any mixer, three tokens",
          {"t": (3,), "M": (3, 3), "V": (2, 2), "lam": (1,)}, _mixer, _drifted,
          control=partial(_drifted, constant=1), dropped="half of the constant"),
    Trial("skip-drift", "rows bounded",
          {"t": (2,), "angle": (2,), "length": (2,), "ratio": (1,)}, _added, _row_drifted,
          sharp=True),
)  # fmt: skip

# --- j24-lower-bound -----------------------------------------------------------------------------


def _size(M: Number, V: Number) -> Number:
    """A rational number that is at least ‖M‖_F ‖C_V‖_F."""
    return (1 + _square(M)) * (1 + _square(V)) / 4


def _negative(t: Number, M: Number, lam: Number) -> Case:
    """λ < 0, C_V = I, and a such that J24's first condition holds with room to spare."""
    V = identity(2, M)
    skip = -(number(lam) * number(lam) + number(1 + 0 * lam) / 8)
    size = _size(M, V)
    a = skip * skip / (size - skip) ** 2 / 2
    return {"Y": circle(t), "M": M, "V": V, "skip": skip, "a": a, "size": size}


def _only_if(met: Any, x: Number) -> Number:
    """The number where the hypothesis is met for certain, else 0, below every bound."""
    return torch.where(met, x, 0 * x) if isinstance(x, torch.Tensor) else x if met else 0 * x


def _after_one(
    Y: Number, M: Number, V: Number, skip: Number, a: Number, size: Number, printed: bool = True
) -> Pair:
    n, d = Y.shape[-2:]
    b = j24_threshold(a, 1, skip, size, n, d, printed)
    return _only_if(_spread(Y) >= b, a * _spread(Y)), _spread(mixed(M, Y, V, skip))


def _large(t: Number, M: Number, V: Number, share: Number, sign: Number) -> Case:
    """Two layers with |λ| so large that both conditions hold, either sign."""
    Y, a = circle(t), number(inner(share)) / 2
    n, d = Y.shape[-2:]
    positive = number(sign) > 0
    size, spread = _size(M, V), _spread(Y) + identity(1, Y)[0, 0] / 2**20
    least = 8 * n * d * size / (a * a * spread)
    skip = (
        torch.where(positive, least, -least)
        if isinstance(least, torch.Tensor)
        else least if positive else -least
    )  # fmt: skip
    return {"Y": Y, "M": M, "V": V, "skip": skip, "a": a, "size": size}


def _after_two(
    Y: Number, M: Number, V: Number, skip: Number, a: Number, size: Number, lost: int = 2
) -> Pair:
    n, d = Y.shape[-2:]
    met = (j24_margin(a, skip, size) > 0) & (_spread(Y) >= j24_threshold(a, 2, skip, size, n, d))
    later = mixed(M, mixed(M, Y, V, skip), V, skip)
    return _only_if(met, a**lost * _spread(Y)), _spread(later)


_J24 = (
    Trial("j24-lower-bound", "as reported, negative weight", {"t": (2,), "M": (2, 2), "lam": (1,)},
          _negative, _after_one, holds=False, control=partial(_after_one, printed=False),
          dropped="nothing: |λ| is put in, which makes it true"),
    Trial("j24-lower-bound", "repaired, two layers",
          {"t": (3,), "M": (3, 3), "V": (2, 2), "share": (1,), "sign": (1,)}, _large, _after_two,
          control=partial(_after_two, lost=0), dropped="the factor a^K"),
)  # fmt: skip

# --- lambda-threshold ----------------------------------------------------------------------------


def _two_tokens(t: Number, kept: Number, given: Number, gap: Number, above: bool = True) -> Case:
    """The two-token example on either side of λ = −m."""
    away = number(gap) * number(gap) + number(1 + 0 * gap) / 8
    skip = away - number(kept) if above else -away - number(kept)
    told = number(given) * number(given) + number(1 + 0 * given) / 8
    return {"Y": circle(t), "kept": number(kept), "given": told, "skip": skip}


def _approached(Y: Number, kept: Number, given: Number, skip: Number, above: bool = True) -> Pair:
    """Squares of tan(θ'/2) and of the rate times tan(θ/2), without denominators."""
    Z = mixed(two_token_mixer(kept, given), Y, identity(2, Y), skip)
    rate = threshold_rate(skip, kept, given)
    near, far, near_before, far_before = (
        _square(W[..., :1, :] + side * W[..., 1:, :])
        for W in (Z, Y)
        for side in ((-1, 1) if above else (1, -1))
    )
    return near * far_before, rate * rate * near_before * far


_SIDES = (("above", True), ("below", False))
_THRESHOLD = [
    Trial("lambda-threshold", f"{name} the threshold",
          {"t": (2,), "kept": (1,), "given": (1,), "gap": (1,)},
          partial(_two_tokens, above=above), partial(_approached, above=above), sharp=True,
          control=partial(_approached, above=not above), dropped="the side of the threshold",
          kinds=ALL)
    for name, above in _SIDES
]  # fmt: skip

TRIALS: tuple[Trial, ...] = (*_LAMBDA, *_RESCALED, *_DRIFT, *_J24, *_THRESHOLD)

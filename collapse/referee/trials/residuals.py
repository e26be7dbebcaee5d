"""Trials of chapter 1: what Res measures, and what moves it.

All sides but those with a square root are rational, so an identity is an inequality that exact
arithmetic can prove.
"""

from __future__ import annotations

import math
from functools import partial

from collapse import numeric
from collapse.norms import (
    diameter,
    dobrushin,
    mean_residual_norm,
    measure_dictionary,
    residual,
    residual_lipschitz,
    residual_norm,
    token_norm,
    value_norm,
)
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    ALL,
    FLOATS,
    IDENTITY,
    constant,
    equal,
    identity,
    sign_vectors,
    stochastic,
    unit,
)

Pair = tuple[Number, Number]
TOKENS = {"X": (3, 2)}
TWO_INPUTS = {"A": (3, 2), "B": (3, 2)}


# --- as25-res, res-formula, res-seminorm ---------------------------------------------------------


def _any_centre(X: Number, y: Number) -> Pair:
    return token_norm(residual(X)), token_norm(X - y[..., None, :])


def _two_tokens(X: Number) -> Pair:
    return token_norm(X[..., :1, :] - X[..., 1:2, :]), 2 * token_norm(residual(X))


def _largest_gap(X: Number) -> Pair:
    gaps = abs(X[..., :, None, :] - X[..., None, :, :])
    return 2 * token_norm(residual(X)), numeric.amax(token_norm(gaps), -1)


def _minimiser(X: Number, place: Number) -> Case:
    """Any point between max − ρ and min + ρ of each column."""
    high, low = numeric.amax(X, -2), numeric.amin(X, -2)
    rho = _norms(X)
    return {"X": X, "y": high - rho + unit(place) * (low + 2 * rho - high)}


def _norms(X: Number) -> Number:
    """ρ with one axis, so that it is an array in every number type."""
    return residual_norm(X[..., None, :, :])


def _minimum(X: Number, y: Number) -> Pair:
    return token_norm(X - y[..., None, :]), residual_norm(X)


def _outside(X: Number, y: Number, excess: Number) -> Case:
    """A centre that leaves the interval of the first column by the square of the excess."""
    edge = numeric.amin(X, -2)[..., :1] + _norms(X)
    return {"X": X, "y": y, "first": edge + excess * excess, "excess": excess}


def _no_minimum(X: Number, y: Number, first: Number, excess: Number) -> Pair:
    column, others = X[..., :1] - first[..., None, :], X[..., 1:] - y[..., None, :]
    farthest = numeric.maximum(token_norm(column), token_norm(others))
    return residual_norm(X) + (excess * excess)[..., 0], farthest


def _triangle(X: Number, Y: Number) -> Pair:
    return residual_norm(X + Y), residual_norm(X) + residual_norm(Y)


def _scaled_and_shifted(X: Number, c: Number, y: Number) -> Pair:
    moved = residual_norm(c[..., None] * X + y[..., None, :])
    scaled = abs(c)[..., 0] * residual_norm(X)
    return numeric.maximum(moved, scaled), numeric.minimum(moved, scaled)


def _twice(X: Number) -> Pair:
    return equal(residual(residual(X)), residual(X))


def _never(X: Number) -> Pair:
    return equal(residual(X), X)


# --- res-lipschitz, as25-lem-4.1, res-any-centre, res-norm-lipschitz -----------------------------


def _lipschitz(A: Number, B: Number) -> Pair:
    moved = token_norm(residual(A) - residual(B))
    return moved, residual_lipschitz(A.shape[-2]) * token_norm(A - B)


def _lemma(A: Number, B: Number) -> Pair:
    return token_norm(residual(A) - residual(B)), token_norm(A - B)


def _about_the_mean(A: Number, B: Number) -> Pair:
    step, distance = A - B, token_norm(A - B)
    n = A.shape[-2]
    moved = token_norm(step - (step.sum(-2) / n)[..., None, :])
    return moved, residual_lipschitz(n + 0 * distance, "mean") * distance


def _linear_centre(w: Number) -> Case:
    """Weights with sum 1: then the centre wᵀa follows shifts."""
    return {"w": w + (1 - w.sum(-1, keepdims=True)) / w.shape[-1]}


def _stretch(w: Number) -> Pair:
    """The Lipschitz constant of a − (wᵀa)1 is a largest row sum, here of the transpose."""
    n = w.shape[-1]
    stretch = value_norm(identity(n, w) - w[..., :, None])
    return residual_lipschitz(n + 0 * stretch, "mean"), stretch


def _walk(rises: Number) -> Case:
    """Rises of a centre in n steps of size 1 that add up to a shift by n − 2."""
    n = rises.shape[-1]
    return {"rises": rises + (n - 2 - rises.sum(-1, keepdims=True)) / n}


def _some_step(rises: Number) -> Pair:
    """In step k all entries rise by 1, but entry k falls by 1."""
    n = rises.shape[-1]
    steps = constant([[1 - 2 * (i == k) for i in range(n)] for k in range(n)], rises)
    farthest = token_norm(steps - rises[..., :, None])
    return residual_lipschitz(n + 0 * farthest, "mean"), farthest


def _norms_differ(A: Number, B: Number) -> Pair:
    return abs(residual_norm(A) - residual_norm(B)), residual_norm(A - B)


def _norm_of_difference(A: Number, B: Number) -> Pair:
    return residual_norm(A - B), token_norm(A - B)


# --- res-right, res-left, metric-dictionary ------------------------------------------------------


def _features(X: Number, W: Number) -> Pair:
    return residual_norm(X @ W), value_norm(W) * residual_norm(X)


def _some_tokens(W: Number) -> Pair:
    """Among all tokens of signs are the extremal ones; together they have ρ = 1."""
    return value_norm(W), residual_norm(sign_vectors(W.shape[-2], W) @ W)


def _mixing(P: Number, X: Number) -> Case:
    return {"P": stochastic(P), "X": X}


def _mixed(P: Number, X: Number, p: float) -> Pair:
    return diameter(P @ X, p), dobrushin(P) * diameter(X, p)


def _stochastic(P: Number) -> Case:
    return {"P": stochastic(P)}


def _some_features(P: Number) -> Pair:
    """Among all features of signs is the extremal one; together they have the diameter 2."""
    signs = sign_vectors(P.shape[-1], P)
    return 2 * dobrushin(P), diameter(P @ signs.swapaxes(-1, -2))


def _least_mean(X: Number) -> Pair:
    rho = residual_norm(X)
    return measure_dictionary(X.shape[-2], X.shape[-1] + 0 * rho)[0] * rho, mean_residual_norm(X)


def _largest_mean(X: Number) -> Pair:
    rho = residual_norm(X)
    return mean_residual_norm(X), measure_dictionary(X.shape[-2], X.shape[-1] + 0 * rho)[1] * rho


TRIALS: tuple[Trial, ...] = (
    Trial(
        "as25-res", "the midrange minimises", TOKENS | {"y": (2,)}, dict, _any_centre, sharp=True
    ),
    Trial("res-formula", "no two tokens farther apart", TOKENS, dict, _two_tokens, sharp=True),
    Trial("res-formula", "two tokens so far apart", TOKENS, dict, _largest_gap, sharp=True),
    Trial("res-formula", "no centre nearer", TOKENS | {"y": (2,)}, dict, _any_centre, sharp=True),
    Trial(
        "res-formula",
        "minimisers",
        TOKENS | {"place": (2,)},
        _minimiser,
        _minimum,
        sharp=True,
    ),
    Trial(
        "res-formula",
        "no other minimisers",
        TOKENS | {"y": (1,), "excess": (1,)},
        _outside,
        _no_minimum,
        sharp=True,
    ),
    Trial("res-seminorm", "triangle", {"X": (3, 2), "Y": (3, 2)}, dict, _triangle, sharp=True),
    Trial(
        "res-seminorm",
        "factor and shift",
        TOKENS | {"c": (1,), "y": (2,)},
        dict,
        _scaled_and_shifted,
        sharp=True,
    ),
    Trial("res-seminorm", "unequal tokens", TOKENS, dict, _two_tokens, sharp=True),
    Trial(
        "res-seminorm",
        "Res twice",
        TOKENS,
        dict,
        _twice,
        control=_never,
        dropped="Res X in place of Res(Res X), X in place of Res X",
        kinds=IDENTITY,
    ),
    Trial("res-lipschitz", "two tokens", {"A": (2, 1), "B": (2, 1)}, dict, _lipschitz, sharp=True),
    Trial("res-lipschitz", "three tokens", TWO_INPUTS, dict, _lipschitz, sharp=True),
    Trial("res-lipschitz", "four tokens", {"A": (4, 1), "B": (4, 1)}, dict, _lipschitz, sharp=True),
    Trial("res-lipschitz", "about the mean", TWO_INPUTS, dict, _about_the_mean, sharp=True),
    Trial(
        "as25-lem-4.1",
        "three tokens",
        {"A": (3, 1), "B": (3, 1)},
        dict,
        _lemma,
        holds=False,
        limit=2,
    ),
    Trial(
        "as25-lem-4.1",
        "four tokens, two features",
        {"A": (4, 2), "B": (4, 2)},
        dict,
        _lemma,
        holds=False,
        limit=2,
    ),
    Trial("res-any-centre", "linear centres", {"w": (3,)}, _linear_centre, _stretch, sharp=True),
    Trial("res-any-centre", "any centre", {"rises": (4,)}, _walk, _some_step, sharp=True),
    Trial("res-norm-lipschitz", "norms", TWO_INPUTS, dict, _norms_differ, sharp=True),
    Trial("res-norm-lipschitz", "differences", TWO_INPUTS, dict, _norm_of_difference, sharp=True),
    Trial("res-right", "tokens", {"X": (3, 2), "W": (2, 2)}, dict, _features, sharp=True),
    Trial("res-right", "for every matrix", {"W": (3, 2)}, dict, _some_tokens, sharp=True),
    *(
        Trial(
            "res-left",
            name,
            {"P": (3, 3), "X": (3, 2)},
            _mixing,
            partial(_mixed, p=p),
            sharp=True,
            kinds=kinds,
        )
        for name, p, kinds in (("p = 1", 1, ALL), ("p = 2", 2, FLOATS), ("p = inf", math.inf, ALL))
    ),
    Trial("res-left", "for every matrix", {"P": (3, 3)}, _stochastic, _some_features, sharp=True),
    Trial("metric-dictionary", "below", TOKENS, dict, _least_mean, sharp=True),
    Trial("metric-dictionary", "above", TOKENS, dict, _largest_mean, sharp=True),
    Trial(
        "metric-dictionary", "above, four tokens", {"X": (4, 1)}, dict, _largest_mean, sharp=True
    ),
)

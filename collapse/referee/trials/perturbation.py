"""Trials of chapter 2: what a small change of the logits does to a row of softmax."""

from __future__ import annotations

from functools import partial

from collapse import numeric
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import IDENTITY, agree, apart, inner, unit
from collapse.softmax import (
    balance,
    entry_bound,
    extremal_pair,
    oscillation,
    ratio_bound,
    softmax,
    total_variation,
    tv_bound,
    tv_bounds,
)

Pair = tuple[Number, Number]


# --- softmax-ratio, softmax-tv, softmax-entry ----------------------------------------------------


def _logits(A: Number, E: Number, gap: Number) -> Case:
    """Any perturbation whose balance is at least 1/8, so that floats can see what it does."""
    return {"A": A[..., None, :], "E": apart(E, gap)[..., None, :]}


def _rows(A: Number, E: Number) -> tuple[Number, Number, Number]:
    r"""P and P′, each a row (\*batch, m), and θ."""
    return softmax(A)[..., 0, :], softmax(A + E)[..., 0, :], balance(E)


def _relative_change(A: Number, E: Number) -> Pair:
    P, after, theta = _rows(A, E)
    return numeric.amax(abs(after - P) / P, -1), ratio_bound(theta)


def _relative_fall(A: Number, E: Number) -> Pair:
    """The other side, e^{−θ} ≤ P′/P, in the form P/P′ − 1 ≤ e^θ − 1."""
    P, after, theta = _rows(A, E)
    return numeric.amax(P / after, -1) - 1, ratio_bound(theta)


def _distance(A: Number, E: Number) -> Pair:
    return total_variation(softmax(A), softmax(A + E))[..., 0], tv_bound(balance(E))


def _extremal(theta: Number, percent: int = 100) -> Pair:
    A, E = extremal_pair(theta)
    moved = total_variation(softmax(A), softmax(A + E * percent / 100))
    return agree(moved[..., None], tv_bound(oscillation(E))[..., None])


def _largest_entry(A: Number, E: Number) -> Pair:
    P, after, theta = _rows(A, E)
    return numeric.amax(abs(after - P), -1), tv_bound(theta)


def _rise(q: Number, theta: Number) -> Number:
    gain = ratio_bound(theta)
    return q * (1 - q) * gain / (1 + q * gain)


def _rising(A: Number, E: Number) -> Pair:
    P, after, theta = _rows(A, E)
    return (after - P)[..., 0], _rise(P[..., 0], theta)


def _falling(A: Number, E: Number) -> Pair:
    P, after, theta = _rows(A, E)
    return (P - after)[..., 1], _rise(1 - P[..., 1], theta)


def _given_entry(A: Number, E: Number) -> Pair:
    P, after, theta = _rows(A, E)
    return abs(after - P)[..., 0], entry_bound(P[..., 0], theta)


# --- softmax-compare -----------------------------------------------------------------------------


def _any_theta(x: Number) -> Case:
    """θ between 0 and 20."""
    return {"theta": 20 * inner(x)[..., 0]}


def _up_to_root(x: Number) -> Case:
    """θ up to 1.2564, just below the root of e^x = 1 + 2x."""
    return {"theta": 12564 * unit(x)[..., 0] / 10000}


def _ordered(theta: Number, less: str, more: str, over: int = 1) -> Pair:
    bounds = tv_bounds(theta)
    return bounds[less], bounds[more] / over


def _entrywise(A: Number, E: Number) -> Pair:
    """D21's form: twice its bound on total variation, as a bound on the relative change."""
    moved, _ = _relative_change(A, E)
    return moved, 2 * tv_bounds(balance(E))["d21"]


_ROW = {"A": (3,), "E": (3,), "gap": (1,)}

TRIALS: tuple[Trial, ...] = (
    Trial("softmax-ratio", "change", _ROW, _logits, _relative_change, sharp=True),
    Trial("softmax-ratio", "fall", _ROW, _logits, _relative_fall, sharp=True),
    *(
        Trial(
            "softmax-tv",
            f"{name} logits",
            {"A": (m,), "E": (m,), "gap": (1,)},
            _logits,
            _distance,
            sharp=True,
        )
        for name, m in (("two", 2), ("three", 3), ("four", 4))
    ),
    Trial(
        "softmax-tv",
        "at every theta",
        {"x": (1,)},
        _any_theta,
        _extremal,
        control=partial(_extremal, percent=99),
        dropped="1 % of the extremal perturbation",
        kinds=IDENTITY,
    ),
    Trial("softmax-entry", "any entry", _ROW, _logits, _largest_entry, sharp=True),
    Trial("softmax-entry", "rising", _ROW, _logits, _rising, sharp=True),
    Trial("softmax-entry", "falling", _ROW, _logits, _falling, sharp=True),
    Trial(
        "softmax-entry",
        "given the entry",
        _ROW,
        _logits,
        _given_entry,
        sharp=True,
    ),
    Trial(
        "softmax-compare",
        "tanh below its tangent",
        {"x": (1,)},
        _any_theta,
        partial(_ordered, less="sharp", more="linear"),
        sharp=True,
    ),
    *(
        Trial(
            "softmax-compare",
            f"the tangent below {name}",
            {"x": (1,)},
            _any_theta,
            partial(_ordered, less="linear", more=more),
            control=partial(_ordered, less="linear", more=more, over=over),
            dropped=f"{name} is divided by {over}",
        )
        for name, more, over in (("AS25", "as25", 3), ("D21", "d21", 5))
    ),
    Trial(
        "softmax-compare",
        "D21 the weakest in its range",
        {"x": (1,)},
        _up_to_root,
        partial(_ordered, less="as25", more="d21"),
        sharp=True,
    ),
    Trial(
        "softmax-compare",
        "D21 beyond its range",
        _ROW,
        _logits,
        _entrywise,
        holds=False,
        control=_relative_change,
        dropped="AS25's form in place of D21's, which is true: nothing may be found",
    ),
)

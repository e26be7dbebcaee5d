"""Trials of chapter 2: how far a row of attention is from plain averaging, and from a look-up."""

from __future__ import annotations

import math
from functools import partial

from collapse import numeric
from collapse.norms import diameter, query_key_norm, token_norm
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    ALL,
    FLOATS,
    IDENTITY,
    agree,
    apart,
    constant,
    inner,
    join,
    within,
)
from collapse.softmax import (
    balance,
    oscillation,
    retrieval_threshold,
    softmax,
    total_variation,
    tv_bound,
    uniform_tv_bound,
)

Pair = tuple[Number, Number]


# --- uniform-tv ----------------------------------------------------------------------------------


def _one_row(A: Number, gap: Number) -> Case:
    return {"A": apart(A, gap)[..., None, :]}


def _from_uniform(A: Number) -> Number:
    even = constant([[1] * A.shape[-1]], A) / A.shape[-1]
    return total_variation(softmax(A), even)[..., 0]


def _near_uniform(A: Number) -> Pair:
    return _from_uniform(A), tv_bound(balance(A))


def _near_uniform_of_n(A: Number) -> Pair:
    return _from_uniform(A), uniform_tv_bound(balance(A), A.shape[-1])


def _spread_of_logits(X: Number, M: Number, p: float) -> Pair:
    logits = X @ M @ X.swapaxes(-1, -2)
    reach = token_norm(X[..., :1, :], p) * query_key_norm(M, p) * diameter(X, p)
    return oscillation(logits)[..., 0], reach


# --- retrieval -----------------------------------------------------------------------------------


def _threshold(A: Number, s: int) -> Number:
    """What the mass on the first s tokens asks for; next to nothing if they are not ahead.

    The mass that strays is kept inside the range of δ: a larger one than there is asks for less.
    """
    m = A.shape[-1]
    astray = softmax(A)[..., 0, s:].sum(-1)
    least, most = ((x + 0 * astray) / 2**60 for x in (1, 2**60 - 2**40))
    delta = numeric.minimum(numeric.maximum(astray, least), most * (m - s) / m)
    return retrieval_threshold(m, delta, s)


def _needed(A: Number, s: int) -> Pair:
    return _threshold(A, s), balance(A)


def _mass(x: Number, m: int, s: int) -> Case:
    r"""A mass allowed to stray, anywhere in its range, shape (\*batch, 1)."""
    return {"delta": inner(x) * (m - s) / m}


def _enough(delta: Number, m: int, s: int, percent: int = 100) -> Pair:
    level = retrieval_threshold(m, delta, s) * percent / 100
    A = join(*[level] * s, *[0 * level] * (m - s))
    on = softmax(A[..., None, :])[..., 0, :s].sum(-1, keepdims=True)
    return agree(on[..., None], (1 - delta)[..., None])


def _small_entries(query: Number, keys: Number, bound: Number) -> Case:
    """Entries of Q and K in [−B, B] with B ≥ 1/4."""
    B = (4 * bound * bound + 1) / 4
    return {"Q": B * within(query), "K": B[..., None] * within(keys), "B": B[..., 0]}


def _least_entry(Q: Number, K: Number, B: Number) -> Pair:
    logits = Q[..., None, :] @ K.swapaxes(-1, -2) / Q.shape[-1]
    return numeric.sqrt(_threshold(logits, 1) / 2), B


TRIALS: tuple[Trial, ...] = (
    Trial(
        "uniform-tv", "four logits", {"A": (4,), "gap": (1,)}, _one_row, _near_uniform, sharp=True
    ),
    *(
        Trial(
            "uniform-tv",
            f"at n = {n}",
            {"A": (n,), "gap": (1,)},
            _one_row,
            _near_uniform_of_n,
            sharp=True,
            kinds=kinds,
        )
        for n, kinds in ((2, FLOATS), (3, ALL), (4, ALL))
    ),
    *(
        Trial(
            "uniform-tv",
            f"spread of the logits, {name}",
            {"X": (3, 2), "M": (2, 2)},
            dict,
            partial(_spread_of_logits, p=p),
            sharp=True,
            kinds=kinds,
        )
        for name, p, kinds in (("p = 1", 1, ALL), ("p = 2", 2, FLOATS), ("p = inf", math.inf, ALL))
    ),
    *(
        Trial(
            "retrieval",
            f"{s} of {m} tokens",
            {"A": (m,), "gap": (1,)},
            _one_row,
            partial(_needed, s=s),
            sharp=True,
        )
        for m, s in ((3, 1), (4, 2))
    ),
    Trial(
        "retrieval",
        "two levels suffice",
        {"x": (1,)},
        partial(_mass, m=5, s=2),
        partial(_enough, m=5, s=2),
        control=partial(_enough, m=5, s=2, percent=99),
        dropped="levels 1 % closer",
        kinds=IDENTITY,
    ),
    Trial(
        "retrieval",
        "entries of Q and K",
        {"query": (2,), "keys": (3, 2), "bound": (1,)},
        _small_entries,
        _least_entry,
        sharp=True,
    ),
)

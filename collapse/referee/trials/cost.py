"""Trials of chapter 6: what fast evaluation loses, and what looking something up takes."""

from __future__ import annotations

import math
from functools import partial

from collapse import numeric
from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import ladder
from collapse.bounds.leading import leading_coefficient
from collapse.bounds.needs import induction_contraction, induction_gap
from collapse.bounds.taylor import relative_tv_bound, taylor_error
from collapse.fast import (
    certified_forward,
    diameter_upper,
    distinction_bound,
    mean_token,
)
from collapse.norms import diameter, query_key_norm, token_norm
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    BALLS,
    FLOATS,
    agree,
    any_network,
    constant,
    inner,
    network,
    number,
    shapes,
    stochastic,
    times,
    unit,
    within,
)
from collapse.softmax import oscillation, softmax, total_variation
from collapse.tasks import Recall
from collapse.tasks.induction import answer, induction_network

Pair = tuple[Number, Number]

# --- linear-time ---------------------------------------------------------------------------------


def _certificate(network: Network, X: Number, p: float) -> Pair:
    near, bound = certified_forward(network, X, p)
    return token_norm(network(X) - near, p), bound.value


def _halved(network: Network, X: Number, p: float) -> Pair:
    """Control: the distance from the mean taken for the diameter."""
    near, _ = certified_forward(network, X, p)
    sizes = network_sizes(network, X.shape[-2], p)
    bound = ladder(sizes, token_norm(X, p), diameter_upper(X, p) / 2, 2)
    return token_norm(network(X) - near, p), bound


def _leading(network: Network, X: Number, p: float) -> Pair:
    """Control: the first term of the error's expansion as if it were all of it."""
    near, _ = certified_forward(network, X, p)
    return token_norm(network(X) - near, p), token_norm(leading_coefficient(network, X, 2), p)


def _diameter(X: Number, p: float) -> Pair:
    return diameter(X, p), diameter_upper(X, p)


_HALF = "the factor 2 between the distance from the mean and the diameter"
_LINEAR = (
    *(
        Trial("linear-time", f"certificate, p = {p}", shapes(1, 1, 1, 1, tokens=2), any_network,
              partial(_certificate, p=p), sharp=True, control=partial(_halved, p=p), dropped=_HALF)
        for p in (1, math.inf)
    ),
    Trial("linear-time", "certificate, p = 2", shapes(1, 1, 2, 1, tokens=2),
          any_network, partial(_certificate, p=2), sharp=True, control=partial(_halved, p=2),
          dropped=_HALF, kinds=FLOATS),
    Trial("linear-time", "certificate, six layers, p = 1", shapes(6, 2, 3, 2, tokens=4),
          partial(any_network, over=4), partial(_certificate, p=1), control=partial(_leading, p=1),
          dropped="all but the leading term of the error", kinds=BALLS),
    *(
        Trial("linear-time", f"diameter, p = {p}", {"X": (3, 2)}, dict, partial(_diameter, p=p),
              sharp=True, kinds=FLOATS if p == 2 else FLOATS | BALLS)
        for p in (1, 2, math.inf)
    ),
)  # fmt: skip

# --- taylor-attention ----------------------------------------------------------------------------


def _logits(size: Number, a: Number) -> Case:
    """A row of logits in [−B, B], with B between ¼ and 1."""
    B = (1 + 3 * unit(size)) / 4
    return {"B": number(B), "a": (B * within(a))[..., None, :]}


def _polynomial(a: Number, degree: int) -> Number:
    weights = 1 + 0 * a
    for m in range(degree, 0, -1):
        weights = 1 + a * weights / m
    return weights / weights.sum(-1)[..., None]


def _taylor(B: Number, a: Number, degree: int) -> Pair:
    moved = total_variation(softmax(a), _polynomial(a, degree))[..., 0]
    return moved, relative_tv_bound(taylor_error(B, degree))


def _next_degree(B: Number, a: Number, degree: int) -> Pair:
    """Control: the relative error of one degree more."""
    return _taylor(B, a, degree)[0], relative_tv_bound(taylor_error(B, degree + 1))


def _factors(P: Number, e: Number, r: Number) -> Case:
    """A row, and a change of its weights by factors between 1 − r and 1 + r."""
    return {"P": stochastic(P)[..., None, :], "e": within(e)[..., None, :], "r": inner(r)}


def _changed(P: Number, e: Number, r: Number) -> Pair:
    weights = P * (1 + r[..., None, :] * e)
    moved = total_variation(P, weights / weights.sum(-1)[..., None])[..., 0]
    return moved, relative_tv_bound(number(r))


_TAYLOR = (
    *(
        Trial("taylor-attention", f"a row, degree {degree}", {"size": (1,), "a": (3,)}, _logits,
              partial(_taylor, degree=degree), control=partial(_next_degree, degree=degree),
              dropped="one degree: the bound is that of the next polynomial")
        for degree in (2, 3)
    ),
    Trial("taylor-attention", "factors between 1 − r and 1 + r",
          {"P": (3,), "e": (3,), "r": (1,)}, _factors, _changed, sharp=True),
)  # fmt: skip

# --- large-weights-needed ------------------------------------------------------------------------


def _oscillation(network: Network, X: Number) -> Pair:
    """The oscillation of any row of logits, which a lookup needs."""
    M = network.query_key[..., 0, 0, :, :]
    moved = numeric.amax(oscillation(X @ M @ X.swapaxes(-1, -2)), -1)
    return moved, query_key_norm(M) * token_norm(X) * diameter(X)


def _same_mean(
    query: Number, key: Number, value: Number, x: Number, middle: Number, b: Number, c: Number
) -> Case:
    """Two inputs with one token and the mean in common, and weights of entries up to ⅛."""
    signs = constant([[0], [1], [-1]], x)
    first = constant([[1], [0], [0]], x)
    common = first * x + (1 - first) * middle
    weights = (within(w) / 8 for w in (query, key, value))
    x, middle, b, c = (within(part) for part in (x, middle, b, c))
    return {"network": network(*weights), "X": common + signs * b, "Y": common + signs * c}


def _told_apart(network: Network, X: Number, Y: Number) -> Pair:
    moved = token_norm((network(X) - network(Y))[..., :1, :])
    return moved, distinction_bound(network, X, Y).value[..., 0]


def _other_mean(network: Network, X: Number, Y: Number) -> Pair:
    """Control: the two errors alone, for an input whose mean is another."""
    other = Y + (1 - constant([[1], [0], [0]], Y)) * mean_token(Y)
    moved = token_norm((network(X) - network(other))[..., :1, :])
    errors = [certified_forward(network, Z)[1].value for Z in (X, other)]
    return moved, errors[0] + errors[1]


_NEEDED = (
    Trial("large-weights-needed", "the oscillation of a row", shapes(1, 1, 2, 1, tokens=3),
          any_network, _oscillation, sharp=True),
    Trial("large-weights-needed", "two inputs with one mean",
          shapes(2, 1, 2, 1) | {name: (1, 2) for name in ("x", "middle", "b", "c")}, _same_mean,
          _told_apart, control=_other_mean, dropped="that the two inputs have the same mean"),
)  # fmt: skip

# --- large-weights-suffice -----------------------------------------------------------------------

_TASK = Recall(3, 3, 3)
_WORST = (0, 4, 1, 3, 2, 4, 1)  # keys 0, 1, 2; the query 1 has value 3, the other two have 4


def _large(x: Number) -> Case:
    """Any scale from 1.4 on, more than the root of log n for n = 7, and the input."""
    N, n = _TASK.vocabulary, _TASK.tokens
    rows = [[0] * (3 * N + n) for _ in _WORST]
    for place, symbol in enumerate(_WORST):
        rows[place][symbol] = rows[place][N + place] = 1
    return {"s": number(7 * (1 + x * x) / 5), "X": constant(rows, x)}


def _wrong_answer(s: Number, X: Number) -> Pair:
    """The larger of the wrong answers against the right one, on an input of the worst kind."""
    said = answer(_TASK, induction_network(_TASK, s)(X))
    return numeric.maximum(said[..., 1], said[..., 2]), said[..., 0]


def _half_the_scale(s: Number, X: Number) -> Pair:
    return _wrong_answer(s / 2, X)


def _contraction(s: Number, X: Number, spare: int = 0) -> Pair:
    """How rows 2 and 3 of the first attention differ in entry 1, and the closed form of τ."""
    P = induction_network(_TASK, s).attention_matrices(X, 0)[..., 0, :, :]
    found = P[..., 1:2, :1] - P[..., 2:3, :1]
    return agree(found, times(induction_contraction(_TASK.tokens + spare, s), [[1]]))


def _gap(s: Number, X: Number, spare: int = 0) -> Pair:
    """By how much the last row prefers the right value, and the closed form of Δ."""
    network = induction_network(_TASK, s)
    after = network.trace(X)[..., 1, :, :]
    query, key = (w[..., 1, 0, :, :] for w in (network.query, network.key))
    logits = (after[..., -1:, :] @ query) @ (after @ key).swapaxes(-1, -2)
    found = logits[..., 3:4] - logits[..., 1:2]
    return agree(found, times(induction_gap(_TASK.tokens + spare, s), [[1]]))


_SUFFICE = (
    Trial("large-weights-suffice", "the worst input from √log n on", {"x": (1,)}, _large,
          _wrong_answer, control=_half_the_scale, dropped="half of the scale"),
    Trial("large-weights-suffice", "the first layer's contraction", {"x": (1,)}, _large,
          _contraction, control=partial(_contraction, spare=1), dropped="one token in the formula",
          kinds=BALLS),
    Trial("large-weights-suffice", "the logits of the last row", {"x": (1,)}, _large,
          _gap, control=partial(_gap, spare=1), dropped="one token in the formula", kinds=BALLS),
)  # fmt: skip

TRIALS: tuple[Trial, ...] = (*_LINEAR, *_TAYLOR, *_NEEDED, *_SUFFICE)

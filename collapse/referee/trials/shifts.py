"""Trials of chapter 5: how far attention moves when its tokens do."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import State
from collapse.bounds.lipschitz import attention_lipschitz, attention_lipschitz_bound
from collapse.norms import diameter, residual_norm, token_norm
from collapse.numeric import Number, amax, expm1, maximum
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    BALLS,
    base,
    causal,
    network,
    number,
    shapes,
    times,
    within,
)
from collapse.softmax import oscillation

Pair = tuple[Number, Number]

# --- attention-lipschitz -------------------------------------------------------------------------


def _moved_tokens(
    query: Number, key: Number, value: Number, X: Number, step: Number, **options: Any
) -> Case:
    layer = network(query, key, value, **options)
    return {"layer": layer, "X": X, "Z": X + step}


def _rotary_tokens(**free: Number) -> Case:
    return _moved_tokens(**free, rope=base(free["query"]))


def _move(layer: Network, X: Number, Z: Number, index: int = 0) -> Number:
    return token_norm(layer.attention(Z, index) - layer.attention(X, index))


def _lipschitz(layer: Network, X: Number, Z: Number, index: int = 0) -> Pair:
    return _move(layer, X, Z, index), attention_lipschitz_bound(layer, X, Z, layer=index).value


def _tanh_term(layer: Network, X: Number, Z: Number, index: int = 0) -> Pair:
    """Both sides less ν‖Δ‖, which is attained even by attention that does not move."""
    move, bound = _lipschitz(layer, X, Z, index)
    nu = network_sizes(layer, X.shape[-2]).head_value[..., index, :].sum(-1)
    carried = nu * token_norm(Z - X)
    return move - carried, bound - carried


def _by_residual(layer: Network, X: Number, Z: Number, index: int = 0) -> Pair:
    """Control: a shift of all tokens alike, bounded as if it mattered through diam(Δ) alone."""
    Z = X + (Z - X)[..., :1, :]
    zero = 0 * diameter(X)  # diam(Δ), which balls would not find to be zero exactly
    state = State(token_norm(Z), diameter(Z), zero, zero)
    sizes = network_sizes(layer, X.shape[-2])
    bound = attention_lipschitz(sizes, index, state, token_norm(X), diameter(X))
    return _move(layer, X, Z, index), bound


_RESIDUAL = "all of Δ but its diameter: nothing is left of a common shift"


def _lipschitz_trials() -> tuple[Trial, ...]:
    free = {"X": (3, 2), "step": (3, 2)}
    one, even = shapes(1, 1, 2, 1) | free, shapes(1, 1, 2, 2) | free
    masked = partial(_moved_tokens, mask=causal(3))
    big = shapes(1, 2, 3, 2) | {"X": (4, 3), "step": (4, 3)}
    name, sides, rest = "attention-lipschitz", _tanh_term, (_by_residual, _RESIDUAL)
    control: Any = dict(zip(("control", "dropped"), rest, strict=True))
    return (
        Trial(name, "any step", one, _moved_tokens, sides, sharp=True, **control),
        Trial(name, "causal mask", one, masked, sides, sharp=True, **control),
        Trial(name, "rotary positions", even, _rotary_tokens, sides, **control),
        Trial(
            name, "two heads, four tokens", big, _moved_tokens, _lipschitz, kinds=BALLS, **control
        ),
    )


# --- as25-lem-5.2, as25-lem-c.1 ------------------------------------------------------------------

_EPSILON = Fraction(1, 1000)  # any number > 0 will do


def _averaging_first(first: Number, query: Number, key: Number, value: Number, X: Number) -> Case:
    """Two layers with skips, weights at most 1, tokens at most 8; the first layer averages."""
    later = network(within(query), within(key), within(value))
    averages = network(0 * query, 0 * key, within(first))
    return {"first": averages, "later": later, "X": 8 * within(X)}


def _as_reported(first: Network, later: Network, X: Number) -> Pair:
    """The move against ε₀ = 3g(2Hε) with g(x) = eˣ − 1, for an ε above all residuals."""
    epsilon = 0 * X[..., 0, 0] + _EPSILON.numerator
    epsilon = epsilon / _EPSILON.denominator + residual_norm(first.attention(X, 0))
    return _move(later, X, first(X)), 3 * expm1(2 * later.heads * epsilon)


def _repaired(first: Network, later: Network, X: Number) -> Pair:
    """Control: the bound that holds, added to the one that was reported."""
    move, reported = _as_reported(first, later, X)
    return move, reported + attention_lipschitz_bound(later, X, first(X)).value


def _reads_input(query: Number, key: Number, value: Number, X: Number) -> Case:
    """A network, weights at most 1, tokens at most 2; its last layer may read the input.

    Larger ones saturate the softmax, and both sides agree to more digits than balls have.
    """
    weights = (within(w) for w in (query, key, value))
    return {"deep": network(*weights), "X": 2 * within(X)}


def _last_layer(deep: Network, X: Number, sides: Callable[..., Pair]) -> Pair:
    last = deep.depth - 1
    return sides(deep, X, deep.layers(0, last)(X), last)


def _lemma(label: str, heads: int) -> tuple[Trial, ...]:
    free = {"first": (1, heads, 1, 1)} | shapes(1, heads, 1, 1, tokens=2)
    control = partial(_last_layer, sides=_by_residual)
    return (
        Trial(label, "as reported, with g(x) = eˣ − 1", free, _averaging_first, _as_reported,
              holds=False, control=_repaired,
              dropped="nothing: the repaired bound is added, which makes it true"),
        Trial(label, "repaired", shapes(2, heads, 1, 1, tokens=2), _reads_input,
              partial(_last_layer, sides=_tanh_term), sharp=True, control=control,
              dropped=_RESIDUAL),
        Trial(label, "repaired, six layers", shapes(6, 1 + heads, 3, 2, tokens=4), _reads_input,
              partial(_last_layer, sides=_lipschitz), control=control, dropped=_RESIDUAL,
              kinds=BALLS),
    )  # fmt: skip


# --- shift-matters -------------------------------------------------------------------------------


def _shift(query: Number, key: Number, value: Number, X: Number, y: Number) -> Case:
    return {"layer": network(query, key, value), "X": X, "y": y}


def _turned(layer: Network, X: Number, y: Number, halves: int = 1) -> Pair:
    """Half the spread of y M xⱼ against the largest change of an entry of P, up or down."""
    gained = y @ layer.query_key[..., 0, 0, :, :] @ X.swapaxes(-1, -2)
    before, after = (layer.attention_matrices(Z, 0) for Z in (X, X + y))
    ratio = maximum(after / before, before / after)
    largest = amax(amax(ratio, -1), -1)[..., 0]
    return expm1(oscillation(gained)[..., 0] * halves / 2), largest - 1


def _common_shift(eta: Number, b: Number) -> Case:
    """Width one, all weights η but no logits in the first layer; X = b (−η, 4 + η)."""
    eta, b = number((1 + eta * eta) / 8), number((1 + b * b) / 8)
    logits, value = (times(eta, [[[[x]]] for x in column]) for column in ((0, 1), (1, 1)))
    X = times(b * eta, [[-1], [1]]) + times(b, [[0], [4]])
    return {"deep": network(logits, logits, value), "X": X, "least": 2 * b * eta * eta}


def _shifted(deep: Network, X: Number, least: Number) -> Pair:
    return least, _move(deep, X, deep.layers(0, 1)(X), 1)


def _only_shifted(deep: Network, X: Number, least: Number) -> Pair:
    """Control: attention itself does not move, so that the output moves by 2cη and no more."""
    return _move(deep, X, deep.layers(0, 1)(X), 1), least


_SHIFT = (
    Trial("shift-matters", "rows of attention", shapes(1, 1, 1, 1, tokens=3) | {"y": (1, 1)},
          _shift, _turned, sharp=True, control=partial(_turned, halves=2),
          dropped="the half: the whole spread of the gained logits"),
    Trial("shift-matters", "no residual, and yet a move", {"eta": (1,), "b": (1,)}, _common_shift,
          _shifted, control=_only_shifted, dropped="that attention moves too"),
)  # fmt: skip

TRIALS: tuple[Trial, ...] = (
    *_lipschitz_trials(),
    *_lemma("as25-lem-5.2", heads=1),
    *_lemma("as25-lem-c.1", heads=2),
    *_SHIFT,
)

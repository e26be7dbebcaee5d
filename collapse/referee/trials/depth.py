"""Trials of chapter 3: what many layers without skips do, and how it is computed."""

from __future__ import annotations

from functools import partial
from typing import Any

from collapse import numeric
from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.contraction import (
    contraction_factor,
    diameter_recursion,
    dong_beta,
    dong_bound,
    dong_gamma,
    double_exponential,
)
from collapse.norms import diameter, token_norm, value_norm
from collapse.numeric import Number
from collapse.paths import path_decomposition
from collapse.referee.trial import Case, Sides, Trial
from collapse.referee.trials.contraction import DEEP, layers, rotary
from collapse.referee.trials.domain import (
    BALLS,
    IDENTITY,
    agree,
    apart,
    base,
    causal,
    constant,
    inner,
    network,
    shapes,
)
from collapse.softmax import softmax

Pair = tuple[Number, Number]
PAIR = shapes(layers=2, heads=1, width=1, key_width=1, tokens=2)


def _lowered(sides: Sides, over: int) -> Sides:
    """The bound divided by a whole number."""

    def lowered(**case: Any) -> Pair:
        observed, bound = sides(**case)
        return observed, bound / over

    return lowered


# --- double-exponential, as25-eq-1 ---------------------------------------------------------------


def _coefficient(network: Network, n: int) -> Number:
    sizes = network_sizes(network, n)
    return numeric.amax((sizes.head_value * sizes.query_key / 4).sum(-1), -1)


def _closed_form(network: Network, X: Number) -> Pair:
    c, D = _coefficient(network, X.shape[-2]), diameter(X)
    return diameter(network(X)), double_exponential(c, D, network.depth)


def _recursion(network: Network, X: Number) -> Pair:
    sizes = network_sizes(network, X.shape[-2])
    return diameter(network(X)), diameter_recursion(sizes, diameter(X))[-1]


def _with_skips(sides: Sides) -> Sides:
    def skipping(network: Network, X: Number) -> Pair:
        return diameter(network.replace(skip=1)(X)), sides(network=network, X=X)[1]

    return skipping


def _whatever_the_input(network: Network, X: Number) -> Pair:
    """The restated order: the weights to the power (3^L − 1)/2, times the diameter itself."""
    c, D = _coefficient(network, X.shape[-2]), diameter(X)
    return diameter(network(X)), double_exponential(c, 1 + 0 * D, network.depth) * D


def _one_feature(X: Number, gap: Number, centre: Number, m: Number, v: Number) -> Case:
    """Tokens of width one, not all equal, any centre, and M ≥ 1."""
    column = apart(X, gap)[..., :, None]
    M, V = ((w * w)[..., None] for w in (m, v))
    return {"X": column, "centre": centre[..., None], "M": 1 + M, "V": V}


def _composite(R: Number) -> Number:
    return numeric.sqrt(value_norm(R, 1) * value_norm(R))


def _dong(X: Number, centre: Number, M: Number, V: Number) -> Pair:
    R = X - centre
    moved = R @ M @ R.swapaxes(-1, -2)
    row = softmax(centre @ M @ R.swapaxes(-1, -2))
    T = (softmax(X @ M @ X.swapaxes(-1, -2)) - row) @ R @ V
    beta = dong_beta(M[..., None, :, :], V[..., None, :, :])
    bound = dong_bound(dong_gamma(moved[..., None, :, :]), beta, _composite(R), 1, constant=1)
    return _composite(T), bound


# --- centred-propagation, path-decomposition -----------------------------------------------------


def _scaled_logits(a: Number, e: Number, x: Number) -> Case:
    return {"a": a[..., None, :], "e": e[..., None, :], "t": inner(x)[..., None]}


def _row_difference(a: Number, e: Number, t: Number, divided: bool = True) -> Pair:
    p, z = softmax(a), numeric.expm1(t * e) / t
    mean = (p * z).sum(-1, keepdims=True)
    formula = t * p * (z - mean)
    return agree(softmax(a + t * e) - p, formula / (1 + t * mean) if divided else formula)


def _centred_layer(network: Network, X: Number, moves: bool = True) -> Pair:
    """The layer from the first token c and R = X − 1c, at scale 1."""
    c, R = X[..., :1, :], X - X[..., :1, :]
    M, V = (w[..., 0, :, :, :] for w in (network.query_key, network.value_output))
    P = network.attention_matrices(X, 0)
    if network.mask is None:
        p = softmax(c[..., None, :, :] @ M @ R[..., None, :, :].swapaxes(-1, -2))
    else:
        p = P[..., :1, :]
    rows = R[..., None, :, :]
    centre = (c[..., None, :, :] + (p @ rows if moves else 0 * rows[..., :1, :])) @ V
    rest = (P - p) @ rows @ V
    return agree(network.attention(X, 0), centre.sum(-3) + rest.sum(-3))


def _all_paths(network: Network, X: Number, first: int = 0) -> Pair:
    terms = path_decomposition(network, X).terms
    return agree(network(X), terms[..., first:, :, :].sum(-3))


# --- rope-collapse -------------------------------------------------------------------------------


def _rotary_recursion(network: Network, X: Number) -> Pair:
    """D ← K(φ) D and φ ← Σν φ, layer by layer."""
    sizes = network_sizes(network, X.shape[-2])
    phi, D = token_norm(X), diameter(X)
    for layer in range(network.depth):
        D = contraction_factor(sizes, layer, phi, D) * D
        phi = sizes.head_value[..., layer, :].sum(-1) * phi
    return diameter(network(X)), D


def _plain_recursion(network: Network, X: Number) -> Pair:
    sizes = network_sizes(network.replace(rope=None), X.shape[-2])
    return diameter(network(X)), diameter_recursion(sizes, diameter(X))[-1]


def _near_pair(beta: Number, v: Number, gap: Number, layers: int) -> Case:
    """Tokens (1, 0) and (1 + g, 0), 0 < g ≤ 4/5; W_Q = βI, W_K = I, V = vI, 0 < v < 1."""
    beta, v, gap = beta * beta, inner(v), 4 * inner(gap) / 5
    eyes = constant([[[[1, 0], [0, 1]]]] * layers, beta)
    query, key, value = (w[..., None, None, None] * eyes for w in (beta, 1 + 0 * beta, v))
    first, second = (constant(x, beta) for x in ([[1, 0], [1, 0]], [[0, 0], [1, 0]]))
    return {
        "network": network(query, key, value, skip=0, rope=base(beta)),
        "X": first + gap[..., None] * second,
        "beta": beta[..., 0],
        "v": v[..., 0],
    }


def _no_faster(network: Network, X: Number, beta: Number, v: Number) -> Pair:
    gap = diameter(X)
    kappa = beta * (1 - (1 + gap) * numeric.cos(1 + 0 * gap))
    lower = gap
    for layer in range(network.depth):
        lower = lower * v * numeric.tanh(kappa / 2 * v ** (2 * layer))
    return lower, diameter(network(X))


_LOGITS = {"a": (4,), "e": (4,), "x": (1,)}


TRIALS: tuple[Trial, ...] = (
    Trial("double-exponential", "closed form", PAIR, layers, _closed_form, sharp=True),
    Trial("double-exponential", "recursion", PAIR, layers, _recursion, sharp=True),
    Trial(
        "double-exponential",
        "the measure of D21",
        {"X": (3,), "gap": (1,), "centre": (1,), "m": (1,), "v": (1,)},
        _one_feature,
        _dong,
        control=_lowered(_dong, 4),
        dropped="three quarters of the bound",
    ),
    Trial(
        "double-exponential",
        "six layers of two heads",
        DEEP,
        partial(layers, over=256),
        _recursion,
        control=_with_skips(_recursion),
        dropped="the same layers with skips",
        kinds=BALLS,
    ),
    Trial("as25-eq-1", "without skips", PAIR, layers, _closed_form, sharp=True),
    Trial(
        "as25-eq-1",
        "with skips",
        PAIR,
        layers,
        _with_skips(_closed_form),
        holds=False,
        control=_closed_form,
        dropped="the skips, without which it is true: nothing may be found",
    ),
    Trial(
        "as25-eq-1",
        "whatever the input",
        PAIR,
        layers,
        _whatever_the_input,
        holds=False,
        control=_closed_form,
        dropped="the size of the input, with which it is true: nothing may be found",
    ),
    Trial(
        "centred-propagation",
        "rows of attention",
        _LOGITS,
        _scaled_logits,
        _row_difference,
        control=partial(_row_difference, divided=False),
        dropped="the denominator",
        kinds=IDENTITY,
    ),
    *(
        Trial(
            "centred-propagation",
            f"one layer, {name}",
            shapes(1, heads, 2, 1, tokens=3),
            partial(layers, mask=mask),
            _centred_layer,
            control=partial(_centred_layer, moves=False),
            dropped="the motion of the centre",
            kinds=IDENTITY,
        )
        for name, heads, mask in (("two heads", 2, None), ("mask", 1, causal(3).T))
    ),
    *(
        Trial(
            "path-decomposition",
            f"{name}, {size}",
            free,
            partial(layers, skip=skip),
            _all_paths,
            control=partial(_all_paths, first=1),
            dropped="one of the paths",
            kinds=kinds,
        )
        for name, skip in (("with skips", 1), ("without skips", 0))
        for size, free, kinds in (
            ("two layers of width one", shapes(2, 2, 1, 1, tokens=2), IDENTITY),
            ("three layers", shapes(3, 2, 2, 2, tokens=3), BALLS),
        )
    ),
    Trial(
        "rope-collapse",
        "at least exponential",
        shapes(2, 1, 2, 2, tokens=2),
        rotary,
        _rotary_recursion,
        sharp=True,
    ),
    Trial(
        "rope-collapse",
        "as fast as plain attention",
        shapes(2, 1, 2, 2, tokens=2),
        partial(rotary, over=256),
        _plain_recursion,
        holds=False,
        control=_rotary_recursion,
        dropped="the recursion for positions, which is true: nothing may be found",
    ),
    Trial(
        "rope-collapse",
        "no faster",
        {"beta": (1,), "v": (1,), "gap": (1,)},
        partial(_near_pair, layers=2),
        _no_faster,
        sharp=True,
    ),
)

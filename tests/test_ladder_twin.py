"""The bounds of the ladder, for every kind of attention, once more in plain loops over mpmath.

Under masks and positions the bounds are seldom attained, so an inequality alone would let a
constant pass that is too large.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath
import pytest
import reference
import torch
from networks import build, tokens
from strategies import generator, lists

from collapse.bounds.certificates import network_sizes
from collapse.bounds.contraction import contraction_factor
from collapse.bounds.ladder import Attention, Sizes, State, ladder
from collapse.bounds.learning import margin_bound
from collapse.bounds.lipschitz import attention_lipschitz
from collapse.bounds.masked import averaging_error
from collapse.bounds.skips import surviving_diameters
from collapse.masks import masked_diameters, star

LAYERS, HEADS, CASES = 3, 2, 20
KINDS: tuple[Attention, ...] = ("plain", "mask", "rope", "masked rope")
STEPS = [(kind, rung) for kind in KINDS for rung in range(2 if "mask" in kind else 4)]


def numbers(*shape: int, seed: int) -> torch.Tensor:
    """Two decades around one, and a little more below than above."""
    g = generator(seed)
    return 10 ** (2 * torch.rand(*shape, CASES, generator=g, dtype=torch.float64) - 1.2)


def drawn(kind: Attention, seed: int, weak: float = 1.0) -> Sizes:
    """Sizes of networks from weak to saturated."""
    nu, beta = (x.movedim(-1, 0) for x in numbers(2, LAYERS, HEADS, seed=100 + seed))
    nu = weak * nu
    share = torch.rand(CASES, LAYERS, generator=generator(200 + seed), dtype=torch.float64)
    return Sizes(nu, nu.sum(-1) * share, beta, kind)


def exact(x: torch.Tensor) -> Any:
    return [exact(part) for part in x] if x.ndim else mpmath.mpf(float(x))


def slow_spread(kind: str, nu: Any, beta: Any, state: Any, phi0: Any) -> tuple[Any, Any, Any]:
    """K, Σ νt and Σ νq of one layer: what differences of tokens, or their sizes, allow."""
    phi, D, delta, kappa = state
    K = t = q = mpmath.mpf(0)
    for n, b in zip(nu, beta, strict=True):
        if "mask" in kind:
            rows = uniform = mpmath.inf
        elif kind == "rope":
            rows, uniform = 4 * b * phi * phi, 2 * b * phi * phi
        else:
            rows, uniform = b * D * D, b * phi * D
        if "rope" in kind:
            moved = 2 * b * (delta * phi + phi0 * delta)
        else:
            moved = b * (delta * D + phi0 * kappa)
        K, t, q = (x + n * mpmath.tanh(y / 4) for x, y in ((K, rows), (t, uniform), (q, moved)))
    return K, t, q


def slow_bound(
    sizes: Sizes, case: int, phi0: Any, D0: Any, rung: int, measured: Any = None
) -> tuple[Any, list[Any]]:
    """The bound of a rung, and the K of each layer; states are followed, or measured."""
    nus, betas = exact(sizes.head_value[case]), exact(sizes.query_key[case])
    wholes = exact(sizes.layer_value[case])
    state, error, factors = (phi0, D0, mpmath.mpf(0), mpmath.mpf(0)), mpmath.mpf(0), []
    for layer, (nu, beta, whole) in enumerate(zip(nus, betas, wholes, strict=True)):
        phi, D, delta, kappa = state if measured is None else measured[layer]
        K, t, q = slow_spread(sizes.attention, nu, beta, (phi, D, delta, kappa), phi0)
        factors.append(K)
        a = min(sum(nu) * phi, whole * phi + D * t)
        error = {
            0: error + a,
            1: error + min(sum(nu) * delta, whole * delta + kappa * t) + D0 * q,
            2: (1 + whole) * error + D * t,
            3: (1 + whole) * error + sum(nu) * kappa + D0 * q,
        }[rung]
        state = (phi + a, D + K * D, delta + a, kappa + K * D)
    return error, factors


def agrees(found: torch.Tensor, expected: Any) -> bool:
    return abs(mpmath.mpf(float(found)) / expected - 1) < mpmath.mpf("1e-12")


@pytest.mark.label("rung-0", "rung-1", "rung-2", "rung-3")
@pytest.mark.parametrize(("kind", "rung"), STEPS, ids=[f"{kind}, rung {r}" for kind, r in STEPS])
def test_the_recursion_in_loops(kind: Attention, rung: int) -> None:
    sizes, (phi0, D0) = drawn(kind, rung), numbers(2, seed=10 + rung)
    ahead = ladder(sizes, phi0, D0, rung)
    states = numbers(LAYERS, 4, seed=20 + rung)
    after = ladder(sizes, phi0, D0, rung, [State(*layer) for layer in states])
    for case in range(CASES):
        start = exact(phi0[case]), exact(D0[case])
        assert agrees(ahead[case], slow_bound(sizes, case, *start, rung)[0])
        met = exact(states[..., case])
        assert agrees(after[case], slow_bound(sizes, case, *start, rung, met)[0])


@pytest.mark.label("contraction", "attention-lipschitz", "masked-rate")
@pytest.mark.parametrize("kind", KINDS)
def test_what_one_layer_does_in_any_state(kind: Attention) -> None:
    sizes, (phi0, D0) = drawn(kind, seed=5), numbers(2, seed=6)
    state = State(*numbers(4, seed=7))
    for layer in range(LAYERS):
        K = contraction_factor(sizes, layer, state.phi, state.D)
        moved = attention_lipschitz(sizes, layer, state, phi0, D0)
        for case in range(CASES):
            nu, beta = exact(sizes.head_value[case, layer]), exact(sizes.query_key[case, layer])
            parts = (state.phi, state.D, state.delta, state.kappa)
            phi, D, delta, kappa = (exact(part[case]) for part in parts)
            own = slow_spread(kind, nu, beta, (phi, D, delta, kappa), exact(phi0[case]))
            assert agrees(K[case], own[0])
            assert agrees(moved[case], sum(nu) * delta + exact(D0[case]) * own[2])
            if "rope" not in kind:
                even = averaging_error(sizes, layer, state.phi, state.D)[case]
                assert agrees(even, D * slow_spread("plain", nu, beta, (phi, D, 0, 0), 0)[1])


@pytest.mark.label("rank-survives")
@pytest.mark.parametrize("kind", KINDS)
def test_what_skips_keep_in_loops(kind: Attention) -> None:
    sizes, (phi0, D0) = drawn(kind, seed=8, weak=0.1), numbers(2, seed=9)
    kept = surviving_diameters(sizes, phi0, D0)
    some = 0
    for case in range(CASES):
        expected = exact(D0[case])
        _, factors = slow_bound(sizes, case, exact(phi0[case]), expected, 0)
        for layer, K in enumerate(factors, start=1):
            expected = expected * max(mpmath.mpf(0), 1 - K)
            error = abs(mpmath.mpf(float(kept[layer][case])) - expected)
            assert error <= mpmath.mpf("1e-13") * exact(D0[case])
        some += expected > 0
    assert CASES // 4 < some


def turned_norm(network: Any, head: tuple[int, int], apart: list[tuple[int, int]], p: float) -> Any:
    """The largest β of W_Q R_i (W_K R_j)ᵀ over some pairs of positions, each pair by itself."""
    query, key = (lists(w[head]) for w in (network.query, network.key))
    found = []
    for i, j in apart:
        rows = [reference.rotate(row, i, network.rope) for row in query]
        columns = [reference.rotate(row, j, network.rope) for row in key]
        found.append(
            reference.query_key_norm(reference.matmul(rows, reference.transpose(columns)), p)
        )
    return max(found)


@pytest.mark.label("contraction")
@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_positions_count_in_both_directions(p: float) -> None:
    """A row looks forward and back: the largest β over the offsets of one sign is too small."""
    n, network = 4, build("rope", layers=3, key_width=4)
    sizes = network_sizes(network, n, p)
    every = [(i, j) for i in range(n) for j in range(n)]
    for name, half in (("back", [(i, j) for i, j in every if i >= j]),
                       ("forward", [(i, j) for i, j in every if i <= j])):  # fmt: skip
        short = 0
        for layer in range(3):
            for head in range(2):
                whole = turned_norm(network, (layer, head), every, p)
                assert agrees(sizes.query_key[layer, head], whole)
                short += turned_norm(network, (layer, head), half, p) < 0.999 * whole
        assert short > 0, name


@pytest.mark.label("loss-floor", "rung-2")
@pytest.mark.parametrize("eta", [0.003, 0.05, 0.8])
def test_the_margin_of_bounded_weights_in_loops(eta: float) -> None:
    depth, heads, width, key_width, phi, readout = 3, 2, 5, 4, 1.5, 0.7
    ones = torch.ones(1, depth, heads, dtype=torch.float64)
    sizes = Sizes(width * eta * ones, heads * width * eta * ones[..., 0],
                  width**2 * key_width * eta**2 * ones)  # fmt: skip
    error, _ = slow_bound(sizes, 0, mpmath.mpf(phi), mpmath.mpf(2 * phi), 2)
    found = margin_bound(eta, depth, heads, width, key_width, phi, readout)
    assert agrees(torch.tensor(found, dtype=torch.float64), 2 * width * mpmath.mpf(readout) * error)


@pytest.mark.label("masked-collapse")
@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
def test_diameters_under_a_star_in_loops(size: float, p: float) -> None:
    """Values that stretch let tokens grow, and with them the logits: the floor of a later layer."""
    network = build("plain", layers=3, seed=3).replace(skip=0.0, mask=star(4))
    network = network.replace(value=size * network.value, query=network.query / 4)
    X = tokens(4, 3, seed=4)
    rows = lists(X)
    phi = max(reference.vector_norm(row, p) for row in rows)
    D = [reference.diameter(rows, p)]
    for layer in range(3):
        heads = range(2)
        nu = sum(reference.value_norm(lists(network.value[layer, h]), p) for h in heads)
        beta = max(reference.query_key_norm(lists(network.query_key[layer, h]), p) for h in heads)
        # Every token but the centre sees two: itself and the centre.
        epsilon = 1 / (1 + mpmath.exp(beta * phi * D[-1]))
        D.append((1 - epsilon) * nu * D[-1])
        phi = nu * phi
    for found, expected in zip(masked_diameters(network, X, p), D, strict=True):
        assert agrees(found, expected)

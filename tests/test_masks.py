"""Masks as graphs, the bounds that they give, and the rate of softmax attention under them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import networkx
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import assert_below, generator, normal

from collapse import masks
from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.masked import averaging_error, centre_factors, least_weight, walk_factors
from collapse.norms import diameter, dobrushin, token_norm
from collapse.softmax import softmax
from collapse.witnesses.masks import lazy_walk, outward_drift

N = 7
MASKS = {
    "complete": masks.complete(N),
    "causal": masks.causal(N),
    "sliding window": masks.sliding_window(N, 2),
    "one-sided window": masks.one_sided_window(N, 2),
    "narrow window": masks.one_sided_window(N, 1),
    "star": masks.star(N),
    "random sparse": masks.random_sparse(N, 2, generator(0)),
    "disconnected": masks.disconnected(N),
    "reversed star": masks.reversed_star(N),
}
CONTROLS = ("disconnected", "reversed star")
EVERY = pytest.mark.parametrize("name", MASKS)


# --- graphs --------------------------------------------------------------------------------------


def distances(mask: torch.Tensor) -> list[list[float]]:
    """Slow twin: steps from every token to every other, by relaxation in plain loops."""
    n = len(mask)
    steps = [[0 if i == j else math.inf for j in range(n)] for i in range(n)]
    for _ in range(n):
        for i, j, k in itertools.product(range(n), repeat=3):
            if mask[i, j]:
                steps[i][k] = min(steps[i][k], 1 + steps[j][k])
    return steps


@EVERY
def test_every_mask_shows_each_token_itself(name: str) -> None:
    mask = MASKS[name]
    assert mask.dtype == torch.bool and mask.shape == (N, N) and mask.diagonal().all()


def test_the_masks_are_what_their_names_say() -> None:
    for i, j in itertools.product(range(N), repeat=2):
        told = {
            "complete": True,
            "causal": j <= i,
            "sliding window": abs(i - j) <= 2,
            "one-sided window": 0 <= i - j <= 2,
            "narrow window": 0 <= i - j <= 1,
            "star": j in (0, i),
            "disconnected": (i < N // 2) == (j < N // 2),
            "reversed star": i in (0, j),
        }
        for name, shown in told.items():
            assert bool(MASKS[name][i, j]) == shown
    assert (MASKS["random sparse"].sum(-1) == 3).all()


@EVERY
def test_centres_and_radius_against_plain_loops(name: str) -> None:
    steps = distances(MASKS[name])
    reach = {j: max(steps[i][j] for i in range(N)) for j in range(N)}
    found = {j: r for j, r in reach.items() if r < math.inf}
    assert masks.centres(MASKS[name]) == set(found)
    assert masks.eccentricities(MASKS[name]) == found
    assert masks.radius(MASKS[name]) == (max(1, *found.values()) if found else None)
    for r, count in masks.choices(MASKS[name]):
        assert count == sum(steps <= r for steps in found.values()) > 0
    classes = masks.closed_classes(MASKS[name])
    assert (len(classes) == 1) == bool(found) == (name not in CONTROLS)
    if found:
        assert classes == [set(found)]


@given(st.integers(2, 6), st.data())
def test_random_graphs_against_plain_loops(n: int, data: st.DataObject) -> None:
    bits = data.draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n))
    mask = torch.tensor(bits).reshape(n, n) | torch.eye(n, dtype=torch.bool)
    steps = distances(mask)
    assert masks.centres(mask) == {
        j for j in range(n) if all(steps[i][j] < math.inf for i in range(n))
    }
    assert bool(masks.centres(mask)) == (len(masks.closed_classes(mask)) == 1)
    assert (masks.limit_rate(mask) > 1 - 1e-9) == (len(masks.closed_classes(mask)) > 1)


def test_longest_path() -> None:
    found = {name: masks.longest_path(mask) for name, mask in MASKS.items()}
    acyclic = {
        "causal": 6,
        "one-sided window": 6,
        "narrow window": 6,
        "star": 1,
        "reversed star": 1,
    }
    assert {k: v for k, v in found.items() if v is not None} == acyclic
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph([(1, 0), (2, 1)]))


# --- bounds on products --------------------------------------------------------------------------


def on_graph(mask: torch.Tensor, cases: int, layers: int, epsilon: float) -> torch.Tensor:
    """Row-stochastic matrices with at least ε on every edge, often with one heavy edge a row."""
    draw = torch.rand(cases, layers, *mask.shape, generator=generator(1), dtype=torch.float64)
    mask = mask.double()
    free = draw.pow(12) * mask
    free = free / free.sum(-1, keepdim=True)
    degree = mask.sum(-1, keepdim=True)
    return epsilon * mask + (1 - epsilon * degree) * free


def products(P: torch.Tensor) -> list[torch.Tensor]:
    found = [torch.eye(P.shape[-1], dtype=P.dtype).expand(len(P), -1, -1)]
    for layer in range(P.shape[1]):
        found.append(P[:, layer] @ found[-1])
    return [each / each.sum(-1, keepdim=True) for each in found]


@pytest.mark.label("masked-collapse")
@pytest.mark.label("masked-walk")
@EVERY
def test_products_stay_below_the_factors(name: str) -> None:
    mask, layers = MASKS[name], 12
    epsilon = 0.6 / int(mask.sum(-1).max())
    P = on_graph(mask, 400, layers, epsilon)
    factors = masks.mask_factors(mask, torch.full((layers,), epsilon, dtype=torch.float64))
    for factor, product in zip(factors, products(P), strict=True):
        assert_below(dobrushin(product), factor, 1.0, 400)
    assert (factors[-1] < 1) == (name not in CONTROLS)


@pytest.mark.label("masked-collapse")
def test_without_self_loops_the_bound_is_false() -> None:
    swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    assert dobrushin(swap @ swap) == 1
    with pytest.raises(ValueError, match="self-loop"):
        masks.centres(swap.bool())


@pytest.mark.label("masked-collapse")
@given(st.integers(1, 4), st.integers(2, 6), st.integers(1, 30))
def test_the_complete_mask_attains_it(t: int, n: int, share: int) -> None:
    epsilon = Fraction(share, 31 * n)
    P = [[(1 - n * epsilon) * (i == j) + epsilon for j in range(n)] for i in range(n)]
    power = np.linalg.matrix_power(np.array(P, dtype=object), t)
    (*_, factor) = centre_factors([epsilon] * t, n, 1)
    assert sum(abs(power[0] - power[1])) / 2 == factor
    (*_, lower) = centre_factors([epsilon * Fraction(101, 100)] * t, n, 1)
    assert lower < factor  # one per cent more of a floor would be refuted by the same matrix


@pytest.mark.label("masked-walk")
@given(st.integers(0, 12), st.integers(2, 6), st.integers(0, 10))
def test_the_narrow_window_attains_the_walk_bound(t: int, n: int, share: int) -> None:
    epsilon = Fraction(share, 10)
    power = np.linalg.matrix_power(lazy_walk(n, epsilon), t)
    bounds = walk_factors([epsilon] * t, n - 1)
    assert len(bounds) == t + 1
    assert sum(abs(power[0] - power[-1])) / 2 == bounds[-1]
    # Slow twin: all sequences of moves and waits.
    chance = sum(
        epsilon ** sum(moves) * (1 - epsilon) ** (t - sum(moves))
        for moves in itertools.product((0, 1), repeat=min(t, 8))
        if sum(moves) < n - 1
    )
    if t <= 8:
        assert chance == bounds[-1]


@pytest.mark.label("masked-walk")
def test_a_shorter_path_would_be_refuted() -> None:
    power = np.linalg.matrix_power(lazy_walk(4, Fraction(1, 3)), 6)
    assert 1 - power[3, 0] > walk_factors([Fraction(1, 3)] * 6, 2)[-1]


@pytest.mark.label("masked-collapse")
@pytest.mark.parametrize("r", [1, 2, 3])
def test_the_radius_is_in_the_exponent(r: int) -> None:
    epsilon = Fraction(1, 20)
    P = outward_drift(r, epsilon)
    n = 2 * r + 1
    mask = torch.tensor((P > 0).astype(bool)) | torch.eye(n, dtype=torch.bool)
    assert mask.equal(masks.sliding_window(n, 1))
    assert all(sum(row) == 1 for row in P) and P[P > 0].min() == epsilon
    assert masks.choices(mask)[0] == (r, 1)
    gap = 1 - sorted(abs(np.linalg.eigvals(P.astype(float))))[-2]
    assert gap <= float(epsilon**r / (1 - 2 * epsilon) ** (r - 1)) * (1 + 1e-9)
    assert gap >= -np.expm1(np.log1p(-(float(epsilon) ** r)) / r) * (1 - 1e-6)
    if r > 1:
        assert gap < float(epsilon ** (r - 1)) / 2  # no smaller power would do


def test_bad_numbers_are_refused() -> None:
    headless = Network(*[torch.zeros(1, 0, 1, 1)] * 3, skip=0, mask=masks.complete(2))
    for call in (
        lambda: centre_factors([0.5], 0, 1),
        lambda: centre_factors([0.5], 1, 0),
        lambda: centre_factors([-0.5], 1, 1),
        lambda: walk_factors([1.5], 1),
        lambda: walk_factors([0.5], 0),
        lambda: least_weight(-1.0, 2),
        lambda: least_weight(1.0, 0),
        lambda: masks.complete(0),
        lambda: masks.sliding_window(3, 0),
        lambda: masks.random_sparse(3, 3, generator(0)),
        lambda: masks.disconnected(1),
        lambda: masks.complete(True),
        lambda: masks.sliding_window(3, 1.5),
        lambda: masks.random_sparse(4, True, generator(0)),
        lambda: masks.averaging(torch.zeros(2, 2, dtype=torch.bool)),
        lambda: masks.averaging(torch.ones(2, 2)),
        lambda: masks.mask_graph("causal"),
        lambda: masks.centres(torch.tensor(True)),
        lambda: masks.limit_rate(masks.complete(1)),
        lambda: lazy_walk(1, 0.5),
        lambda: lazy_walk(2, 1.5),
        lambda: outward_drift(2, 0.5),
        lambda: masks.masked_diameters(Network(*[torch.zeros(1, 1, 1, 1)] * 3), torch.zeros(2, 1)),
        lambda: masks.masked_diameters(headless, torch.zeros(2, 1)),
        lambda: masks.edge_floors(headless, torch.zeros(2, 1)),
    ):
        with pytest.raises(ValueError, match="expected .* received"):
            call()


# --- networks ------------------------------------------------------------------------------------


def network(mask: torch.Tensor, layers: int = 6, heads: int = 2, scale: float = 0.3) -> Network:
    query, key, value = (normal(layers, heads, 3, 3, seed=k) * scale for k in range(3))
    return Network(query, key, value, skip=0, mask=mask)


@pytest.mark.label("masked-collapse")
@given(st.floats(0, 40), st.integers(1, 9))
@example(900.0, 1)
def test_the_least_weight_is_attained_and_never_passed(theta: float, m: int) -> None:
    row = torch.zeros(1, m, dtype=torch.float64)
    row[0, 0] = -theta
    assert float(softmax(row)[0, 0]) == pytest.approx(least_weight(theta, m), rel=1e-12)
    between = torch.rand(50, m, generator=generator(m), dtype=torch.float64) * theta
    least = torch.tensor(least_weight(theta, m), dtype=torch.float64)
    assert_below(least, softmax(between).amin(), 1.0, int(4 * theta) + 40)


@pytest.mark.label("masked-collapse")
@EVERY
@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("data", ["weights", "measured"])
def test_networks_stay_below_their_bound(name: str, p: float, data: str) -> None:
    X = normal(5, N, 3, seed=9)
    deep = network(MASKS[name])
    seen, bound = diameter(deep.trace(X), p), masks.masked_diameters(deep, X, p, data)
    assert bound.shape == (5, 7)
    assert_below(seen, bound, bound.amax(), 2000)


@pytest.mark.label("masked-collapse")
def test_measured_floors_are_above_those_of_the_weights() -> None:
    X, deep = normal(5, N, 3, seed=9), network(MASKS["causal"], layers=1)
    sizes = network_sizes(deep, N, 2)
    theta = sizes.query_key.amax(-1) * (token_norm(X, 2) * diameter(X, 2))[:, None]
    floors = least_weight(theta, N)
    assert (masks.edge_floors(deep, X) >= floors).all()


@pytest.mark.label("masked-collapse")
@pytest.mark.parametrize("name", CONTROLS)
def test_without_a_centre_some_tokens_never_meet(name: str) -> None:
    first, second = masks.closed_classes(MASKS[name])[:2]
    X = torch.zeros(N, 3, dtype=torch.float64)
    X[sorted(first), 0], X[sorted(second), 0] = 1, -1
    one = torch.eye(3, dtype=torch.float64).expand(40, 1, 3, 3)
    query, key = normal(40, 1, 3, 3, seed=1), normal(40, 1, 3, 3, seed=2)
    after = Network(query, key, one, skip=0, mask=MASKS[name])(X)
    assert after[sorted(first), 0] == pytest.approx(1, abs=1e-12)
    assert after[sorted(second), 0] == pytest.approx(-1, abs=1e-12)
    # The control: with an edge between the classes they do meet.
    joined = MASKS[name].clone()
    joined[:, 0] = True
    assert diameter(Network(query, key, one, skip=0, mask=joined)(X)) < 0.2


@pytest.mark.label("masked-rate")
@EVERY
def test_attention_is_near_averaging(name: str) -> None:
    X, layer = normal(200, N, 3, seed=9), network(MASKS[name], layers=1)
    sizes = network_sizes(layer, N)
    bound = averaging_error(sizes, 0, token_norm(X), diameter(X))
    average = masks.averaging(MASKS[name]) @ X @ layer.value_output.sum(-3)[0]
    moved = token_norm(layer(X) - average)
    assert_below(moved, bound, bound.amax(), 400)
    other = masks.averaging(MASKS["star" if name != "star" else "causal"])
    assert (token_norm(layer(X) - other @ X @ layer.value_output.sum(-3)[0]) > moved).any()
    with pytest.raises(ValueError, match="attention: expected .*received masked rope"):
        averaging_error(replace(sizes, attention="masked rope"), 0, token_norm(X), diameter(X))


@pytest.mark.label("masked-rate")
@EVERY
def test_the_limit_rate_against_the_powers_of_the_matrix(name: str) -> None:
    """Slow twin: how fast powers of P* forget where they started."""
    P = np.linalg.matrix_power(masks.averaging(MASKS[name]).numpy(), 16)
    taus, power = [], P
    for _ in range(2):
        taus.append(max(abs(a - b).sum() / 2 for a in power for b in power))
        power = power @ P
    rate = masks.limit_rate(MASKS[name])
    seen = (taus[1] / taus[0]) ** (1 / 16) if taus[0] > 1e-12 else 0
    if name == "narrow window":  # one Jordan block: a power of t on top
        assert rate == 0.5 and 0.5 < seen < 0.75
    else:
        assert seen == pytest.approx(rate, abs=0.03)


def test_masks_of_numpy() -> None:
    n = np.int64(5)
    assert masks.one_sided_window(n, np.int32(1)).equal(masks.one_sided_window(5, 1))
    mask = np.tri(5, dtype=bool)
    assert masks.averaging(mask).equal(masks.averaging(masks.causal(5)))
    assert masks.limit_rate(mask) == 0.5 and masks.centres(mask.tolist()) == {0}


@pytest.mark.label("masked-rate")
@pytest.mark.parametrize("n", [3, 9, 40])
def test_every_causal_window_has_the_rate_one_half(n: int) -> None:
    for window in range(1, n):
        assert masks.limit_rate(masks.one_sided_window(n, window)) == 0.5
    assert masks.limit_rate(masks.star(n)) == 0.5
    assert masks.limit_rate(masks.complete(n)) < 1e-12

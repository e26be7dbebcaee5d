"""Normalised rows: hemispheres, equilibria, two tokens and one-layer twins, against slow twins."""

from __future__ import annotations

import itertools
import math

import flint
import mpmath
import numpy as np
import pytest
import reference_normalised as twin
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import CAUSAL, SCATTERED
from strategies import assert_agrees, assert_below, generator, normal

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.equilibria import (
    equilibrium_multipliers,
    group_values,
    own_share,
    symmetric_multiplier,
    two_token_multipliers,
    two_token_preimage,
    two_token_step,
)
from collapse.bounds.ladder import Sizes
from collapse.bounds.normalised import (
    hemisphere_factors,
    postln_causal_floor,
    postln_collapse,
    preln_collapse,
    projected_weight,
    stretched_diameters,
    stretched_factor,
    turned,
)
from collapse.exact import lift
from collapse.figures.equilibria import in_floats
from collapse.kernels import unit_rows
from collapse.layernorm import (
    SECOND,
    TOP,
    UNDECIDED,
    normalised_bound,
    normalised_layer,
    projected,
    repelling_slope,
    tangent_jacobian,
    two_token_limits,
)
from collapse.norms import diameter, token_norm
from collapse.witnesses.layernorm import (
    crossed_tokens,
    equilibrium,
    postln_swap,
    swapped_tokens,
    two_tokens,
)

pytestmark = pytest.mark.usefixtures("ball_precision")
OPERATIONS = 400


# --- ln-orthogonal, ln-contraction ----------------------------------------------------------------


@pytest.mark.label("ln-orthogonal")
@pytest.mark.parametrize(("visible", "centres", "steps"), [(2, 1, 1), (5, 1, 3), (4, 4, 1)])
@pytest.mark.parametrize("beta", [0.0, 0.3, 2.0])
def test_the_factors_of_a_hemisphere_are_their_twins(
    beta: float, visible: int, centres: int, steps: int
) -> None:
    factors = hemisphere_factors(beta, visible, 0.4, 7, centres, steps)
    for t, factor in enumerate(factors):
        exact = twin.hemisphere(mpmath.mpf(beta), visible, mpmath.mpf(0.4), t, centres, steps)
        assert_agrees(factor, exact, 1.0, OPERATIONS)
    assert factors[-1] != hemisphere_factors(beta, visible, 0.404, 7, centres, steps)[-1]


def _stack(depth: int, cases: int, n: int, seed: int, mask: torch.Tensor | None) -> Network:
    """Random M of norm up to 2, orthogonal V, normalised rows, no skip."""
    source = generator(seed)
    M, V = torch.randn(2, cases, depth, 1, 3, 3, generator=source, dtype=torch.float64)
    M = (
        M
        / torch.linalg.matrix_norm(M, 2)[..., None, None]
        * 2
        * torch.rand(cases, 1, 1, 1, 1, generator=source, dtype=torch.float64)
    )
    eye = torch.eye(3, dtype=torch.float64).expand_as(M)
    return Network(M, eye, torch.linalg.qr(V).Q, skip=0.0, norm="row", mask=mask)


def _hemisphere(cases: int, n: int, seed: int) -> torch.Tensor:
    X = normal(cases, n, 3, seed=seed)
    return unit_rows(torch.cat((X[..., :2], X[..., 2:].abs() + 0.05), -1))


AXIS = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


@pytest.mark.label("ln-orthogonal")
@pytest.mark.parametrize("mask", [None, CAUSAL], ids=["complete", "causal"])
def test_diameters_stay_below_the_bound_of_the_hemisphere(mask: torch.Tensor | None) -> None:
    network, X = _stack(6, 2000, 4, 1, mask), _hemisphere(2000, 4, 2)
    Y, found = projected(X, AXIS), diameter(network.trace(X), 2)
    beta = network_sizes(network, 4, 2).query_key.amax((-1, -2))
    height = (X @ AXIS).amin(-1)
    bounds = hemisphere_factors(beta, 4, height, 6, centres=4 if mask is None else 1)
    for t, bound in enumerate(bounds):
        assert_below(found[:, t], bound * diameter(Y, 2), diameter(Y, 2), OPERATIONS)
    turning = network.replace(mask=torch.eye(4, dtype=torch.bool).roll(1, 0))  # no self-loops
    assert (diameter(turning(X), 2) > bounds[-1] * diameter(Y, 2)).any()


@pytest.mark.label("ln-contraction")
def test_the_projected_diameter_obeys_the_recursion() -> None:
    network, X = _stack(3, 2000, 4, 3, None), _hemisphere(2000, 4, 4)
    betas = list(network_sizes(network, 4, 2).query_key[..., 0].unbind(-1))
    bounds = stretched_diameters(betas, [1] * 3, diameter(projected(X, AXIS), 2))
    found = diameter(network.trace(X), 2)
    for t in range(4):
        assert_below(found[:, t], bounds[t], bounds[0], OPERATIONS)
    masked = diameter(network.replace(mask=CAUSAL).trace(X), 2)
    assert (masked[:, 3] > bounds[3]).any()  # no mask is a hypothesis


@pytest.mark.label("ln-contraction")
@pytest.mark.parametrize("b", ["1/3", "2"])
@pytest.mark.parametrize("kappa", ["1", "5/2"])
def test_two_tokens_attain_the_contraction(b: str, kappa: str) -> None:
    """tan φ′ = κ tanh(b sin²φ) tan φ, with φ given by sin φ = 3/5."""
    b_, kappa_ = (flint.arb(flint.fmpq(*map(int, (x + "/1").split("/")[:2]))) for x in (b, kappa))
    _, X = equilibrium([1], flint.arb(1), 2)
    one = X[0, 0]
    V = np.array([[kappa_, 0 * one], [0 * one, one]], dtype=object)
    M, eye = (np.array([[x, 0 * one], [0 * one, x]], dtype=object) for x in (b_, one))
    layer, _ = equilibrium([1], flint.arb(1), 2)
    layer = layer.replace(**{k: w[None, None] for k, w in
                             (("query", M), ("key", eye), ("value", V))})  # fmt: skip
    sin, cos = one * 3 / 5, one * 4 / 5
    tokens = np.array([[sin, cos], [-sin, cos]], dtype=object)
    after = layer(tokens)[0]
    widened = (after[0] / after[1]) / (sin / cos)
    factor = stretched_factor(b_, 2 * sin, kappa_)
    assert abs(widened - factor) < flint.arb(10) ** -40
    assert not abs(widened - factor * 99 / 100) < flint.arb(10) ** -4


@pytest.mark.label("ln-orthogonal")
def test_tokens_that_swap_and_tokens_that_stay() -> None:
    network, X = (lift(part, "arb") for part in swapped_tokens(3))
    assert token_norm(network(X) - X[::-1]) < flint.arb(10) ** -40
    assert token_norm(network(X) - X) > flint.arb(1) / 10
    network, X = (lift(part, "arb") for part in crossed_tokens("1/2", 3, 3))
    assert token_norm(network(X) - X) < flint.arb(10) ** -40
    moved = X + 0
    moved[0, 1] = moved[0, 1] + flint.arb(1) / 100
    assert token_norm(network(moved) - moved) > flint.arb(10) ** -4


# --- ln-equilibria --------------------------------------------------------------------------------


@pytest.mark.label("ln-equilibria")
@pytest.mark.parametrize(("n", "width"), [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("b", [-3, 1, 4])
def test_equilibria_of_every_rank_rest(n: int, width: int, b: int) -> None:
    for k in range(1, min(n, width) + 1):
        groups = [n - k + 1] + [1] * (k - 1)
        network, X = equilibrium(groups, flint.arb(b) / 2, width)
        assert X.shape == (n, width)
        assert token_norm(network(X) - X) < flint.arb(10) ** -30
        layer, tokens = in_floats(*equilibrium(groups, mpmath.mpf(b) / 2, width))
        assert torch.linalg.matrix_rank(tokens) == k
        off = layer.replace(query=layer.query * 1.01)(tokens) - tokens
        assert k == 1 or off.abs().max() > 1e-4


@pytest.mark.label("ln-equilibria")
@pytest.mark.parametrize("k", [2, 3, 4, 6])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("b", [-2.0, 0.5, 3.0])
def test_the_closed_multipliers_are_those_of_the_jacobian(k: int, size: int, b: float) -> None:
    """By sums of powers, in which no eigenvalue has to be found."""
    layer, X = in_floats(*equilibrium([size] * k, mpmath.mpf(b)))
    J = tangent_jacobian(layer, X)
    closed = equilibrium_multipliers(b, k, k * size)
    assert sum(times for _, times in closed) == len(J)
    power = torch.eye(len(J), dtype=torch.float64)
    for exponent in (1, 2, 3):
        power = power @ J
        total = sum(times * value**exponent for value, times in closed)
        scale = float(power.abs().sum()) + sum(t * abs(x) ** exponent for x, t in closed)
        assert_agrees(power.trace(), total, 100 * scale, OPERATIONS)
    wrong = equilibrium_multipliers(1.01 * b, k, k * size)
    assert abs(float(J.trace()) - sum(times * value for value, times in wrong)) > 1e-4


@pytest.mark.label("ln-equilibria")
def test_off_the_span_nothing_comes_back_and_rank_one_is_superstable() -> None:
    for groups, inside in (([3], 0), ([1, 2], 3)):
        layer, X = in_floats(*equilibrium(groups, mpmath.mpf(1), 4))
        values = torch.linalg.eigvals(tangent_jacobian(layer, X)).abs()
        assert int((values > 1e-6).sum()) <= inside


@given(st.floats(-8, 8).filter(lambda b: abs(b) > 1e-3), st.integers(2, 40))
@pytest.mark.label("ln-equilibria")
def test_the_symmetric_mode_is_unstable_and_from_four_on_not_the_fastest(b: float, k: int) -> None:
    symmetric = symmetric_multiplier(b, k)
    largest = max(abs(x) for x, times in equilibrium_multipliers(b, k, 2 * k) if times)
    assert symmetric > 1 and largest >= symmetric
    assert k < 4 or largest > symmetric
    assert 0 < own_share(b, k) < 1


@pytest.mark.label("ln-equilibria")
def test_group_values_undo_the_averaging() -> None:
    groups, b = [3, 1, 2], 0.7
    for g, own in enumerate(groups):
        weights = [n * math.exp(b * (g == h)) for h, n in enumerate(groups)]
        total = sum(weights)
        assert own
        for column in range(3):
            entry = sum(
                w / total * row[column]
                for w, row in zip(weights, group_values(groups, b), strict=True)
            )
            assert_agrees(entry, float(g == column), 20.0, OPERATIONS)


# --- ln-two-token ---------------------------------------------------------------------------------


@pytest.mark.label("ln-two-token")
@pytest.mark.parametrize("alpha", [90, 70, 45, 25, 10, 0, -31])
def test_limits_are_those_of_the_twin(alpha: int) -> None:
    angles = torch.arange(7, 360, 13, dtype=torch.float64)
    two = torch.tensor(2.0, dtype=torch.float64)
    first = torch.tensor(math.radians(alpha), dtype=torch.float64)
    limits = two_token_limits(two, first, angles.deg2rad(), 300)
    for angle, limit in zip(angles.tolist(), limits.tolist(), strict=True):
        start = mpmath.mpf(math.radians(alpha)), mpmath.mpf(math.radians(angle))
        end = twin.two_token_angle(mpmath.mpf(2), *start, 200)
        gap = abs(end - twin.second_limit(mpmath.mpf(2)))
        assert (gap < 0.2) == (limit == SECOND), (alpha, angle)
        assert (abs(end - mpmath.pi / 2) < 0.2) == (limit == TOP)


@pytest.mark.label("ln-two-token")
@pytest.mark.parametrize(
    ("w", "slope"), [(2.0, None), (2.0, 1.0), (2.0, 4 / 3), (1.3, 5.0), (6, 1)]
)
def test_the_basin_ends_at_its_edges(w: float, slope: float | None) -> None:
    first = math.pi / 2 if slope is None else math.atan(slope)
    s = repelling_slope(float(w), slope, 400)
    assert s is not None
    low, high = math.pi - math.atan(s), math.pi + first
    near = torch.tensor([low - 1e-6, low + 1e-6, high - 1e-6, high + 1e-6], dtype=torch.float64)
    scale = torch.tensor(float(w), dtype=torch.float64)
    limits = two_token_limits(scale, torch.tensor(first, dtype=torch.float64), near, 2000)
    assert limits.tolist() == [TOP, SECOND, SECOND, TOP]


@pytest.mark.label("ln-two-token")
def test_the_edge_in_balls_is_the_one_by_bisection() -> None:
    with flint.ctx.workprec(600):
        s = repelling_slope(flint.arb(2), flint.arb(1))
        assert s.rad() < flint.arb(10) ** -50
    with mpmath.workdps(30):
        quarter = mpmath.pi / 4
        low, high = mpmath.radians(170), mpmath.radians(180)
        for _ in range(40):
            middle = (low + high) / 2
            end = twin.two_token_angle(mpmath.mpf(2), quarter, middle, 200)
            falls = abs(end - twin.second_limit(mpmath.mpf(2))) < 0.2
            low, high = (low, middle) if falls else (middle, high)
        assert abs(float(s) + mpmath.tan(low)) < 1e-10


@pytest.mark.label("ln-two-token")
def test_the_grid_decides_whether_it_is_48_or_49() -> None:
    two, first = (torch.tensor(x, dtype=torch.float64) for x in (2.0, math.pi / 4))
    whole = torch.arange(360, dtype=torch.float64)
    counts = [
        [int((two_token_limits(two, first, (whole + shift).deg2rad(), 400) == limit).sum())
         for limit in (SECOND, UNDECIDED)] for shift in (0, 0.5)
    ]  # fmt: skip
    assert counts == [[48, 1], [49, 0]]


@pytest.mark.label("ln-two-token")
@given(st.floats(1.01, 20), st.floats(-50, 50), st.floats(0.01, 50) | st.none())
def test_a_layer_undoes_its_preimage(w: float, s: float, slope: float | None) -> None:
    across, up = two_token_preimage(s, w, slope)
    ahead = s + w > 0 if slope is None else slope * (s + w) > 1
    if ahead and across < 0:
        back = up / -across
        h, c = 1 / math.hypot(1, back), 0 if slope is None else 1 / math.hypot(1, slope)
        if h > 1.001 * c:  # else the quotient cancels
            again = two_token_step(back, w, slope)
            scale = (1 + abs(s) + w) * (1 + abs(back)) ** 2 * (1 + (slope or 0)) / (h - c) ** 2
            assert_agrees(again, s, scale, OPERATIONS)


@pytest.mark.label("ln-two-token")
def test_multipliers_are_the_slopes_of_the_map() -> None:
    w, step = 3.0, 1e-6
    edge = math.sqrt(w * w - 1)
    closed = two_token_multipliers(w)
    for name, s in (("second", -edge), ("repeller", edge)):
        slope = (two_token_step(s + step, w) - two_token_step(s - step, w)) / (2 * step)
        assert slope == pytest.approx(closed[name], abs=1e-8)
        assert slope != pytest.approx(1.01 * closed[name], abs=1e-4)
    network, X = two_tokens(mpmath.mpf(3), (0, 1), (0, 1), 1)
    assert float(abs(network(X) - X).max()) == 0 and closed["top"] == 0.5


# --- preln-collapse, postln-collapse, postln-floor ------------------------------------------------


@pytest.mark.label("preln-collapse")
@pytest.mark.label("postln-collapse")
@pytest.mark.parametrize("size", [0.01, 0.1, 0.6])
def test_the_recursions_are_their_twins(size: float) -> None:
    nu, beta = torch.rand(2, 3, 2, generator=generator(5), dtype=torch.float64) * size
    sizes = Sizes(nu, nu.sum(-1), beta)
    heads = [[(mpmath.mpf(float(n)), mpmath.mpf(float(b))) for n, b in zip(*layer, strict=True)]
             for layer in zip(nu, beta, strict=True)]  # fmt: skip
    D0, short = (torch.tensor(x, dtype=torch.float64) for x in (1.5, 0.7))
    pre, post = preln_collapse(sizes, 3, short, D0), postln_collapse(sizes, D0)
    exact = twin.before(heads, 3, mpmath.mpf(0.7), mpmath.mpf(1.5))
    assert_agrees(pre, exact, 10.0, OPERATIONS)
    assert_agrees(post, twin.after(heads, mpmath.mpf(1.5)), 10.0, OPERATIONS)
    assert abs(float(pre) * 1.01 - exact) > 1e-8


@given(st.floats(0, 3))
@pytest.mark.label("postln-collapse")
def test_a_chord_is_its_twin(moved: float) -> None:
    # The arc sine is steep at 1: there the root of the rounding is lost.
    if abs(moved - 1) > 1e-6:
        assert_agrees(turned(moved), twin.chord(mpmath.mpf(moved)), 1000.0, OPERATIONS)


@pytest.mark.label("preln-collapse")
@pytest.mark.label("postln-collapse")
@pytest.mark.parametrize("norm", ["pre", "row"])
@pytest.mark.parametrize("mask", [None, CAUSAL, SCATTERED], ids=["plain", "causal", "scattered"])
def test_one_layer_is_within_the_bound_and_the_tokens_are_not(
    norm: str, mask: torch.Tensor | None
) -> None:
    cases = 500
    eta = 10 ** (3 * torch.rand(cases, generator=generator(6), dtype=torch.float64) - 3)
    network = Network.random(3, 2, 3, 2, eta, generator(7)).replace(norm=norm, mask=mask)
    X = normal(cases, 4, 3, seed=8)
    X = unit_rows(X) if norm == "row" else X
    error = token_norm(network(X) - normalised_layer(network)(X), 2)
    bound = normalised_bound(network, X)
    assert bound.label == {"pre": "preln-collapse", "row": "postln-collapse"}[norm]
    assert_below(error, bound.value, 1 + token_norm(X, 2), OPERATIONS)
    assert (token_norm(network(X) - X, 2) > bound.value).any()


@pytest.mark.label("postln-floor")
def test_no_causal_layer_tells_the_two_orders_apart() -> None:
    network, X, swapped = postln_swap(flint.arb(1) / 5)
    floor = postln_causal_floor(flint.arb(1) / 5)
    outputs = [network(tokens)[2] for tokens in (X, swapped)]
    half = max(abs(a - b) for a, b in zip(*outputs, strict=True)) / 2
    assert abs(half - floor) < flint.arb(10) ** -40 and half > floor * 99 / 100
    shallow = Network.random(1, 2, 2, 2, 1.0, generator(9)).replace(
        mask=torch.ones(3, 3, dtype=torch.bool).tril(), norm="row"
    )
    tokens = [torch.tensor(Z.astype(float), dtype=torch.float64) for Z in (X, swapped)]
    rows = [shallow(Z)[2] for Z in tokens]
    deep = [torch.tensor(row.astype(float), dtype=torch.float64) for row in outputs]
    assert_below((rows[0] - rows[1]).abs(), 0.0, 4.0, OPERATIONS)
    assert max(float((r - d).abs().max()) for r, d in zip(rows, deep, strict=True)) >= float(floor)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: projected(-torch.eye(2), torch.tensor([1.0, 0.0])), "X: expected tokens with a·x"),
        (lambda: repelling_slope(1.0), "w: expected w > 1, received 1.0"),
        (lambda: repelling_slope(2.0, -1.0), "slope: expected a > 0"),
        (lambda: repelling_slope(2.0, 1.0, 0), "layers: expected more layers"),
        (lambda: equilibrium([1, 1], mpmath.mpf(0)), "b: expected b != 0"),
        (lambda: equilibrium([], mpmath.mpf(1)), "groups: expected at least one"),
        (lambda: equilibrium([1, 1], mpmath.mpf(1), 1), "width: expected at least k = 2"),
        (lambda: equilibrium_multipliers(1.0, 1, 2), "k: expected k >= 2"),
        (lambda: equilibrium_multipliers(1.0, 2, 3), "tokens: expected a multiple of k"),
        (lambda: crossed_tokens(-1, 2, 1), "b: expected b > 0"),
        (lambda: projected_weight(2.0, 0.5), "weight: expected a weight in"),
        (lambda: stretched_factor(1.0, 1.0, 0.5), "condition: expected condition >= 1"),
        (lambda: turned(-1.0), "moved: expected a ratio >= 0"),
        (lambda: postln_causal_floor(-1.0), "eta: expected eta >= 0"),
        (lambda: two_token_multipliers(1.0), "w: expected w > 1"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()


def test_networks_that_do_not_fit_are_named() -> None:
    plain = Network.random(2, 1, 2, 2, 0.1, generator(0))
    X = torch.eye(2, dtype=torch.float64)
    for function in (normalised_bound, tangent_jacobian):
        with pytest.raises(ValueError, match="norm: expected"):
            function(plain, X)
    with pytest.raises(ValueError, match="norm: expected"):
        normalised_layer(plain)
    row, pre = (plain.replace(norm=norm) for norm in ("row", "pre"))
    with pytest.raises(ValueError, match="skip: expected 1"):
        normalised_bound(row.replace(skip=0.0), X)
    with pytest.raises(ValueError, match="X: expected tokens of length 1"):
        normalised_bound(row, 2 * X)
    with pytest.raises(ValueError, match="X: expected a fixed point"):
        tangent_jacobian(row, X)
    with pytest.raises(ValueError, match="X: expected tokens of length > 0"):
        normalised_bound(pre, 0 * X)
    for mask in (None, torch.ones(len(X), len(X), dtype=torch.bool)):
        with pytest.raises(ValueError, match="attention: expected"):
            normalised_bound(pre.replace(rope=10.0, mask=mask), X)
    with pytest.raises(ValueError, match="first: expected angles"):
        two_token_limits(torch.tensor(2.0), torch.tensor(3.0), torch.tensor(1.0), 1)


def test_every_multiplicity_adds_up() -> None:
    for k, size in itertools.product(range(2, 9), (1, 3)):
        found = equilibrium_multipliers(1.0, k, k * size)
        assert sum(times for _, times in found) == k * size * (k - 1)

"""Weighted skips: what they keep, what absorbs them, J24's bound, and the two-token threshold."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import flint
import mpmath
import pytest
import torch
from strategies import CASES, assert_below, generator, normal

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.contraction import contraction_factor
from collapse.bounds.weighted_pairs import merging, narrowing, two_token_mixer
from collapse.bounds.weighted_skips import (
    j24_best,
    j24_margin,
    j24_threshold,
    normalised_factor,
    row_drift,
    threshold_rate,
    total_drift,
)
from collapse.exact import lift
from collapse.kernels import unit_rows
from collapse.lambda_skip import j24_least_skip, kept_diameters, mixed, weighted_trace
from collapse.norms import diameter, token_norm, value_norm
from collapse.norms.measures import mean_residual_norm
from collapse.numeric import exact
from collapse.rescaling import unit_skip
from collapse.witnesses.weighted_skips import cancelling, softmax_cancelling

OPERATIONS = 300
EACH = CASES // 10

pytestmark = pytest.mark.usefixtures("ball_precision")


def spread_out(cases: int, low: float, high: float, source: torch.Generator) -> torch.Tensor:
    return 10 ** (low + (high - low) * torch.rand(cases, generator=source, dtype=torch.float64))


def drawn(cases: int, depth: int, heads: int, **options: Any) -> tuple[Network, torch.Tensor]:
    """Gaussian weights of many sizes and unit tokens from near to far apart, in width 3."""
    source = generator(9)
    size = spread_out(cases, -1, 1.5, source)[:, None, None, None, None]
    query, key, value = (
        torch.randn(cases, depth, heads, 3, 3, generator=source, dtype=torch.float64)
        for _ in range(3)
    )
    centre = torch.randn(cases, 1, 3, generator=source, dtype=torch.float64)
    noise = torch.randn(cases, 4, 3, generator=source, dtype=torch.float64)
    Y = unit_rows(centre + spread_out(cases, -2, 1, source)[:, None, None] * noise)
    return Network(query * size, key, value, **options), Y


def plain_layer(
    X: list[list[float]], M: list[list[float]], V: list[list[float]], skip: float
) -> list[list[float]]:
    """D(softmax(XMXᵀ)XV + λX) in plain loops: the slow twin."""
    n, d = len(X), len(X[0])
    rows = []
    for i in range(n):
        logits = [
            sum(X[i][a] * M[a][b] * X[j][b] for a in range(d) for b in range(d)) for j in range(n)
        ]
        weights = [math.exp(x - max(logits)) for x in logits]
        mean = [sum(w * X[j][a] for j, w in enumerate(weights)) / sum(weights) for a in range(d)]
        z = [skip * X[i][b] + sum(mean[a] * V[a][b] for a in range(d)) for b in range(d)]
        length = math.sqrt(sum(x * x for x in z))
        rows.append([x / length for x in z])
    return rows


# --- lambda-skip ---------------------------------------------------------------------------------


@pytest.mark.label("lambda-skip")
@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("masked", [False, True])
def test_the_raw_bound_holds_layer_after_layer(p: float, masked: bool) -> None:
    mask = torch.ones(4, 4, dtype=torch.bool).tril() if masked else None
    skip = spread_out(EACH, -1, 1.5, generator(1))
    network, X = drawn(EACH, 1, 2, skip=-skip, mask=mask)
    kept = kept_diameters(network, X, p)
    scale = token_norm(X, p) * (skip + value_norm(network.value, p).sum((-2, -1)))
    assert_below(kept[:, 1], diameter(network(X), p), scale, OPERATIONS)


@pytest.mark.label("lambda-skip")
@pytest.mark.parametrize("masked", [False, True])
def test_the_normalised_bound_holds_for_both_signs(masked: bool) -> None:
    mask = torch.ones(4, 4, dtype=torch.bool).tril() if masked else None
    network, Y = drawn(EACH, 3, 2, norm="row", mask=mask)
    v = value_norm(network.value, 2).sum(-1).amax(-1)
    source = generator(2)
    sign = 1 - 2.0 * (torch.arange(EACH) % 2)
    network = network.replace(skip=sign * v * (1 + spread_out(EACH, -1, 1, source)))
    kept, trace = kept_diameters(network, Y), network.trace(Y)
    assert (kept[:, 1] > 0).double().mean() > 0.5  # the bound says something
    assert_below(kept, diameter(trace, 2), 10 * v[:, None] / v.amin(), OPERATIONS)


@pytest.mark.label("lambda-skip")
@pytest.mark.parametrize("skip", ["2", "5/2", "20"])
@pytest.mark.parametrize("strength", ["0", "1/2", "4"])
def test_close_tokens_attain_the_normalised_bound(skip: str, strength: str) -> None:
    t, one, weight, logits = (lift(x, "arb") for x in exact(["1/10000", 1, skip, strength]))
    s = 2 * t / (1 + t * t)
    network, Y = narrowing(t, logits / (s * s), one, weight)
    gaps = (Z[1] - Z[0] for Z in (Y, network(Y)))
    before, after = ((gap * gap).sum().sqrt() for gap in gaps)
    share, K = after / before, logits.tanh()
    factor = normalised_factor(weight, one, K)
    assert factor <= share < factor * flint.arb("1.0001")
    assert share < factor * flint.arb("1.01")  # one per cent more would be false


@pytest.mark.label("lambda-skip")
@pytest.mark.parametrize("s", ["1/5", "1/2", "7/10"])
def test_below_v_two_tokens_become_equal_exactly(s: str) -> None:
    angle, v = exact([s, 5])
    network, Y = merging(angle, angle / 2, v)
    Z = network.replace(norm=None)(Y)
    assert 0 < network.skip < 5 and all(isinstance(z, Fraction) for z in Z.flat)
    assert (Z[:, 0] == 0).all() and (Z[:, 1] < 0).all() and (Y[0] != Y[1]).any()
    network, Y = merging(angle, angle * 5 / 4, v)
    far = network.replace(norm=None)(Y)
    assert far[0, 1] < 0 < far[1, 1]  # control: farther tokens become opposite instead
    apart = network.replace(norm=None, skip=6)(Y)
    assert apart[0, 0] * apart[1, 1] != apart[0, 1] * apart[1, 0]  # control: |λ| > v


@pytest.mark.label("lambda-skip")
def test_traces_agree_with_loops_and_with_the_network() -> None:
    network, Y = drawn(1, 3, 1, norm="row", skip=0.7)
    expected = Y[0].tolist()
    M, V = network.query_key[0, :, 0], network.value[0, :, 0]
    for layer in range(3):
        expected = plain_layer(expected, M[layer].tolist(), V[layer].tolist(), 0.7)
    assert network(Y)[0].tolist() == [pytest.approx(row, abs=1e-12) for row in expected]
    layers = [lambda X, k=k: network.attention(X, k) for k in range(3)]
    trace = weighted_trace(layers, Y, 0.7)
    assert torch.allclose(trace, network.trace(Y), rtol=0, atol=1e-14)
    raw = weighted_trace(layers, Y, torch.tensor([0.7], dtype=Y.dtype), normalise=False)
    assert torch.allclose(raw, network.replace(norm=None).trace(Y), rtol=1e-12, atol=0)
    explode = weighted_trace([lambda X: X * 1e200] * 3, Y, 1.0, normalise=False)
    assert torch.isfinite(explode[:, :2]).all() and torch.isnan(explode[:, 3]).all()


def test_bad_input_to_the_bounds_is_named() -> None:
    network, Y = drawn(1, 1, 1, norm="row")
    with pytest.raises(ValueError, match="skip: expected"):
        kept_diameters(network.replace(skip=1e-3), Y)
    with pytest.raises(ValueError, match="X: expected rows of length 1"):
        kept_diameters(network, 2 * Y)
    with pytest.raises(ValueError, match="p: expected 2 with row"):
        kept_diameters(network, Y, 1)
    with pytest.raises(ValueError, match="norm: expected"):
        kept_diameters(network.replace(norm="pre"), Y)
    for call, word in (
        (lambda: normalised_factor(1.0, -1.0, 0.0), "v"),
        (lambda: normalised_factor(1.0, 0.5, -1.0), "K"),
        (lambda: row_drift(1.5), "ratio"),
        (lambda: total_drift(0.0, 1.0), "skip"),
        (lambda: threshold_rate(-1.0, 1.0, 1.0), "skip"),
        (lambda: threshold_rate(1.0, 1.0, 0.0), "given"),
        (lambda: j24_threshold(1.0, 1, 2.0, 1.0, 2, 2), "a"),
        (lambda: j24_threshold(0.9, 1, 2.0, 1.0, 2, 2), "margin"),
        (lambda: j24_threshold(0.1, 0, 2.0, 1.0, 2, 2), "depth"),
        (lambda: j24_best(0, 1.0), "depth"),
        (lambda: j24_best(1, 0.0), "ratio"),
        (lambda: j24_least_skip(1, 0), "width"),
        (lambda: j24_least_skip(1, 1, 0.0), "size"),
        (lambda: j24_least_skip(1, 1, 1.0, 2.0), "share"),
        (lambda: unit_skip(network, torch.zeros(1).double()), "weights"),
        (lambda: unit_skip(network, torch.ones(2).double()), "weights"),
        (lambda: unit_skip(network.replace(norm="pre")), "norm"),
    ):
        with pytest.raises(ValueError, match=f"^{word}: expected"):
            call()


# --- lambda-rescaling ----------------------------------------------------------------------------


@pytest.mark.label("lambda-rescaling")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "row"},
        {"mask": torch.ones(4, 4, dtype=torch.bool).tril()},
        {"mixer_scale": 2.0},
    ],
)
def test_weights_of_skips_are_absorbed(options: dict[str, Any]) -> None:
    network, X = drawn(50, 3, 2, **options)
    network = network.replace(query=network.query / 30, value=network.value / 4)
    weights = normal(50, 3, seed=4) + 0.1
    expected = X
    for layer in range(3):
        one = network.layers(layer, layer + 1).replace(skip=weights[:, layer])
        expected = one(expected)
    plain, scale = unit_skip(network, weights)
    assert plain.skip == 1
    assert torch.allclose(scale[:, None, None] * plain(X), expected, rtol=1e-9, atol=1e-9)
    short, part = unit_skip(network, weights.abs())  # control: signs dropped
    assert not torch.allclose(part[:, None, None] * short(X), expected, rtol=1e-3, atol=1e-3)


# --- skip-drift, j24-lower-bound -----------------------------------------------------------------


@pytest.mark.label("lambda-skip")
@pytest.mark.parametrize("skip", [3.0, -1e5, 1e160])
@pytest.mark.parametrize("K", [0.1, 1.5])
def test_the_share_kept_is_that_of_its_formula_at_every_size(skip: float, K: float) -> None:
    size, v, k = Fraction(abs(skip)), Fraction(1), Fraction(K)
    plain = (size - k) / (size + v) if k <= size - v else (1 - k**2 / (size**2 - v**2)) / 2
    assert normalised_factor(skip, 1.0, K) == pytest.approx(float(plain), rel=1e-15)
    many = torch.tensor([skip], dtype=torch.float64)
    assert normalised_factor(many, 1.0, K).item() == pytest.approx(float(plain), rel=1e-15)


@pytest.mark.label("skip-drift")
def test_tokens_move_no_farther_than_the_lemma_says() -> None:
    source = generator(5)
    Y = unit_rows(torch.randn(EACH, 4, 3, generator=source, dtype=torch.float64))
    size = spread_out(EACH, -2, 1, source)
    added = torch.randn(EACH, 4, 3, generator=source, dtype=torch.float64) * size[:, None, None]
    skip = 1 - 2.0 * (torch.arange(EACH) % 2)
    Z = unit_rows(added + skip[:, None, None] * Y)
    lost = mean_residual_norm(Y) - mean_residual_norm(Z)
    assert_below(lost, total_drift(skip, torch.linalg.matrix_norm(added)), 10.0, OPERATIONS)
    ratio = torch.linalg.vector_norm(added, dim=-1).amax(-1)
    small = ratio <= 1
    assert 0.2 < small.double().mean() < 0.9
    assert_below(lost[small], 2 * row_drift(ratio[small]), 10.0, OPERATIONS)


@pytest.mark.label("skip-drift")
@pytest.mark.parametrize("ratio", [1e-3, 1e-7, 3e-9, 1e-300])
def test_a_small_drift_is_not_lost_in_rounding(ratio: float) -> None:
    with mpmath.workdps(700):
        t = mpmath.mpf(ratio)
        expected = float(mpmath.sqrt(2 - 2 * mpmath.sqrt(1 - t * t)))
    found = row_drift(torch.tensor(ratio, dtype=torch.float64)).item()
    assert row_drift(ratio) == pytest.approx(expected, rel=1e-15, abs=0)
    assert found == pytest.approx(expected, rel=1e-15, abs=0)


@pytest.mark.label("skip-drift")
@pytest.mark.parametrize("tokens", [2, 10, 1000])
def test_the_constant_two_is_approached(tokens: int) -> None:
    Y = torch.ones(tokens, 1, dtype=torch.float64)
    Y[-1] = -1
    added = torch.zeros_like(Y)
    added[-1] = 1 + 1e-9
    lost = mean_residual_norm(Y) - mean_residual_norm(unit_rows(Y + added))
    bound = total_drift(1.0, torch.linalg.matrix_norm(added))
    assert lost / bound == pytest.approx(math.sqrt(1 - 1 / tokens), rel=1e-8)


@pytest.mark.label("j24-lower-bound")
@pytest.mark.parametrize("skip", ["-1", "-1/3", "-7"])
def test_the_printed_bound_is_refuted_in_rationals(skip: str) -> None:
    M, Y = cancelling(skip)
    Z = M @ Y + Fraction(skip) * Y
    assert (Z[0] == Z[1]).all() and (Z != 0).all()
    size, a = abs(Fraction(skip)) * 2, Fraction(1, 20)  # ‖M‖ ‖I‖ = |λ| √2 < 2|λ|
    assert j24_margin(a, Fraction(skip), size) > 0
    assert j24_threshold(a, 1, Fraction(skip), size, 2, 2, printed=True) < 0
    assert j24_threshold(a, 1, Fraction(skip), size, 2, 2) > 2  # control: μ² ≤ 2 forbids it


@pytest.mark.label("j24-lower-bound")
def test_softmax_attention_refutes_it_too() -> None:
    network, Y = softmax_cancelling(flint.arb(5).log())
    Z = network.replace(norm=None)(Y)
    assert max(abs(Z[0] - Z[1])) < flint.arb(10) ** -12 and Z[0, 0] > flint.arb("0.16")
    other = network.replace(norm=None, skip=-network.skip)(Y)
    assert abs(other[0, 0] - other[1, 0]) > 1


@pytest.mark.label("j24-lower-bound")
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_repaired_bound_holds_where_it_says_anything(width: int, sign: int) -> None:
    """Adversarial additions too: all of SC_M spent on turning tokens round."""
    cases, tokens, depth = 400, 40, 3
    source = generator(width)
    Y = unit_rows(torch.randn(cases, tokens, width, generator=source, dtype=torch.float64))
    share = (mean_residual_norm(Y).square() / tokens).amin()
    M = torch.randn(cases, tokens, tokens, generator=source, dtype=torch.float64)
    flipping = torch.zeros_like(M)
    flipping[:, 0] = -sign * (Y @ Y[:, :1].mT)[..., 0]  # one row that points against its token
    M = torch.where(torch.arange(cases)[:, None, None] % 2 == 0, M, flipping)
    M = M / torch.linalg.matrix_norm(M)[:, None, None]
    V = torch.eye(width, dtype=torch.float64) / math.sqrt(width)
    weight = j24_least_skip(depth, width, 1.0, float(share)) * 1.000001
    a = j24_best(depth, 1 / weight)[0]
    Z = Y
    for _ in range(depth):
        Z = mixed(M, Z, V, sign * weight)
    mu0, mu = (mean_residual_norm(X).square() for X in (Y, Z))
    assert j24_threshold(a, depth, sign * weight, 1.0, tokens, width) <= share * tokens
    assert_below(a**depth * mu0, mu, float(tokens), OPERATIONS)


@pytest.mark.label("j24-lower-bound")
@pytest.mark.parametrize("depth", [1, 3, 20])
def test_the_best_a_asks_least(depth: int) -> None:
    ratio = 0.01
    a, least = j24_best(depth, ratio)
    grid = torch.linspace(0.001, 1, 4001, dtype=torch.float64)[:-1] / (1 + ratio) ** 2
    asked = j24_threshold(grid, depth, torch.tensor(1.0).double(), ratio, 1, 1)
    assert asked.min() >= least * (1 - 1e-12) and asked.min() < least * 1.001
    assert j24_threshold(a, depth, 1.0, ratio, 1, 1) == pytest.approx(least, rel=1e-12)
    weight = j24_least_skip(depth, 4, 2.0, 0.5)
    assert 4 * j24_best(depth, 2 / weight)[1] == pytest.approx(0.5, rel=1e-9)


# --- lambda-threshold ----------------------------------------------------------------------------


@pytest.mark.label("lambda-threshold")
@pytest.mark.parametrize("above", [True, False])
def test_two_tokens_approach_their_limit_at_the_rate(above: bool) -> None:
    source = generator(6)
    angle, angle2 = (2 * math.pi * torch.rand(EACH, generator=source).double() for _ in range(2))
    Y = torch.stack([torch.stack((t.cos(), t.sin()), -1) for t in (angle, angle2)], -2)
    kept = torch.randn(EACH, generator=source, dtype=torch.float64)
    given, gap = (spread_out(EACH, -2, 2, source) for _ in range(2))
    skip = (gap if above else -gap) - kept
    M = two_token_mixer(kept, given)
    Z = mixed(M, Y, torch.eye(2, dtype=torch.float64), skip)

    def half(X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [torch.linalg.vector_norm(X[:, 0] + s * X[:, 1], dim=-1) for s in (-1, 1)]
        return (parts[0], parts[1]) if above else (parts[1], parts[0])

    (near, far), (before, beyond) = half(Z), half(Y)
    rate = threshold_rate(skip, kept, given)
    scale = 100 * (1 + kept.abs() + skip.abs()) / gap.clamp(max=1)
    assert_below(near * beyond, rate * before * far, scale, OPERATIONS)
    tighter = near * beyond > 0.99 * rate * before * far
    assert tighter.any()  # one per cent less would be false


@pytest.mark.label("lambda-threshold")
def test_below_the_threshold_the_measure_is_largest_and_the_rank_one() -> None:
    M = two_token_mixer(torch.tensor(1.5).double(), torch.tensor(1.0).double())
    eye = torch.eye(2, dtype=torch.float64)
    for skip, measure in ((-1.4, 0.0), (-1.6, math.sqrt(2))):
        Y = eye
        for _ in range(100):
            Y = mixed(M, Y, eye, skip)
        assert float(mean_residual_norm(Y)) == pytest.approx(measure, abs=1e-9)
        assert torch.linalg.svdvals(Y)[1] < 1e-9


def test_contraction_factor_is_what_the_bound_uses() -> None:
    """With K replaced by 0 the bound would be violated: it cannot be dropped."""
    one = torch.tensor(1.0).double()
    network, Y = narrowing(1e-3 * one, 1e6 * one, one, 3 * one)
    sizes = network_sizes(network, 2, 2)
    K = contraction_factor(sizes, 0, diameter(Y, 2) * 0, diameter(Y, 2))
    share = diameter(network(Y), 2) / diameter(Y, 2)
    assert normalised_factor(3 * one, one, K) <= share < normalised_factor(3 * one, one, 0 * K)

"""The results on softmax under balanced perturbation: 10⁵ cases each, attained, broken by 1%."""

from __future__ import annotations

import math

import mpmath
import pytest
import reference
import torch
from strategies import CASES, assert_below, generator, rough, size, softmax_slack

from collapse.norms import diameter, query_key_norm, token_norm
from collapse.numeric import rounding_allowance
from collapse.softmax import (
    balance,
    entry_bound,
    extremal_pair,
    oscillation,
    ratio_bound,
    retrieval_threshold,
    softmax,
    total_variation,
    tv_bound,
    tv_bounds,
    uniform_tv_bound,
)

WIDTHS = (1, 2, 3, 5, 20)
EACH = CASES // len(WIDTHS)
THETAS = [1e-6, 0.01, 0.5, 1.2564, 3.0, 10.0, 30.0]


def logits_and_shift(m: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits A, the sum A + E as floats, and the balance θ of their true difference."""
    A = rough(EACH, 1, m, seed=seed).clamp(-30, 30)
    E = rough(EACH, 1, m, seed=seed + 1).clamp(-5, 5)
    two_levels = torch.arange(EACH)[:, None, None] % 2 == 0
    E = torch.where(two_levels, torch.sign(E) * E.abs().amax(-1, keepdim=True), E)
    shifted = A + E
    return A, shifted, balance(shifted - A)[:, None, None]


# --- softmax-ratio, softmax-tv, softmax-entry ----------------------------------------------------


@pytest.mark.label("softmax-ratio")
@pytest.mark.parametrize("m", WIDTHS)
def test_no_entry_changes_by_more_than_its_share(m: int) -> None:
    A, shifted, theta = logits_and_shift(m, seed=10)
    P, after, grown = softmax(A), softmax(shifted), torch.exp(theta)
    slack = 2 * softmax_slack(A)
    assert_below(after, grown * P, grown * P + after, slack)
    assert_below(P, grown * after, grown * after + P, slack)
    assert_below((after - P).abs(), ratio_bound(theta) * P, grown * P + after, slack)


@pytest.mark.label("softmax-tv")
@pytest.mark.parametrize("m", WIDTHS)
def test_total_variation_is_at_most_tanh_of_a_quarter(m: int) -> None:
    A, shifted, theta = logits_and_shift(m, seed=20)
    distance = total_variation(softmax(A), softmax(shifted))
    assert_below(distance, tv_bound(theta[..., 0]), 1.0, 2 * softmax_slack(A))


@pytest.mark.label("softmax-entry")
@pytest.mark.parametrize("m", WIDTHS)
def test_no_entry_moves_farther_than_its_bound(m: int) -> None:
    A, shifted, theta = logits_and_shift(m, seed=30)
    P, after = softmax(A), softmax(shifted)
    slack = 2 * softmax_slack(A)
    moved, bound = (after - P).abs(), entry_bound(P.clamp(max=1), theta)
    # Rounding in P passes into the bound magnified by its slope in P, at most e^θ.
    assert_below(moved, bound, torch.exp(theta) * P + after, slack)
    assert_below(bound, tv_bound(theta), 1.0, slack)


@pytest.mark.label("softmax-tv")
@pytest.mark.label("softmax-ratio")
@pytest.mark.label("softmax-entry")
@pytest.mark.parametrize("theta", THETAS)
def test_the_extremal_pair_attains_the_bound(theta: float) -> None:
    A, E = extremal_pair(torch.tensor(theta, dtype=torch.float64))
    P, after = softmax(A), softmax(A + E)
    assert balance(E) == theta
    assert abs(float(P[0, 0]) - 1 / (1 + math.exp(theta / 2))) < 1e-15
    moved = {
        float(total_variation(P, after)): tv_bound(theta),
        float((after - P).abs().max()): tv_bound(theta),
        float((after - P)[0, 0]): float(entry_bound(P, theta)[0, 0]),
    }
    for measured, bound in moved.items():
        # Near equal rows the difference of two entries keeps only so many digits.
        assert measured >= 0.999 * bound and measured > 0.99 * bound
        assert measured <= bound + rounding_allowance(1.0, softmax_slack(A))


@pytest.mark.label("softmax-ratio")
@pytest.mark.parametrize("theta", THETAS)
def test_the_ratio_is_approached_on_a_small_entry(theta: float) -> None:
    A = torch.tensor([[-40.0 - theta, 0.0]], dtype=torch.float64)
    E = torch.tensor([[theta, 0.0]], dtype=torch.float64)
    P, after = softmax(A), softmax(A + E)
    increase = torch.expm1(torch.log(after[0, 0]) - torch.log(P[0, 0]))
    assert theta < 1e-3 or increase > 0.999 * ratio_bound(theta)


@pytest.mark.label("softmax-entry")
@pytest.mark.parametrize("theta", [0.1, 1.0, 4.0])
def test_the_entry_bound_is_attained_on_both_sides_of_a_half(theta: float) -> None:
    first = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    for p in (0.001, 0.1, 0.5, 0.9, 0.999):
        A = torch.tensor([[math.log(p), math.log1p(-p)]], dtype=torch.float64)
        rises, falls = (softmax(A + sign * theta * first) - softmax(A) for sign in (1, -1))
        farthest = max(abs(float(rises[0, 0])), abs(float(falls[0, 0])))
        bound = entry_bound(p, theta)
        assert abs(farthest - bound) <= rounding_allowance(1.0, softmax_slack(A))
        one_sided = float(reference.two_level_shift(mpmath.mpf(p), mpmath.mpf(theta)))
        # The formula for rising alone is too small above a half: the minimum is needed.
        assert (farthest > one_sided + 1e-6) == (p > 0.5)


# --- softmax-compare -----------------------------------------------------------------------------


@pytest.mark.label("softmax-compare")
@pytest.mark.parametrize("theta", THETAS)
def test_the_true_worst_case_by_search_meets_the_sharp_bound_alone(theta: float) -> None:
    logit = torch.linspace(-theta - 1, theta + 1, 20_001, dtype=torch.float64)
    q = torch.sigmoid(logit)
    worst = float((torch.sigmoid(logit + theta) - q).max())
    bounds = tv_bounds(theta)
    assert worst >= 0.999 * bounds["sharp"]
    for name, bound in bounds.items():
        assert name == "d21" and theta > 1.2565 or worst <= bound + rounding_allowance(1.0, 16)
    assert bounds["sharp"] <= min(bounds["linear"], bounds["as25"], bounds["d21"])


@pytest.mark.label("softmax-compare")
def test_d21s_form_holds_up_to_the_root_of_exp_x_is_1_plus_2x() -> None:
    root = mpmath.findroot(lambda x: mpmath.exp(x) - 1 - 2 * x, 1.2)
    assert abs(root - mpmath.mpf("1.2564")) < 1e-4
    for theta, holds in ((0.01, True), (1.25, True), (1.2564, True), (1.2565, False)):
        assert (ratio_bound(theta) <= 2 * theta) is holds
        assert 1 - theta <= math.exp(-theta)


# --- uniform-tv ----------------------------------------------------------------------------------


@pytest.mark.label("uniform-tv")
@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("n", WIDTHS)
def test_rows_of_attention_are_near_uniform(n: int, p: float) -> None:
    cases = EACH if p == 2 else EACH // 10
    X, M = rough(cases, n, 2, seed=40).clamp(-8, 8), rough(cases, 2, 2, seed=41).clamp(-1, 1)
    logits = X @ M @ X.mT
    spread, distance = oscillation(logits), total_variation(softmax(logits), uniform(n))
    slack = softmax_slack(logits)
    assert_below(distance, tv_bound(spread), 1.0, slack)
    assert_below(distance, uniform_tv_bound(spread, n), 1.0, slack)
    row, beta, width = token_norm(X[:, :, None], p), query_key_norm(M, p), diameter(X, p)
    reach = row * (beta * width)[:, None]
    scale = 8 * token_norm(X)[:, None] ** 2 * query_key_norm(M)[:, None]
    assert_below(spread, reach, scale, 60)


def uniform(n: int) -> torch.Tensor:
    return torch.full((n, n), 1 / n, dtype=torch.float64)


@pytest.mark.label("uniform-tv")
@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize("n", [2, 3, 10, 101])
def test_the_uniform_bound_is_attained_at_every_n(n: int, theta: float) -> None:
    A = theta * torch.ones(n, n, dtype=torch.float64).tril()  # row k: k + 1 tokens ahead
    farthest = float(total_variation(softmax(A), uniform(n)).max())
    bound = uniform_tv_bound(theta, n)
    assert farthest >= 0.999 * bound and farthest > 0.99 * bound
    assert farthest <= bound + rounding_allowance(1.0, softmax_slack(A))
    assert n != 2 or abs(bound - math.tanh(theta / 2) / 2) <= rounding_allowance(1.0, 20)


@pytest.mark.label("uniform-tv")
def test_the_uniform_bound_tends_to_tanh_of_a_quarter() -> None:
    assert uniform_tv_bound(2.0, 2000) > 0.99999 * tv_bound(2.0)
    assert uniform_tv_bound(2.0, 3) < 0.99 * tv_bound(2.0)  # at small n it is strictly better


@pytest.mark.label("uniform-tv")
def test_the_bound_fails_without_its_tokens_difference() -> None:
    """Negative control: the spread is not bounded through the diameter squared alone."""
    X = torch.tensor([[100.0], [101.0]])
    assert oscillation(X @ X.mT).max() > 50 * diameter(X) ** 2


# --- retrieval -----------------------------------------------------------------------------------


@pytest.mark.label("retrieval")
@pytest.mark.parametrize("s", [1, 2])
@pytest.mark.parametrize("m", [3, 4, 10, 40])
def test_concentrated_mass_needs_spread_logits(m: int, s: int) -> None:
    A = rough(CASES // 8 + 1, 1, m, seed=50).clamp(-12, 12)
    P = softmax(A).sort(-1, descending=True).values[:, 0]
    astray = P[:, s:].sum(-1)  # what misses the s likeliest tokens
    # At uniform attention the threshold would be zero; rounding decides on which side we are.
    concentrated = astray * m < (m - s) * (1 - 1e-12)
    assert concentrated.sum() > CASES / 8 * 0.8
    needed = retrieval_threshold(m, astray[concentrated], s)
    slack = 2 * softmax_slack(A) + 8
    # The logarithm turns relative into absolute error: 1 - δ loses up to m/s of its size.
    assert_below(needed, oscillation(A)[concentrated, 0], float(m) + needed, slack)


@pytest.mark.label("retrieval")
@pytest.mark.parametrize(("m", "s", "delta"), [(2, 1, 0.4), (1001, 1, 0.01), (10, 3, 1e-9)])
def test_two_levels_attain_the_threshold(m: int, s: int, delta: float) -> None:
    needed = retrieval_threshold(m, delta, s)
    A = torch.zeros(1, m, dtype=torch.float64)
    A[:, :s] = needed
    assert float(softmax(A)[0, s:].sum()) == pytest.approx(delta, rel=1e-12)
    assert float(softmax(0.99 * A)[0, s:].sum()) > delta  # 1% less spread loses too much mass


@pytest.mark.label("retrieval")
@pytest.mark.parametrize("m", [10, 1000])
def test_small_entries_look_nothing_up(m: int) -> None:
    """|Q|, |K| ≤ B and logits QKᵀ/d: mass 1 - δ on one token needs B ≥ √(½ log((m-1)(1-δ)/δ))."""
    delta, d = 0.1, 4
    needed = math.sqrt(retrieval_threshold(m, delta) / 2)
    source = generator(60)
    for bound, finds in ((0.999 * needed, False), (needed * 1.001, True)):
        signs = torch.randint(2, (200, m, d), generator=source).double() * 2 - 1
        query, keys = torch.full((200, 1, d), bound, dtype=torch.float64), bound * signs
        keys[0], keys[0, 0] = -bound, bound  # the best there is
        mass = softmax(query @ keys.mT / d).amax(-1)
        assert bool((mass >= 1 - delta).any()) is finds


@pytest.mark.label("softmax-tv")
def test_balance_is_what_matters_not_size() -> None:
    """A constant on a row changes nothing, a spread of the same size does."""
    A = rough(100, 3, 4, seed=70).clamp(-3, 3)
    constant = torch.full_like(A, 7.0)
    assert balance(constant).max() == 0
    moved = total_variation(softmax(A), softmax(A + constant))
    assert_below(moved, 0.0, 1.0, 4 * softmax_slack(A + constant))
    spread = torch.tensor([7.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand_as(A)
    assert total_variation(softmax(A), softmax(A + spread)).max() > 0.5
    assert size(spread) == size(constant)

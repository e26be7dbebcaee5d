"""The bounds of the rungs: 10⁵ cases each, attained, broken by 1%, certified in balls."""

from __future__ import annotations

import math
from typing import Any

import flint
import mpmath
import pytest
import reference
import sympy
import torch
from networks import CAUSAL, build, operations, tokens
from strategies import CASES, assert_below, flatten, generator, lists, rough

from collapse.adversary import ascend
from collapse.attention import Network
from collapse.bounds import collapse_bound, ladder
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import Sizes, identity_constant
from collapse.bounds.leading import leading_coefficient
from collapse.exact import lift
from collapse.figures.certificates import attack
from collapse.norms import diameter, token_norm
from collapse.numeric import exact
from collapse.rungs import RUNGS, surrogate
from collapse.witnesses import layers as witnesses
from collapse.witnesses.skips import rotary_shift

NORMS = (1, 2, math.inf)
CERTIFICATES = ("weights", "measured")
LABELS = [pytest.param(r, marks=pytest.mark.label(f"rung-{r}")) for r in RUNGS]


def error_of(network: Network, X: torch.Tensor, rung: int, p: float = math.inf) -> torch.Tensor:
    return token_norm(network(X) - surrogate(network, rung)(X), p)


def scale_of(network: Network, X: torch.Tensor) -> torch.Tensor:
    """For each case, the largest token times the layers' Lipschitz constants (see networks.py)."""
    steps = network.trace(X)
    scale = token_norm(steps, 1).amax(-1)
    for layer in range(network.depth):
        part, before = network.layers(layer, layer + 1), token_norm(steps[..., layer, :, :])
        beta = (part.query.abs().sum(-2) * part.key.abs().sum(-2)).sum(-1)[..., 0, :]
        v = part.value_output.abs().sum(-2).amax(-1)[..., 0, :]
        scale = scale * (1 + (v * (1 + 2 * beta * before[..., None] ** 2)).sum(-1))
    return scale


def some(cases: int, seed: int, **options: Any) -> tuple[Network, torch.Tensor]:
    """Networks of two layers, two heads and width two, three tokens; half of them structured."""
    g = generator(seed)
    size = 10 ** (2 * torch.rand(cases, 1, 1, generator=g, dtype=torch.float64) - 1.5)
    eta = 10 ** (torch.rand(cases, 1, 1, 1, 1, generator=g, dtype=torch.float64) - 0.7)

    def draw(*shape: int) -> torch.Tensor:
        entries = torch.rand(cases, *shape, generator=g, dtype=torch.float64) * 2 - 1
        signs = torch.sign(entries) * (torch.rand(entries.shape, generator=g) < 0.7)
        kind = torch.rand((cases,) + (1,) * len(shape), generator=g) < 0.5
        return torch.where(kind, entries, signs)

    query, key, value = (eta * draw(2, 2, 2, columns) for columns in (2, 2, 2))
    return Network(query, key, value, **options), size * draw(3, 2)


# --- they hold ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", LABELS)
@pytest.mark.parametrize("p", NORMS)
def test_no_error_exceeds_its_bound(p: float, rung: int) -> None:
    network, X = some(CASES // 4, seed=int(10 * min(p, 3)) + rung)
    error, scale = error_of(network, X, rung, p), scale_of(network, X)
    weights, measured = (collapse_bound(network, X, rung, p, data).value for data in CERTIFICATES)
    slack = 4 * operations(network, X)
    assert_below(error, measured, scale, slack)
    assert_below(measured, weights, scale, slack)
    meaningful = 1e-13 * scale < 0.01 * weights
    assert meaningful.double().mean() > 0.6  # else the allowance would hide a violation


@pytest.mark.parametrize("rung", LABELS)
def test_heavy_tails_and_huge_tokens(rung: int) -> None:
    X = rough(CASES // 4, 4, 2, seed=rung)
    weights = rough(CASES // 4, 2, 1, 2, 4, seed=50 + rung).clamp(-3, 3)
    network = Network(*weights.split((1, 1, 2), -1))
    bound = collapse_bound(network, X, rung)
    assert bound.label == f"rung-{rung}" and bound.relation == "upper"
    assert "beta exact" in bound.assumptions[0]
    assert_below(error_of(network, X, rung), bound.value, scale_of(network, X), 400)


@pytest.mark.parametrize("rung", LABELS)
@pytest.mark.parametrize("data", CERTIFICATES)
def test_search_comes_to_the_bound_and_not_beyond(rung: int, data: Any) -> None:
    best = attack(rung, data, starts=6, steps=250, seed=3).max()
    assert 0.999 <= best <= 1 + 1e-9


@pytest.mark.parametrize(
    "options", [{"rope": 10.0}, {"mask": CAUSAL[:3, :3]}, {"rope": 10.0, "mask": CAUSAL[:3, :3]}]
)
@pytest.mark.parametrize("rung", RUNGS)
def test_positions_and_masks(rung: int, options: dict[str, Any]) -> None:
    network, X = some(4000, seed=80 + rung, **options)
    if "mask" in options and rung > 1:
        with pytest.raises(ValueError, match="mask"):
            collapse_bound(network, X, rung)
        return
    for p in NORMS:
        for data in CERTIFICATES:
            bound = collapse_bound(network, X, rung, p, data).value
            assert_below(error_of(network, X, rung, p), bound, scale_of(network, X), 400)


def test_any_mask_is_allowed_on_the_lower_rungs() -> None:
    for seed in range(20):
        mask = torch.rand(3, 3, generator=generator(seed)) < 0.5
        mask[:, 0] |= ~mask.any(-1)
        network, X = some(500, seed=seed, mask=mask)
        for rung in (0, 1):
            bound = collapse_bound(network, X, rung).value
            assert_below(error_of(network, X, rung), bound, scale_of(network, X), 400)


@pytest.mark.parametrize("option", ["factored", "wide values", "mixer"])
@pytest.mark.parametrize("rung", RUNGS)
def test_factors_and_scales_are_folded_in(option: str, rung: int) -> None:
    network, X = build(option, batch=(200,)), tokens(200, 4, 3)
    bound = collapse_bound(network, X, rung).value
    assert_below(error_of(network, X, rung), bound, scale_of(network, X), 400)


# --- they are attained, and nothing less would do -----------------------------------------------

ATTAINED = {
    "equal tokens, rung 0": (0, witnesses.equal_tokens()),
    "equal tokens, rung 1": (1, witnesses.equal_tokens(5)),
    "two levels": (2, witnesses.two_levels(2, 9)),
    "two levels, saturated": (2, witnesses.two_levels(1, 1500)),
    "moved logits": (3, witnesses.moved_logits()),
    "one apart": (3, witnesses.one_apart(1500)),
}


@pytest.mark.parametrize("name", ATTAINED)
@pytest.mark.parametrize("p", NORMS)
def test_the_bound_is_attained_and_fails_when_lowered_by_one_per_cent(name: str, p: float) -> None:
    rung, (network, X) = ATTAINED[name]
    error = error_of(network, X, rung, p)
    for data in CERTIFICATES:
        bound = collapse_bound(network, X, rung, p, data).value
        assert 0.999 * bound <= error <= bound * (1 + 1e-6)  # the errors are down to 1e-8
        assert error > 0.99 * bound


@pytest.mark.parametrize("rung", [2, 3])
def test_a_quarter_is_the_right_factor_in_tanh(rung: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, X = witnesses.two_levels(2, 9) if rung == 2 else witnesses.moved_logits()
    monkeypatch.setattr(ladder, "tv_bound", lambda theta: torch.tanh(0.99 * theta / 4))
    assert error_of(network, X, rung) > collapse_bound(network, X, rung).value


def test_rotary_positions_need_their_own_constants() -> None:
    """Nearly equal tokens: the formula without positions is exceeded a hundredfold."""
    g = generator(0)
    network = Network.random(1, 1, 2, 2, 1.0, g)
    X = 1 + 1e-4 * torch.rand(6, 2, generator=g, dtype=torch.float64)
    turned = network.replace(rope=10.0)
    error = error_of(turned, X, 2)
    assert error > 100 * collapse_bound(network, X, 2).value
    assert error <= collapse_bound(turned, X, 2).value


@pytest.mark.label("rung-1")
@pytest.mark.parametrize("p", NORMS)
def test_a_mask_does_not_take_the_positions_away(p: float) -> None:
    """A first layer that shifts the queries alike: no difference of tokens sees it, RoPE does."""
    second, X, Z = rotary_shift("1/100", 400)
    shift = torch.zeros(5, 5, dtype=torch.float64)
    shift[2, 0] = 0.01 / 400  # feature 3 is 400 in both tokens
    query, key, value = (
        torch.tensor(w.astype(float)) for w in (second.query, second.key, second.value)
    )
    network = Network(
        torch.cat((0 * query, query)),
        torch.cat((0 * key, key)),
        torch.cat((shift.expand(1, 1, 5, 5), value)),
        rope=10_000.0,
        mask=CAUSAL[:2, :2],
    )
    inputs = torch.tensor(X.astype(float))
    assert torch.equal(network.layers(0, 1)(inputs), torch.tensor(Z.astype(float)))
    error = error_of(network, inputs, 1, p)
    for data in CERTIFICATES:
        assert error <= collapse_bound(network, inputs, 1, p, data).value
        plain = collapse_bound(network.replace(rope=None), inputs, 1, p, data).value
        assert error > plain


# --- in balls, in symbols, by a slow twin -------------------------------------------------------


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize("rung", LABELS)
@pytest.mark.parametrize("p", [1, math.inf])
def test_certified_in_ball_arithmetic(rung: int, p: float) -> None:
    for seed, size in [(1, 1.0), (2, 1e-3), (3, 30.0)]:
        network, X = build(layers=2, seed=seed), size * tokens(4, 3, seed=seed)
        balls, inputs = lift(network, "arb"), lift(X, "arb")
        error = error_of(balls, inputs, rung, p)
        for data in CERTIFICATES:
            bound = collapse_bound(balls, inputs, rung, p, data)
            assert isinstance(bound.value, flint.arb)
            assert error < bound.value  # True only where every point of the balls agrees
            assert not bound.value < error


def slow_ladder(network: Network, X: torch.Tensor, rung: int, p: float) -> Any:
    """The recursion once more, in plain loops over mpmath numbers."""
    norm = [max(reference.vector_norm(row, p) for row in lists(X)), reference.diameter(lists(X), p)]
    phi0, D0 = norm
    phi, D, delta, kappa, error = phi0, D0, 0, 0, 0
    for layer in range(network.depth):
        Ms, Vs = (lists(w[layer]) for w in (network.query_key, network.value_output))
        nu = [reference.value_norm(V, p) for V in Vs]
        beta = [reference.query_key_norm(M, p) for M in Ms]
        whole = Vs[0]
        for V in Vs[1:]:
            whole = reference.add(whole, V)
        total, both = sum(nu), reference.value_norm(whole, p)
        th = mpmath.tanh
        K = sum(n * th(b * D * D / 4) for n, b in zip(nu, beta, strict=True))
        t = sum(n * th(b * phi * D / 4) for n, b in zip(nu, beta, strict=True))
        q = sum(n * th(b * (delta * D + phi0 * kappa) / 4) for n, b in zip(nu, beta, strict=True))
        a = min(total * phi, both * phi + D * t)
        if rung == 0:
            error = error + a
        elif rung == 1:
            error = error + min(total * delta, both * delta + kappa * t) + D0 * q
        elif rung == 2:
            error = (1 + both) * error + D * t
        else:
            error = (1 + both) * error + total * kappa + D0 * q
        phi, D, delta, kappa = phi + a, D + K * D, delta + a, kappa + K * D
    return error


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("p", NORMS)
def test_the_recursion_agrees_with_its_slow_twin(rung: int, p: float) -> None:
    for seed in range(5):
        network, X = build(layers=3, seed=seed), tokens(4, 3, seed=seed)
        expected = slow_ladder(network, X, rung, p)
        found = collapse_bound(network, X, rung, p).value.item()
        assert abs(found / float(expected) - 1) < 1e-12


def test_the_recursion_takes_symbols() -> None:
    nu, beta, phi, D = sympy.symbols("nu beta phi D", positive=True)
    sizes = Sizes(exact([[nu]]), exact([nu]), exact([[beta]]))
    bound = ladder.ladder(sizes, phi, D, 2)
    assert sympy.simplify(bound - nu * D * sympy.tanh(beta * phi * D / 4)) == 0


@pytest.mark.label("as25-thm-5.3")
def test_the_identity_satisfies_the_theorem() -> None:
    network, X = some(CASES, seed=9)
    sizes = network_sizes(network, 3)
    bound = collapse_bound(network, X, 0).value
    product = token_norm(X) * ((1 + sizes.head_value.sum(-1)).prod(-1) - 1)
    assert_below(bound, product, product, 100)
    weights = torch.cat([network.query, network.key, network.value], -1)
    theorem = token_norm(X) * identity_constant(weights.abs().amax((1, 2, 3, 4)), 2, 2, 2)
    assert_below(product, theorem, theorem, 100)
    assert_below(token_norm(network(X) - X), theorem, scale_of(network, X), 400)


@pytest.mark.label("as25-thm-5.3")
def test_the_constant_of_the_identity_is_attained() -> None:
    ones = torch.ones(3, 2, 2, 2, dtype=torch.float64)
    network = Network(0.1 * ones, 0.1 * ones, 0.1 * ones)
    X = torch.ones(4, 2, dtype=torch.float64)
    error, constant = token_norm(network(X) - X), identity_constant(0.1, 3, 2, 2)
    assert abs(error - constant) < 1e-13 and error > 0.99 * constant


@pytest.mark.label("as25-thm-5.3")
@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_is_of_order_eta_for_inputs_of_any_size(rung: int) -> None:
    """The certificate is at most 2G(G − 1)‖X‖ with G = (1 + Hdη)^L, over 12 decades of X."""
    etas = torch.tensor([0.1, 0.01, 0.001], dtype=torch.float64)
    network = Network.random(3, 2, 2, 2, etas, generator(rung))
    X = tokens(4, 2) * torch.logspace(-6, 6, 25, dtype=torch.float64)[:, None, None, None]
    bound, excess = collapse_bound(network, X, rung).value, identity_constant(etas, 3, 2, 2)
    assert (bound <= 2 * (1 + excess) * excess * token_norm(X)).all()


@pytest.mark.label("as25-thm-5.3")
@pytest.mark.parametrize("rung", LABELS)
@pytest.mark.parametrize("size", ["0.001", "1", "1000", "1000000"])
def test_bounds_hold_for_inputs_of_any_size_without_rounding(size: str, rung: int) -> None:
    with mpmath.workdps(60):
        network = lift(build(layers=3, seed=rung), "mpf")
        X = lift(tokens(4, 3), "mpf") * mpmath.mpf(size)
        for eta in (1, mpmath.mpf("0.01")):
            small = witnesses.scaled(network, eta)
            error, bound = error_of(small, X, rung), collapse_bound(small, X, rung).value
            assert 0 < error <= bound


# --- leading terms -------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["plain", "rope", "causal", "mixer", "factored"])
@pytest.mark.parametrize("rung", RUNGS)
def test_leading_terms_are_the_limit_of_the_error(option: str, rung: int) -> None:
    if option == "causal" and rung > 1:
        with pytest.raises(ValueError, match="mask"):
            leading_coefficient(build(option), tokens(4, 3), rung)
        return
    network, X = build(option, layers=3), tokens(4, 3)
    if network.output is not None:
        network = network.replace(value=network.value_output, output=None)
    with mpmath.workdps(70):
        lifted, inputs = lift(network, "mpf"), lift(X, "mpf")
        eta = mpmath.mpf(10) ** -9
        small = witnesses.scaled(lifted, eta)
        error = (small(inputs) - surrogate(small, rung)(inputs)) / eta ** (rung + 1)
        leading = leading_coefficient(lifted, inputs, rung)
        largest = abs(leading).max()
        assert abs(error - leading).max() < 1e-7 * largest
        assert abs(error - leading * mpmath.mpf("1.01")).max() > 1e-3 * largest
    floats = flatten(leading_coefficient(network, X, rung).tolist())
    pairs = zip(floats, leading.flat, strict=True)
    assert max(abs(a - float(b)) for a, b in pairs) < 1e-12 * float(largest)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "rungs"),
    [("no skip", RUNGS), ("skip λ", RUNGS), ("pre", RUNGS), ("row", RUNGS), ("causal", (2, 3))],
)
def test_what_is_not_proved_is_refused(option: str, rungs: tuple[int, ...]) -> None:
    for rung in rungs:
        for function in (collapse_bound, leading_coefficient):
            with pytest.raises(ValueError, match="skip|norm|mask"):
                function(build(option), tokens(4, 3), rung)


def test_bad_arguments_are_named() -> None:
    network, X = build(), tokens(4, 3)
    with pytest.raises(ValueError, match="rung"):
        collapse_bound(network, X, 4)
    with pytest.raises(ValueError, match="p: expected 1, 2 or inf"):
        collapse_bound(network, X, 0, p=3)
    with pytest.raises(ValueError, match="data"):
        collapse_bound(network, X, 0, data="guessed")
    with pytest.raises(ValueError, match="width of X"):
        collapse_bound(network, tokens(4, 2), 0)
    with pytest.raises(ValueError, match="X: expected finite"):
        collapse_bound(network, X * math.nan, 0)
    with pytest.raises(ValueError, match="p = 2"):
        collapse_bound(lift(network, "arb"), lift(X, "arb"), 0, p=2)
    with pytest.raises(ValueError, match="output"):
        witnesses.scaled(build("factored"), 2.0)


def test_wide_networks_say_that_beta_is_only_bounded() -> None:
    network = Network.random(2, 1, 30, 4, 0.01, generator(0))
    bound = collapse_bound(network, tokens(4, 30), 2)
    assert bound.assumptions == ("beta an upper bound, p = inf",)
    assert error_of(network, tokens(4, 30), 2) <= bound.value


def test_measured_sizes_are_those_of_the_trace() -> None:
    """Fed with larger sizes than it has, a certificate grows: it reads no error anywhere."""
    network, X = build(layers=2), tokens(4, 3)
    sizes, zero = network_sizes(network, 4), torch.tensor(0.0, dtype=torch.float64)
    steps = network.trace(X)
    states = [
        ladder.State(token_norm(Z), diameter(Z), token_norm(Z - X), diameter(Z - X))
        for Z in steps[:-1]
    ]
    exactly = ladder.ladder(sizes, token_norm(X), diameter(X), 3, states)
    assert exactly == collapse_bound(network, X, 3, data="measured").value
    twice = [ladder.State(2 * s.phi, 2 * s.D, 2 * s.delta, 2 * s.kappa) for s in states]
    assert ladder.ladder(sizes, token_norm(X), diameter(X), 3, twice) > exactly
    assert states[0].delta == zero


def test_search_over_inputs_alone_stays_below() -> None:
    network = build(layers=3)
    for rung in RUNGS:
        ratio, _ = ascend(
            lambda X, r=rung: error_of(network, X, r) / collapse_bound(network, X, r).value,
            tokens(8, 4, 3), 60, 0.1,
        )  # fmt: skip
        assert 0 < ratio.max() <= 1 + 1e-12

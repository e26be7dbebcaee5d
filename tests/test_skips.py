"""Skip connections: what moves attention, the missing width, survival of rank; 10⁵ cases each."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
import torch
from layers import NORMS, OPERATIONS, OPTIONS, drawn, rounding, sizes_of
from networks import CAUSAL
from strategies import CASES, assert_below, generator

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import State
from collapse.bounds.lipschitz import attention_lipschitz, attention_lipschitz_bound
from collapse.bounds.skips import head_epsilon, reported_epsilon
from collapse.exact import ExactNetwork, lift
from collapse.norms import diameter, residual, residual_norm, token_norm
from collapse.witnesses.skips import (
    common_shift,
    moved_difference,
    rotary_shift,
    width_missing,
)

EACH = CASES // (len(NORMS) * len(OPTIONS)) + 1  # cases per norm and option


pytestmark = pytest.mark.usefixtures("ball_precision")


# --- attention-lipschitz -------------------------------------------------------------------------


@pytest.mark.label("attention-lipschitz")
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("option", OPTIONS)
def test_attention_moves_no_farther_than_its_bound(option: str, p: float) -> None:
    network, X = drawn(EACH, 1, **OPTIONS[option])
    source = generator(2)
    step = torch.randn(X.shape, generator=source, dtype=torch.float64)
    step = step * sizes_of(EACH, -4, 0.5, source)
    common = torch.arange(EACH)[:, None, None] % 4 == 1
    Z = X + torch.where(common, step[:, :1], step)
    moved = token_norm(network.attention(Z, 0) - network.attention(X, 0), p)
    bound = attention_lipschitz_bound(network, X, Z, p)
    assert bound.relation == ("sharp" if option == "plain" else "upper")
    assert_below(moved, bound.value, rounding(network, X, Z), OPERATIONS)


@pytest.mark.label("attention-lipschitz")
@pytest.mark.parametrize("eta", ["1/100", "1/2", "1", "3"])
@pytest.mark.parametrize("c", ["1/100", "1/3", "2"])
def test_common_shifts_attain_the_bound_and_one_percent_less_is_false(eta: str, c: str) -> None:
    network, X = (lift(part, "arb") for part in common_shift(eta, c))
    Z = network.layers(0, 1)(X)
    second = network.layers(1, 2).replace(skip=0)
    moved = abs(second(Z) - second(X)).max()
    bound = attention_lipschitz_bound(network, X, Z, layer=1).value
    assert abs(moved - bound) < bound / 10**9
    assert moved > bound * 99 / 100


@pytest.mark.label("attention-lipschitz")
@pytest.mark.parametrize("theta", ["1/10", "2", "20"])
def test_the_term_with_the_difference_is_sharp_too(theta: str) -> None:
    network, X, Z = (lift(part, "arb") for part in moved_difference("1/1000000", theta))
    layer = network.replace(skip=0)
    moved = abs(layer(Z) - layer(X)).max()
    bound = attention_lipschitz_bound(network, X, Z).value
    assert bound >= moved > bound * 999 / 1000


@pytest.mark.label("attention-lipschitz")
def test_no_term_of_the_bound_can_be_dropped() -> None:
    """Without ‖Δ‖ diam(Z), without ‖X‖ diam(Δ), or without ν‖Δ‖ it is false."""
    for case, dropped in ((common_shift(1, 1), "shift"), (common_shift(1, 1), "carried")):
        network, X = (lift(part, "arb") for part in case)
        Z = network.layers(0, 1)(X)
        second = network.layers(1, 2).replace(skip=0)
        moved = abs(second(Z) - second(X)).max()
        sizes = network_sizes(network, 2)
        delta = token_norm(Z - X)
        state = State(token_norm(Z), diameter(Z) * (dropped != "shift"), delta, 0 * delta)
        bound = attention_lipschitz(sizes, 1, state, token_norm(X), diameter(X))
        if dropped == "carried":
            bound = bound - sizes.head_value[1, 0] * delta
        assert moved > bound
    network, X, Z = (lift(part, "arb") for part in moved_difference("1/1000", 2))
    layer = network.replace(skip=0)
    moved = abs(layer(Z) - layer(X)).max()
    state = State(token_norm(Z), diameter(Z), token_norm(Z - X), 0 * diameter(Z))
    short = attention_lipschitz(network_sizes(network, 2), 0, state, token_norm(X), diameter(X))
    assert moved > short


@pytest.mark.label("attention-lipschitz")
@pytest.mark.parametrize("mask", [None, CAUSAL[:2, :2]], ids=["all", "causal"])
def test_with_rotary_positions_the_plain_form_is_false(mask: torch.Tensor | None) -> None:
    """A common shift leaves all differences alone, and yet attention turns."""
    network, X, Z = (lift(part, "arb") for part in rotary_shift("1/100", 400))
    network = network.replace(mask=mask)
    layer = network.replace(skip=0)
    moved = abs(layer(Z) - layer(X)).max()
    plain = attention_lipschitz_bound(network.replace(rope=None), X, Z).value
    assert 20 * plain < moved < attention_lipschitz_bound(network, X, Z).value


@pytest.mark.label("attention-lipschitz")
def test_bad_input_to_the_lipschitz_bound_is_named() -> None:
    network, X = drawn(1, 3)
    with pytest.raises(ValueError, match="layer: expected 0 <= layer < 1, received 1"):
        attention_lipschitz_bound(network, X, X, layer=1)
    with pytest.raises(ValueError, match="norm: expected None"):
        attention_lipschitz_bound(network.replace(norm="pre"), X, X)
    with pytest.raises(ValueError, match="Z: expected tokens"):
        attention_lipschitz_bound(network, X, X[:, :2])


# --- shift-matters, as25-lem-5.2, as25-lem-c.1 ---------------------------------------------------


@pytest.mark.label("shift-matters")
@pytest.mark.parametrize("eta", ["1/10", "1"])
def test_a_shift_without_residual_turns_attention_round(eta: str) -> None:
    network, X = common_shift(eta, 1)
    shift = network.layers(0, 1)(X) - X
    assert not residual(shift).any() and (shift == 2).all()  # in Fractions
    network, X, shift = (lift(part, "arb") for part in (network, X, shift))
    before, after = (network.attention_matrices(Y, 1)[0, 0] for Y in (X, X + shift))
    assert before[0] > before[1] and after[1] > after[0]
    assert abs(before[0] - after[1]) < flint.arb(10) ** -12


@pytest.mark.label("shift-matters")
def test_attention_ignores_a_shift_that_no_key_tells_apart() -> None:
    """y M xⱼ equal for all j: the one kind of shift that does not matter."""
    M = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]], dtype=torch.float64)
    network = Network(M, torch.eye(2, dtype=torch.float64)[None, None], M)
    X = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    P = network.attention_matrices(X, 0)
    unseen, seen = torch.tensor([0.0, 5.0]), torch.tensor([5.0, 0.0])
    assert torch.equal(network.attention_matrices(X + unseen.double(), 0), P)
    assert (network.attention_matrices(X + seen.double(), 0) - P).abs().max() > 0.1


@pytest.mark.label("as25-lem-5.2")
@pytest.mark.label("as25-lem-c.1")
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_no_bound_through_residuals_alone(heads: int) -> None:
    """ε = 0 for every head, and the next output moves by more than any given number."""
    for c in (1, 100):
        network, X = common_shift(1, c)
        query, key, value = (
            np.repeat(w, heads, axis=1) for w in (network.query, network.key, network.value)
        )
        network = network.replace(query=query, key=key, value=value / heads)
        each = ExactNetwork(query[:1, :1], key[:1, :1], value[:1, :1] / heads, skip=0)
        assert residual_norm(each(X)) == 0
        Z = lift(network.layers(0, 1)(X), "arb")
        second = lift(network.layers(1, 2).replace(skip=0), "arb")
        assert abs(second(Z) - second(lift(X, "arb"))).max() > 2 * c


# --- as25-eps, eps-counterexample ----------------------------------------------------------------


@pytest.mark.label("as25-eps")
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("extreme", [False, True])
def test_head_outputs_respect_the_bound_with_the_width(width: int, extreme: bool) -> None:
    cases, layers, heads, phi0 = CASES // 6 + 1, 3, 2, 2.0
    source = generator(10)
    eta = sizes_of(cases, -2, 0.5, source)[:, 0, 0]
    network = Network.random(layers, heads, width, 2, eta, source)
    if extreme:  # all weights ±η, tokens ±φ₀
        parts = (network.query, network.key, network.value)
        network = Network(*(torch.sign(w) * eta[:, None, None, None, None] for w in parts))
    X = torch.rand(cases, 3, width, generator=source, dtype=torch.float64) * 2 - 1
    X = phi0 * (torch.sign(X) if extreme else X)
    for layer in range(layers):
        bound = head_epsilon(eta, phi0, heads, width, layer + 1)
        roundings = (layer + 1) * (3 + 2 * width + heads + 20)
        for h in range(heads):
            weights = (w[:, layer : layer + 1, h : h + 1] for w in (network.query, network.key))
            value = network.value[:, layer : layer + 1, h : h + 1]
            rho = residual_norm(Network(*weights, value).attention(X, 0))
            assert_below(rho, bound, bound, roundings)
        X = network.layers(layer, layer + 1)(X)


@pytest.mark.label("as25-eps")
@pytest.mark.label("eps-counterexample")
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_corrected_bound_is_approached_at_every_depth(layer: int) -> None:
    network, X, _ = (lift(part, "arb") for part in width_missing("1/10", 40, 3))
    for _ in range(layer - 1):
        X = network(X)
    observed = residual_norm(network.replace(skip=0)(X))
    eta = flint.arb(1) / 10
    assert observed > head_epsilon(eta, 40, 1, 3, layer) * 999 / 1000
    assert observed > head_epsilon(eta * 99 / 100, 40, 1, 3, layer)
    assert observed > reported_epsilon(eta, 40, 1, layer)


@pytest.mark.label("eps-counterexample")
@pytest.mark.label("as25-eps")
def test_the_reported_bound_is_exceeded_in_balls() -> None:
    network, X, equal = (lift(part, "arb") for part in width_missing("1/10", 10, 3))
    observed, eta = residual_norm(network.replace(skip=0)(X)), flint.arb(1) / 10
    claimed = reported_epsilon(eta, 10, heads=1, layer=1)
    assert observed > claimed and claimed < flint.arb("2.3")
    assert abs(observed - 3 * flint.arb(9).tanh()) < flint.arb(10) ** -10
    assert network(equal)[0, 0] > 10 * (1 + eta)


@pytest.mark.label("eps-counterexample")
@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize(("heads", "key_width"), [(1, 1), (2, 3)])
def test_the_closed_form_of_the_counterexample(width: int, heads: int, key_width: int) -> None:
    eta, phi = Fraction(1, 5), Fraction(3, 2)
    network, X, equal = width_missing(eta, phi, width, heads, key_width)
    network, X, equal = (lift(part, "arb") for part in (network, X, equal))
    grown = lift((1 + heads * width * eta) * phi, "arb")
    assert abs(network(equal)[0, 0] - grown) < flint.arb(10) ** -10
    angle = lift(width**2 * key_width * eta**2 * phi**2, "arb")
    expected = lift(heads * width * eta * phi, "arb") * angle.tanh()
    assert abs(residual_norm(network.replace(skip=0)(X)) - expected) < flint.arb(10) ** -10


@pytest.mark.label("eps-counterexample")
def test_two_features_do_not_refute_a_single_head() -> None:
    """Control: below d = 3 the same inputs stay under the reported bound."""
    for width, exceeded in ((1, False), (2, False), (3, True)):
        network, X, _ = (lift(part, "arb") for part in width_missing("1/10", 10, width))
        observed = residual_norm(network.replace(skip=0)(X))
        assert (observed > reported_epsilon(flint.arb(1) / 10, 10, 1, 1)) is exceeded


@pytest.mark.label("as25-eps")
@pytest.mark.parametrize("function", [reported_epsilon, head_epsilon])
def test_bad_input_to_the_epsilons_is_named(function: Any) -> None:
    extra = {"width": 2} if function is head_epsilon else {}
    for bad in ({"eta": -1}, {"phi0": -1}, {"heads": -1}, {"layer": 0}):
        arguments = {"eta": 1.0, "phi0": 1.0, "heads": 1, "layer": 1, **extra, **bad}
        with pytest.raises(ValueError, match=f"{next(iter(bad))}: expected"):
            function(**arguments)
    with pytest.raises(ValueError, match="width: expected"):
        head_epsilon(1.0, 1.0, 1, 0, 1)

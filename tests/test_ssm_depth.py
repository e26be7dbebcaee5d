"""What depth is worth: fixed models exactly, states, selection; the exchange; collapse."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import reference_ssm as slow
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import add
from strategies import generator, normal

from collapse.bounds.normalised import projected_weight
from collapse.bounds.states import (
    deep_kernel,
    exchange_coefficient,
    hankel_determinant,
    leading_constant,
    pade,
    shallow_kernel,
    shallow_values,
    state_floor,
)
from collapse.figures.ssm import scaled
from collapse.kernels import unit_rows
from collapse.norms import diameter
from collapse.numeric import rounding_allowance
from collapse.ssm import LTI, MIXERS, LinearAttention, Mixer, ScalarSSM
from collapse.ssm.depth import Layer, at_rest, exchange, exchanged, forward, one_layer

D, STATES, L = 3, 2, 3


def fixed(pole: float, value: torch.Tensor) -> LTI:
    one = torch.ones(1, 1, dtype=torch.float64)
    return LTI(features=len(value), rate=-math.log(pole) * one, step=one[0], write=one, read=one,
               value=value, discretisation="euler")  # fmt: skip


def still(seed: int, heads: int, eta: float = 1.0) -> list[Layer]:
    """Layers of Mamba-2 heads of which the tokens choose nothing."""
    net = []
    for layer in range(L):
        g = generator(100 * seed + layer)
        net.append([ScalarSSM.random(D, STATES, g, 0.8) for _ in range(heads)])
    return scaled(net, torch.tensor(eta), torch.tensor(0.0))


def slow_network(layers: list[list[Any]], n: int, X: Any) -> Any:
    """Layers of (pole, value) with skips, in loops."""
    for heads in layers:
        moved = [row[:] for row in X]
        for pole, V in heads:
            M = [[pole ** (i - j) if j <= i else 0 * pole for j in range(n)] for i in range(n)]
            out = slow.output(X, [M], V, None, False)
            moved = add(moved, out)
        X = moved
    return X


# --- ssm-lti-exact -------------------------------------------------------------------------------


@pytest.mark.label("ssm-lti-exact")
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("eta", [0.01, 1.0])
def test_one_layer_is_the_network_for_weights_of_any_size(heads: int, eta: float) -> None:
    for seed in range(5):
        net, X = still(seed, heads, eta), normal(7, D, seed=seed)
        deep, shallow = forward(net, X), forward([one_layer(net)], X)
        size = 1 + sum(head(X).abs().max() * D for head in one_layer(net))
        assert (deep - shallow).abs().max() <= rounding_allowance(size * 1e3, 1000)
        kept = forward([[head for layer in net for head in layer]], X)
        assert (deep - kept).abs().max() > 1e-7 * eta**2  # control: the values as they were


@pytest.mark.label("ssm-lti-exact")
def test_the_deep_network_and_the_values_match_loops_in_fractions() -> None:
    rng = np.random.default_rng(0)
    poles = [[Fraction(1, 2), Fraction(1, 3)], [Fraction(1, 5), Fraction(-2, 3)]]
    V = [[[[Fraction(int(x), 7) for x in row] for row in rng.integers(-9, 9, (2, 2))]
          for _ in layer] for layer in poles]  # fmt: skip
    W = shallow_values(np.array(poles, dtype=object), np.array(V, dtype=object))
    X = [[Fraction(int(x)) for x in row] for row in rng.integers(-3, 4, (5, 2))]
    deep = slow_network([list(zip(a, v, strict=True)) for a, v in zip(poles, V, strict=True)], 5, X)
    heads = [(poles[i][h], W[i, h].tolist()) for i in (0, 1) for h in (0, 1)]
    assert slow_network([heads], 5, X) == deep
    heads[0] = (heads[0][0], (W[0, 0] * Fraction(99, 100)).tolist())
    assert slow_network([heads], 5, X) != deep


@pytest.mark.label("ssm-lti-exact")
def test_values_broadcast_and_bad_poles_are_refused() -> None:
    poles = torch.tensor([[0.5], [0.25]], dtype=torch.float64)
    V = normal(4, 2, 1, D, D, seed=1)
    W = shallow_values(poles, V)
    assert W.shape == V.shape
    assert torch.allclose(W[2], shallow_values(poles, V[2]), rtol=1e-13, atol=1e-13)
    with pytest.raises(ValueError, match="poles: expected different ones"):
        shallow_values(poles * 0 + 0.5, V)
    with pytest.raises(ValueError, match="values: expected shape"):
        shallow_values(poles, V[..., 0, :, :])


@pytest.mark.label("ssm-lti-exact")
def test_the_mixer_at_rest_is_read_off() -> None:
    pole, weight = at_rest(fixed(0.3, torch.eye(2, dtype=torch.float64)))
    assert pole.item() == pytest.approx(0.3) and weight.item() == pytest.approx(1)
    several = LTI.random(1, 3, generator(0))
    with pytest.raises(ValueError, match="mixer: expected a single decay"):
        at_rest(several)
    with pytest.raises(ValueError, match="mixer: expected one matrix"):
        at_rest(LTI.random(2, 1, generator(0)))


# --- ssm-state-ladder ----------------------------------------------------------------------------


@pytest.mark.label("ssm-state-ladder")
@pytest.mark.parametrize("layers", range(5))
def test_the_deep_kernel_is_what_the_layers_do_to_an_impulse(layers: int) -> None:
    eta, pole, n = Fraction(2, 5), Fraction(1, 3), 6
    impulse = [[Fraction(int(i == 0))] for i in range(n)]
    out = slow_network([[(pole, [[eta]])]] * layers, n, impulse)
    found = deep_kernel(layers, eta, pole, n)
    assert [row[0] - x[0] for row, x in zip(out, impulse, strict=True)] == found


@pytest.mark.label("ssm-state-ladder")
@pytest.mark.parametrize(("layers", "states"), [(n, r) for n in range(1, 8) for r in range(n + 2)])
def test_pade_agrees_up_to_its_order_and_the_first_difference_is_known(
    layers: int, states: int
) -> None:
    x = sympy.Symbol("x")
    above, below = (
        sum(sympy.Rational(c.numerator, c.denominator) * x**k for k, c in enumerate(part))
        for part in pade(layers, states)
    )
    rest = sympy.Poly(sympy.expand(below * (1 + x) ** layers - above), x)
    constant = leading_constant(layers, states)
    if states >= layers:
        assert rest.is_zero and constant == 0
    else:
        assert min(rest.monoms())[0] == 2 * states + 1
        first = rest.coeff_monomial(x ** (2 * states + 1))
        assert abs(first) == sympy.Rational(constant.numerator, constant.denominator)


@pytest.mark.label("ssm-state-ladder")
@pytest.mark.parametrize(("layers", "states"), [(n, r) for n in (1, 2, 3, 5) for r in range(n)])
def test_both_sides_have_the_exponent_and_the_constants(layers: int, states: int) -> None:
    a, n = Fraction(1, 2), 2 * layers + 8
    order = 2 * states + 1
    for eta, near in ((Fraction(1, 1000), 0.05), (Fraction(1, 10**6), 1e-4)):
        deep = deep_kernel(layers, eta, a, n)
        one = shallow_kernel(layers, states, eta, a, n)
        gap = [abs(x - y) for x, y in zip(deep, one, strict=True)]
        lead = leading_constant(layers, states) * eta**order
        for k in range(n):
            leading = lead * math.comb(k + order - 1, order - 1) * a**k
            assert float(gap[k] / leading) == pytest.approx(1, abs=near)
        floor = state_floor(deep, states)
        below = lead * a**order / (1 + a) ** (2 * states)
        assert float(floor / below) == pytest.approx(1, abs=near)
        assert floor <= max(gap[1:])


@pytest.mark.label("ssm-state-ladder")
@given(st.integers(1, 6), st.integers(0, 3), st.integers(1, 40), st.integers(1, 19))
def test_the_determinant_in_closed_form(layers: int, states: int, p: int, q: int) -> None:
    eta, pole = Fraction(p, 20), Fraction(q, 20)
    kernel = deep_kernel(layers, eta, pole, 2 * states + 2)
    gamma = sympy.Matrix(
        [[sympy.Rational(x.numerator, x.denominator) for x in kernel[i + 1 : i + states + 2]]
         for i in range(states + 1)]
    )  # fmt: skip
    formula = hankel_determinant(layers, states, eta, pole)
    assert abs(gamma.det()) == sympy.Rational(formula.numerator, formula.denominator)
    assert (formula == 0) == (states >= layers)


@pytest.mark.label("ssm-state-ladder")
def test_no_kernel_of_few_states_comes_below_the_floor_and_one_more_does() -> None:
    for seed, states in itertools.product(range(200), (1, 2)):
        g = generator(1000 * states + seed)
        layers, n = states + 1, 2 * states + 2
        eta, pole = (torch.rand(2, generator=g, dtype=torch.float64) * 0.9 + 0.05).tolist()
        deep = torch.tensor(deep_kernel(layers, eta, pole, n), dtype=torch.float64)[1:]
        floor = state_floor([0.0, *deep.tolist()], states)
        # The best weights for random poles near the true one, and complex poles for two states.
        poles = pole + 0.3 * torch.randn(states, generator=g, dtype=torch.float64)
        columns = poles[None, :] ** torch.arange(1, n, dtype=torch.float64)[:, None]
        best = torch.linalg.lstsq(columns, deep[:, None]).solution
        assert (columns @ best - deep[:, None]).abs().max() >= floor * (1 - 1e-9)
        exact = shallow_kernel(layers, layers, eta, pole, n)
        assert max(abs(x - y) for x, y in zip(exact[1:], deep.tolist(), strict=True)) < floor


@pytest.mark.label("ssm-state-ladder")
def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel: expected at least 4 values"):
        state_floor([1.0, 2.0, 3.0], 1)
    with pytest.raises(ValueError, match="layers: expected a number >= 0"):
        deep_kernel(-1, 0.1, 0.5, 3)
    assert state_floor([0.0, 1.0, 0.5, 0.25], 1) == 0  # a geometric kernel: one state suffices


# --- ssm-selective-order -------------------------------------------------------------------------


def inputs(seed: int, width: int = D) -> torch.Tensor:
    first, other, p, q, last = normal(5, 1, width, seed=seed)
    return exchanged(first, other, torch.cat([p, q]), last)


@pytest.mark.label("ssm-selective-order")
@pytest.mark.parametrize("name", MIXERS)
def test_one_layer_is_blind_to_the_exchange_and_two_are_not(name: str) -> None:
    for seed in range(20):
        g = generator(seed)
        net: list[list[Mixer]] = [
            [MIXERS[name].random(D, STATES, g, 0.5) for _ in range(2)] for _ in range(2)
        ]
        X = inputs(seed)
        shallow, deep = (forward(layers, X) for layers in (net[:1], net))
        size = sum(head(X).abs().max() for head in net[0]) + X.abs().max()
        assert exchange(shallow).abs().max() <= rounding_allowance(10 * size, 1000)
        seen = exchange(deep).abs().max()
        if name == "LTI SSM (S4)":  # two linear layers are one
            assert seen <= rounding_allowance(100 * deep.abs().max(), 1000)
        else:
            assert seen > 1e-7 * deep.abs().max()


@pytest.mark.label("ssm-selective-order")
def test_what_the_blindness_needs() -> None:
    """Decays that do not commute, and row normalisation of a selective model, break it."""
    X = inputs(3)
    rows = torch.tensor([slow.delta_rule(x.tolist()) for x in X], dtype=torch.float64)
    assert exchange(rows).abs().max() > 1e-3
    scalar = ScalarSSM.random(D, STATES, generator(4), normalise=True)
    assert exchange(scalar(X)).abs().max() > 1e-4
    # Causal linear attention is blind with rows normalised, too: its sums keep no order.
    linear = LinearAttention.random(D, STATES, generator(4), normalise=True)
    assert exchange(linear(X)).abs().max() < 1e-14


@pytest.mark.label("ssm-selective-order")
@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_order_is_eta_squared_sigma_on_both_sides(power: int) -> None:
    base = [[ScalarSSM.random(D, STATES, generator(i), discretisation="euler")] for i in range(L)]
    X, four = normal(6, D, seed=1), inputs(2)
    found = []
    for eta in (1e-2, 1e-3):
        sigma = eta**power
        net = scaled(base, torch.tensor(eta), torch.tensor(sigma))
        error = (forward(net, X) - forward([one_layer(net)], X)).abs().max()
        found.append((error, exchange(forward(net, four)).abs().max() / 4))
    for large, small in zip(*found, strict=True):
        slope = math.log10(large / small)
        assert slope == pytest.approx(2 + power, abs=0.12)


@pytest.mark.label("ssm-selective-order")
@pytest.mark.parametrize(
    ("a", "rate", "bias"), [(0.5, 1.0, 0.0), (0.3, 2.0, -0.5), (0.9, 0.5, 1.0)]
)
def test_the_leading_coefficient_of_the_witness(a: float, rate: float, bias: float) -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    gaps = []
    for eta in (1e-3, 1e-4):
        second = ScalarSSM(
            rate=rate * one[0], step=eta * one, step_bias=bias * one[0], write=0 * one,
            write_bias=one[0], read=0 * one, read_bias=one[0], value=eta * one,
            discretisation="euler",
        )  # fmt: skip
        X = exchanged(one, 0 * one, torch.tensor([[1.5], [-0.7]], dtype=torch.float64), 0 * one)
        seen = exchange(forward([[fixed(a, eta * one)], [second]], X)).item()
        gaps.append(seen / (eta**3 * 2.2) / exchange_coefficient(a, rate, bias) - 1)
    assert abs(gaps[1]) < 0.02 and abs(gaps[1]) < abs(gaps[0]) / 5


@pytest.mark.label("ssm-selective-order")
def test_four_inputs_are_wanted() -> None:
    with pytest.raises(ValueError, match="outputs: expected four"):
        exchange(torch.ones(3, 2, 1))
    with pytest.raises(ValueError, match="middle: expected two tokens"):
        exchanged(*[torch.ones(1, 1)] * 4)


# --- j24-selective-collapse, ssm-normalised-collapse ---------------------------------------------


@pytest.mark.label("ssm-normalised-collapse")
def test_the_diameter_falls_as_proved_for_any_positive_mixer() -> None:
    X = normal(2000, 5, D, seed=0)
    X[..., 0] = X[..., 0].abs() + 0.05
    X, M = unit_rows(X), normal(2000, 5, 5, seed=1).square().tril()
    V = torch.linalg.qr(normal(2000, D, D, seed=2)).Q
    share = (M[..., 0] / M.sum(-1)).amin(-1)
    factor = 1 - projected_weight(share, X[..., 0].amin(-1))
    Y, after = X / X[..., :1], unit_rows(M @ X @ V)
    Z = after / (after @ V[:, 0, :, None])
    assert (diameter(Z, 2) <= factor * diameter(Y, 2) * (1 + 1e-12)).all()
    assert (diameter(after, 2) <= diameter(Z, 2) * (1 + 1e-12)).all()
    falls = diameter(Z, 2) / diameter(Y, 2)
    assert (falls > factor.square()).any()  # control: not by two layers' worth


@pytest.mark.label("j24-selective-collapse")
@pytest.mark.parametrize("seeing", [True, False])
def test_tokens_that_see_each_other_repel_and_become_opposite(seeing: bool) -> None:
    eye, none = torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    weight, bias = (eye, none) if seeing else (0 * eye, none + 1)
    mixer = ScalarSSM(
        rate=torch.ones(1, dtype=torch.float64), step=0 * eye[:, :1], step_bias=0 * none[:1],
        write=weight, write_bias=bias, read=weight, read_bias=bias,
    )  # fmt: skip
    X = unit_rows(torch.tensor([[1.0, 0.0], [-0.1, 1.0]], dtype=torch.float64))
    spread = [diameter(X, 2).item()]
    for _ in range(60):
        X = unit_rows(mixer(X))
        spread.append(diameter(X, 2).item())
    if seeing:
        assert all(b >= a for a, b in itertools.pairwise(spread)) and spread[-1] > 2 - 1e-9
    else:  # control: positive scores
        assert spread[-1] < 1e-6

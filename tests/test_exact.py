"""Floor 4 over exact numbers: the lifted network against the twin and against the torch one."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
import reference
import sympy
import torch
from networks import OPTIONS, D, N, build, operations, rounding_scale, tokens, twin_trace
from strategies import assert_agrees, contains, flatten

from collapse import norms
from collapse.exact import ExactNetwork, lift
from collapse.numeric import exact

NUMBER_TYPES = ("fraction", "fmpq", "arb", "mpf", "sympy")


def entries(array: np.ndarray) -> list[Any]:
    return flatten(array.tolist())


pytestmark = pytest.mark.usefixtures("ball_precision")


@pytest.mark.parametrize("option", OPTIONS)
def test_balls_contain_the_true_value(option: str) -> None:
    network, X = build(option), tokens(N, D)
    steps = lift(network, "arb").trace(lift(X, "arb"))
    assert steps.shape == (3, N, D)
    with mpmath.workdps(60):
        truth = twin_trace(network, X)
    for ball, value in zip(entries(steps), flatten(truth), strict=True):
        assert contains(ball, value)
        assert not contains(ball, value + mpmath.mpf(10) ** -40)  # the ball says something


@pytest.mark.parametrize("option", OPTIONS)
def test_multiprecision_agrees_with_the_twin(option: str) -> None:
    network, X = build(option), tokens(N, D)
    assert mpmath.mp.dps == 50
    output = lift(network, "mpf")(lift(X, "mpf"))
    expected = flatten(twin_trace(network, X)[-1])
    scale = rounding_scale(network, X)
    for got, value in zip(entries(output), expected, strict=True):
        assert abs(got - value) <= scale * operations(network, X) * mpmath.mpf(10) ** -50


@pytest.mark.parametrize("option", OPTIONS)
def test_the_float_network_agrees_with_the_lifted_one(option: str) -> None:
    """The two forward passes of the package against each other, one layer at a time."""
    network = build(option, layers=1)
    X = tokens(N, D)
    exactly = entries(lift(network, "mpf")(lift(X, "mpf")))
    assert_agrees(network(X).flatten(), exactly, rounding_scale(network, X), operations(network, X))


@pytest.mark.parametrize("option", ["plain", "no skip", "mixer", "factored", "pre", "row"])
def test_symbols_agree_with_the_twin(option: str) -> None:
    network, X = build(option, layers=1, heads=1, width=1, key_width=1), tokens(2, 1)
    output = lift(network, "sympy")(lift(X, "sympy"))
    assert all(isinstance(entry, sympy.Expr) for entry in entries(output))
    for entry, value in zip(entries(output), flatten(twin_trace(network, X)[-1]), strict=True):
        assert abs(mpmath.mpf(str(sympy.N(entry, 45))) - value) < mpmath.mpf(10) ** -40


def test_a_symbol_may_be_a_token() -> None:
    """X = (-r, r)ᵀ through one head with M = V = 1: the tokens end at ± r tanh(r²)."""
    r = sympy.Symbol("r", positive=True)
    one = np.array([[[[sympy.Integer(1)]]]], dtype=object)
    X = np.array([[-r], [r]], dtype=object)
    output = ExactNetwork(one, one, one, skip=sympy.Integer(0))(X)
    assert sympy.simplify((output[1, 0] - r * sympy.tanh(r**2)).rewrite(sympy.exp)) == 0
    assert sympy.simplify(output[0, 0] + output[1, 0]) == 0


@pytest.mark.parametrize("number", ["fraction", "fmpq"])
def test_rationals_serve_uniform_attention(number: str) -> None:
    """Fractions stay Fractions; flint turns the exponential of zero into a ball around one."""
    network = build("causal").replace(query=torch.zeros(2, 2, D, 2, dtype=torch.float64), skip=2.0)
    X = tokens(N, D)
    output = lift(network, number)(lift(X, number))
    with mpmath.workdps(70):
        truth = flatten(twin_trace(network, X)[-1])
    for got, value in zip(entries(output), truth, strict=True):
        if number == "fraction":
            assert isinstance(got, Fraction)
            assert abs(reference._mpf(got) - value) < mpmath.mpf(10) ** -45
        else:
            assert contains(got, value)


@pytest.mark.parametrize("number", ["fraction", "fmpq"])
def test_rationals_refuse_an_exponential(number: str) -> None:
    if number == "fraction":
        with pytest.raises(ValueError, match="exp: expected .*lift exact rationals to flint.arb"):
            lift(build(), number)(lift(tokens(N, D), number))
    else:  # flint gives a ball instead
        assert isinstance(lift(build(), number)(lift(tokens(N, D), number))[0, 0], flint.arb)


@pytest.mark.parametrize("batch", [(2,), (2, 3), (0,)], ids=str)
def test_batches_of_exact_tokens(batch: tuple[int, ...]) -> None:
    network, X = build("causal"), tokens(*batch, N, D)
    steps = lift(network, "mpf").trace(lift(X, "mpf"))
    assert steps.shape == (*batch, 3, N, D)
    if steps.size:
        last = tuple(b - 1 for b in batch)
        expected = flatten(twin_trace(network, X[last]))
        assert max(abs(a - b) for a, b in zip(entries(steps[last]), expected, strict=True)) < 1e-40


def test_a_batch_of_exact_networks() -> None:
    network, X = build(batch=(2,)), tokens(N, D)
    both = lift(network, "mpf")(lift(X, "mpf"))
    for i in range(2):
        single = network.replace(
            **{name: getattr(network, name)[i] for name in ("query", "key", "value")}
        )
        expected = flatten(twin_trace(single, X)[-1])
        assert max(abs(a - b) for a, b in zip(entries(both[i]), expected, strict=True)) < 1e-40


def test_exact_networks_stack() -> None:
    first, second = (lift(build(seed=seed), "mpf") for seed in (0, 1))
    both, X = ExactNetwork.stack([first, second]), lift(tokens(N, D), "mpf")
    assert both.batch == (2,)
    assert (both(X)[1] == second(X)).all() and (both(X)[0] == first(X)).all()


@pytest.mark.parametrize("heads", [0, 1])
def test_exact_network_without_heads_or_layers(heads: int) -> None:
    for layers in (0, 1):
        network, X = build(layers=layers, heads=heads), tokens(N, D)
        output = lift(network, "mpf")(lift(X, "mpf"))
        expected = flatten(twin_trace(network, X)[-1])
        assert max(abs(a - b) for a, b in zip(entries(output), expected, strict=True)) < 1e-40


def test_equal_tokens_stay_exactly_equal() -> None:
    """What floats can only suggest: ρ = 0 for rational tokens, and the ball of ρ contains 0."""
    X = exact([["1/3", "2/7", "5"]] * N)
    uniform = build().replace(query=torch.zeros(2, 2, D, 2, dtype=torch.float64))
    assert norms.residual_norm(lift(uniform, "fraction")(X)) == 0
    rho = norms.residual_norm(lift(build(), "arb")(lift(X, "arb")))
    assert rho.contains(0) and rho < flint.arb(1) / 10**40


# --- lift ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBER_TYPES)
@pytest.mark.parametrize("value", [0.1, -3.0, 2.0**-1000, 0.0, 1e300])
def test_lift_is_exact(number: str, value: float) -> None:
    lifted = lift(torch.tensor([[value]], dtype=torch.float64), number)[0, 0]
    as_fraction = {
        "fraction": lambda x: x,
        "fmpq": lambda x: Fraction(str(x)),
        "arb": lambda x: Fraction(str(x.fmpq())) if x.is_exact() else None,
        "mpf": lambda x: Fraction(*map(int, sympy.Rational(sympy.Float(x, 400)).as_numer_denom())),
        "sympy": lambda x: Fraction(int(x.p), int(x.q)),
    }[number](lifted)
    assert as_fraction == Fraction(value)


def test_lift_keeps_shapes_exact_entries_and_options() -> None:
    assert lift(tokens(0, N, D), "arb").shape == (0, N, D)
    assert lift(exact(["1/3"]), "sympy")[0] == sympy.Rational(1, 3)
    assert lift(0.5, "fraction") == lift(np.float32(0.5), "fraction") == Fraction(1, 2)
    assert lift(torch.tensor([2**53 + 1]), "fraction")[0] == 2**53 + 1
    assert lift(10**400, "fmpq") == 10**400
    assert lift(torch.tensor(0.1, dtype=torch.bfloat16), "fraction") == Fraction(205, 2048)
    network = lift(build("all but row"), "mpf")
    assert (network.norm, network.skip, network.mixer_scale) == ("pre", 2, -2)
    assert network.depth == 2 and network.layers(0, 1).depth == 1
    assert repr(network).startswith("ExactNetwork(depth=2, heads=2, width=3, key_width=2")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: lift(0.5, "decimal"), "number: expected one of fraction, .*received decimal"),
        (lambda: lift(0.5, ["arb"]), "number: expected one of fraction, .*received"),
        (lambda: lift(math.nan, "arb"), "x: expected finite"),
        (lambda: lift([0.5], "arb"), "x: expected a Network, .*received"),
        (lambda: lift("1/3", "fraction"), "x: expected a Network, .*received '1/3'"),
        (lambda: lift(torch.tensor([1j]), "mpf"), "x: expected .* a real number, received 1j"),
        (
            lambda: lift(build(batch=(2,)).replace(skip=torch.ones(2)), "mpf"),
            "skip: expected an exact number, received",
        ),
        (
            lambda: lift(build(batch=(2,)), "mpf")(lift(tokens(3, N, D), "mpf")),
            r"batch of X: expected one that broadcasts with \(2,\), received \(3,\)",
        ),
        (lambda: lift(torch.tensor([math.inf]), "mpf"), "x: expected finite"),
        (lambda: lift(build(), "mpf")(tokens(N, D)), "X: expected a numpy array of exact numbers"),
        (lambda: ExactNetwork(*build().__dict__.values()), "query: expected a numpy array"),
        (lambda: lift(build(), "mpf").replace(skip=0.1), "skip: expected an exact number"),
        (lambda: lift(build(), "mpf")(exact([[1, 2]])), "width of X: expected d = 3, received 2"),
        (lambda: lift(build("causal"), "mpf")(exact([[1, 2, 3]])), "tokens of X: expected n = 4"),
    ],
)
def test_refused(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s){said}"):
        call()

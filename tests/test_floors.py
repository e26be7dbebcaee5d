"""The lower bounds: 10⁵ one-layer networks stay above them, and none less would do."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import pytest
import sympy
import torch
from strategies import CASES, generator

from collapse.attention import Network
from collapse.bounds.floors import one_head_floor, one_layer_floor, one_layer_floor_with_biases
from collapse.exact import lift
from collapse.figures.floors import as_floats, with_constant_feature
from collapse.imitation import imitate
from collapse.numeric import rounding_allowance
from collapse.rungs import surrogate
from collapse.witnesses import layers as witnesses

FLOORS: dict[str, Any] = {
    "one layer": (witnesses.one_layer_floor, one_layer_floor),
    "with biases": (witnesses.one_layer_floor_with_biases, one_layer_floor_with_biases),
    "one head": (witnesses.one_head_floor, one_head_floor),
}
LABEL = {"one layer": "one-layer-floor", "with biases": "one-layer-floor",
         "one head": "one-head-floor"}  # fmt: skip
NAMES = [pytest.param(name, marks=pytest.mark.label(LABEL[name])) for name in FLOORS]
ETAS = torch.tensor([0.2, 0.5, 1.0, 2.0], dtype=torch.float64)


def gap(name: str, network: Any, X: Any) -> Any:
    """What the proof of the floor divides by 2, 4 or 3."""
    rows = network(X)[..., 0]
    if name == "one layer":
        return (rows[0, 0] - rows[1, 0]) / 2
    if name == "with biases":
        return (rows[0, 0] - 2 * rows[1, 0] + rows[2, 0]) / 4
    return (rows[1] - X[1, 0]) / 3


# --- the closed forms ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("eta", ["1/1000000", "1/100", "1", "2"])
@pytest.mark.parametrize("t", ["1/10", "1", "20"])
def test_the_closed_form_is_the_gap_of_the_exact_witness(name: str, eta: str, t: str) -> None:
    witness, floor = FLOORS[name]
    with mpmath.workdps(2000):  # tanh a − tanh b of the largest case is 1e-600
        network, X = witness(Fraction(eta), Fraction(t))
        found = gap(name, lift(network, "mpf"), lift(X, "mpf"))
        closed = floor(*(lift(Fraction(value), "mpf") for value in (eta, t)))
        assert abs(found / closed - 1) < mpmath.mpf(10) ** -100
        assert abs(found / closed - mpmath.mpf("1.01")) > mpmath.mpf("0.009")


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize("name", NAMES)
def test_the_closed_form_in_balls_meets_the_gap(name: str) -> None:
    witness, floor = FLOORS[name]
    eta, t = Fraction(3, 10), Fraction(2)
    network, X = witness(eta, t)
    value = floor(lift(eta, "arb"), lift(t, "arb"))
    difference = gap(name, lift(network, "arb"), lift(X, "arb")) - value
    assert difference.contains(0) and difference.rad() < 1e-40 < value / 1000
    assert not (difference + value / 100).contains(0)


@pytest.mark.parametrize(
    ("floor", "order"),
    [(one_layer_floor, 36), (one_layer_floor_with_biases, 16), (one_head_floor, 6)],
)
def test_small_weights(floor: Callable[..., Any], order: int) -> None:
    power = 3 if floor is one_head_floor else 4
    with mpmath.workdps(60):
        eta, t = mpmath.mpf(10) ** -8, mpmath.mpf(3)
        assert abs(floor(eta, t) * order / (eta**power * t**3) - 1) < 1e-12
    exact = float(floor(mpmath.mpf(1e-6), 1))
    assert abs(floor(1e-6) / exact - 1) < 1e-12  # no cancellation in float64


@pytest.mark.label("as25-thm-5.3")
@pytest.mark.label("one-layer-floor")
def test_large_tokens_leave_a_quarter_of_eta() -> None:
    for eta in (1e-3, 0.1, 2.0):
        assert abs(one_layer_floor(eta, 1e9) / 1e9 - eta / 4) < 1e-9
    s = torch.logspace(-9, 9, 4000, dtype=torch.float64)
    share = torch.tensor([one_layer_floor(1.0, float(x) ** 0.5) / float(x) ** 0.5 for x in s])
    assert (share >= torch.clamp(s, max=1) / 40).all()
    assert (share < torch.clamp(s, max=1) / 3).all()  # the order is right on both sides


@pytest.mark.parametrize("floor", [floor for _, floor in FLOORS.values()])
def test_every_number_type(floor: Callable[..., Any]) -> None:
    assert isinstance(floor(0.5, 2.0), float)
    values = torch.tensor([0.1, 0.5], dtype=torch.float64)
    assert torch.allclose(
        floor(values, 2.0), torch.tensor([floor(0.1, 2.0), floor(0.5, 2.0)]).double()
    )
    eta, t = sympy.symbols("eta t", positive=True)
    assert floor(eta, t).free_symbols == {eta, t}
    assert floor(0.0, 1.0) == 0 and floor(1.0, 0.0) == 0
    for bad in ((-1.0, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match=">= 0"):
            floor(*bad)


@pytest.mark.label("one-layer-floor")
def test_logits_in_the_first_layer_double_the_second_difference() -> None:
    with mpmath.workdps(60):
        eta = Fraction(1, 10**8)
        network, X = witnesses.one_layer_floor_with_biases(eta, Fraction(1))
        alike = network.replace(query=network.value, key=network.value)
        for deep, order in ((network, 16), (alike, 8)):
            found = gap("with biases", lift(deep, "mpf"), lift(X, "mpf"))
            assert abs(found * order / lift(eta, "mpf") ** 4 - 1) < 1e-12


# --- nothing goes below ---------------------------------------------------------------------------


def error_on(network: Network, target: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """The worst error over the inputs, which are the first axis."""
    return (network(X) - target).abs().amax((0, -2, -1))


def random_layers(cases: int, heads: int, seed: int, like: Network) -> Network:
    """One-layer networks from the rungs of ``like``, shaken a little or a lot, to wild ones."""
    g, d = generator(seed), like.width

    def draw(*shape: int) -> torch.Tensor:
        size = 10 ** (4 * torch.rand(cases, 1, 1, 1, 1, generator=g, dtype=torch.float64) - 3)
        return torch.randn(cases, *shape, generator=g, dtype=torch.float64) * size

    M, V = draw(1, heads, d, d), draw(1, heads, d, d)
    near = torch.rand(cases, 1, 1, 1, 1, generator=g) < 0.5
    base = surrogate(like, 3)
    M[:, :, : base.heads] += near * base.query_key
    V[:, :, : base.heads] += near * base.value
    return Network(M, torch.eye(d, dtype=torch.float64).expand_as(M), V)


@pytest.mark.parametrize("name", NAMES)
def test_no_random_one_layer_network_goes_below(name: str) -> None:
    witness, floor = FLOORS[name]
    counts = (1,) if name == "one head" else (2, 3, 8)
    for t in (1.0, 5.0):
        network, X = as_floats(witness, t)
        if name == "with biases":
            network, X = with_constant_feature(network, X)
        for i, eta in enumerate(ETAS):
            deep = witnesses.scaled(network, eta)
            cases = CASES // (2 * len(ETAS) * len(counts)) + 1
            for heads in counts:
                like = deep if name != "one head" else deep.replace(
                    **{w: getattr(deep, w)[:, :1] for w in ("query", "key", "value")}
                )  # fmt: skip
                trial = random_layers(cases, heads, seed=100 * i + heads, like=like)
                output = trial(X[:, None])
                if name == "one layer":  # a token-wise map behind, here a random tanh layer
                    a, b = torch.randn(2, cases, 1, 1, generator=generator(i), dtype=torch.float64)
                    output = torch.cat([output, output + a * torch.tanh(b * output)], 1)
                error = (output - deep(X)[:, None]).abs().amax((0, -2, -1))
                allowed = rounding_allowance(float(output.abs().max().clamp(max=1e3)), 100)
                assert (error >= floor(float(eta), t) - allowed).all()


@pytest.mark.parametrize("name", NAMES)
def test_search_reaches_the_floor_and_stops_there(name: str) -> None:
    """The floors are attained in the limit; 1% more would already be undercut."""
    witness, floor = FLOORS[name]
    network, X = as_floats(witness, 2.0)
    heads = 1 if name == "one head" else 4
    if name == "with biases":
        network, X = with_constant_feature(network, X)
    deep = witnesses.scaled(network, ETAS)
    best, found = imitate(deep, X, heads, generator(0), starts=6, steps=600)
    bound = floor(ETAS, 2.0)
    assert (best >= bound * (1 - 1e-12)).all()
    assert (best < 1.01 * bound).any()
    again = (found(X[:, None]) - deep(X[:, None])).abs().amax((0, -2, -1))
    assert torch.allclose(again, best, rtol=1e-9)


@pytest.mark.label("one-layer-floor")
def test_a_query_bias_escapes_the_first_floor() -> None:
    network, X = with_constant_feature(*as_floats(witnesses.one_layer_floor, 2.0))
    deep = witnesses.scaled(network, ETAS)
    best, _ = imitate(deep, X, 4, generator(0), starts=6, steps=600)
    assert (best < 0.5 * one_layer_floor(ETAS, 2.0)).all()


@pytest.mark.label("one-layer-floor")
def test_two_layers_escape() -> None:
    """The deep network itself: the floor is about depth."""
    network, X = as_floats(witnesses.one_layer_floor, 2.0)
    assert network.depth == 2
    assert error_on(network, network(X), X) == 0 < one_layer_floor(1.0, 2.0)


@pytest.mark.label("one-head-floor")
def test_two_heads_escape() -> None:
    network, X = as_floats(witnesses.one_head_floor, 2.0)
    assert (network.depth, network.heads) == (1, 2)
    assert error_on(surrogate(network, 3), network(X), X) == 0 < one_head_floor(1.0, 2.0)


@pytest.mark.label("one-layer-floor")
@pytest.mark.parametrize(("high", "low"), [(1, 0), (1, 1), (5, 2), (20, 7)])
def test_one_layer_confuses_every_pair_with_one_mean_and_a_zero_token(high: int, low: int) -> None:
    network, X = witnesses.wide_pair(high, low)
    assert (X[:, 0] == 0).all() and X[0].sum() == X[1].sum() and abs(X).max() == 1
    _, floats = as_floats(lambda: witnesses.wide_pair(high, low))
    trial = random_layers(500, 4, seed=high, like=as_floats(witnesses.one_layer_floor)[0])
    rows = trial(floats[:, None])[..., 0, 0]
    size = rows.abs().amax(0) + trial.value.abs().sum((-3, -2, -1))[:, 0]
    assert ((rows[0] - rows[1]).abs() <= rounding_allowance(size, 200)).all()
    if high > low > 0:
        after = lift(network, "mpf")(lift(X, "mpf"))[:, 0, 0]
        assert abs(after[0] - after[1]) > 1e-3


def test_the_witnesses_have_small_weights() -> None:
    """Entries at most η, so that they are networks of the theorem that they answer."""
    for witness, _ in FLOORS.values():
        network, _ = witness(Fraction(1, 10), Fraction(3))
        for weights in (network.query, network.key, network.value):
            assert abs(weights).max() == Fraction(1, 10)


def test_witnesses_refuse_what_they_cannot_make() -> None:
    for bad in (lambda: witnesses.two_levels(3, 6), lambda: witnesses.moved_logits(0.0),
                lambda: witnesses.one_apart(1), lambda: witnesses.wide_pair(0, 1)):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            bad()
    network, X = as_floats(witnesses.one_head_floor)
    with pytest.raises(ValueError, match="one batch dimension"):
        imitate(network, X, 1, generator(0))

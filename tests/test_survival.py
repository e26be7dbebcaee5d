"""Skips keep tokens apart, weights decide about layers: the four cells; 10⁵ cases."""

from __future__ import annotations

import flint
import pytest
import torch
from layers import NORMS, OPERATIONS, OPTIONS, drawn, rounding, sizes_of
from strategies import CASES, assert_below, generator

from collapse.adversary import ascend
from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import State
from collapse.bounds.skips import surviving_diameters
from collapse.exact import lift
from collapse.norms import diameter, residual_norm, token_norm
from collapse.rungs import surrogate
from collapse.witnesses.skips import (
    equal_outputs,
    four_cells,
    opposing_values,
)

EACH = CASES // (len(NORMS) * len(OPTIONS)) + 1  # cases per norm and option


pytestmark = pytest.mark.usefixtures("ball_precision")


# --- rank-survives -------------------------------------------------------------------------------


@pytest.mark.label("rank-survives")
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("option", OPTIONS)
def test_the_diameter_survives_one_layer(option: str, p: float) -> None:
    network, X = drawn(EACH, 20, **OPTIONS[option])
    opposing = torch.arange(EACH)[:, None, None, None, None] % 2 == 0
    pull = -torch.eye(2, dtype=torch.float64) * network.value.abs().amax((-2, -1), keepdim=True)
    network = network.replace(value=torch.where(opposing, pull, network.value))
    kept = surviving_diameters(network_sizes(network, 4, p), token_norm(X, p), diameter(X, p))[1]
    assert_below(kept, diameter(network(X), p), rounding(network, X), OPERATIONS)


@pytest.mark.label("rank-survives")
@pytest.mark.parametrize("p", NORMS)
def test_the_diameter_survives_many_layers(p: float) -> None:
    cases, layers = CASES // 20, 5
    source = generator(21)
    eta = sizes_of(cases, -2, -0.3, source)[:, 0, 0]
    network = Network.random(layers, 2, 2, 2, eta, source)
    X = torch.rand(cases, 4, 2, generator=source, dtype=torch.float64) * 2 - 1
    steps = network.trace(X)
    D, zero = diameter(steps, p), torch.zeros(cases, dtype=torch.float64)
    phi = token_norm(steps, p)
    states = [State(phi[:, i], D[:, i], zero, zero) for i in range(layers)]
    sizes = network_sizes(network, 4, p)
    met = surviving_diameters(sizes, phi[:, 0], D[:, 0], states)
    ahead = surviving_diameters(sizes, phi[:, 0], D[:, 0])
    grown = torch.ones(cases, dtype=torch.float64)
    for layer in range(layers + 1):
        scale = grown * phi[:, layer].maximum(phi[:, 0])
        assert_below(met[layer], D[:, layer], scale, OPERATIONS * (layer + 1))
        assert_below(ahead[layer], met[layer], scale, OPERATIONS * (layer + 1))
        if layer < layers:
            part = network.layers(layer, layer + 1)
            grown = grown * rounding(part, steps[:, layer]) / phi[:, layer]


@pytest.mark.label("rank-survives")
@pytest.mark.parametrize("nu", ["1/10", "1/2", "1"])
@pytest.mark.parametrize("r", ["1/5", "1", "3"])
def test_opposing_values_attain_the_survival_bound(nu: str, r: str) -> None:
    network, X = (lift(part, "arb") for part in opposing_values(nu, 1, r))
    for _ in range(3):
        sizes = network_sizes(network, 2)
        D, after = diameter(X), diameter(network(X))
        kept = surviving_diameters(sizes, token_norm(X), D)[1]
        assert abs(kept - after) < D / 10**9
        # A constant 1% lower, K · 0.99, promises more than is left.
        K = 1 - kept / D
        assert D * (1 - K * 99 / 100) > after
        X = network(X)


@pytest.mark.label("rank-survives")
def test_a_skip_alone_does_not_keep_tokens_apart() -> None:
    """At K = 1 two tokens merge in one layer with skip; above it the bound says nothing."""
    tanh = flint.arb(1).tanh()
    network, X = opposing_values(1 / tanh, flint.arb(1), flint.arb(1))
    after = diameter(network(X))
    assert after < flint.arb(10) ** -12
    sizes = network_sizes(network, 2)
    kept = surviving_diameters(sizes, token_norm(X), diameter(X))[1]
    assert kept < flint.arb(10) ** -12


@pytest.mark.label("rank-survives")
def test_with_rotary_positions_the_plain_factor_is_false() -> None:
    """Two tokens at distance 0.02: by the plain factor nothing could happen to them."""
    one = torch.eye(2, dtype=torch.float64)[None, None]
    network = Network(2 * one, 2 * one, -0.9 * one, rope=1.0)
    X = torch.tensor([[1.0, 0.0], [1.0, 0.02]], dtype=torch.float64)
    plain, turned = (
        surviving_diameters(network_sizes(each, 2), token_norm(X), diameter(X))[1]
        for each in (network.replace(rope=None), network)
    )
    after = diameter(network(X))
    assert turned <= after < 0.9 * plain


# --- as25-skip: the four cells -------------------------------------------------------------------


@pytest.mark.label("as25-skip")
@pytest.mark.parametrize("skip", [1, 0])
@pytest.mark.parametrize("eta", ["1/20", "8"])
def test_every_cell_has_its_witness(skip: int, eta: str) -> None:
    network, X, other = (lift(part, "arb") for part in four_cells(eta, skip))
    outputs = [network(tokens) for tokens in (X, other)]
    floor = abs(outputs[0] - outputs[1])[0].max() / 2
    size = max(abs(outputs[0]).max(), abs(outputs[1]).max(), key=float)
    kept = [residual_norm(S) / abs(S).max() for S in outputs]
    if eta == "8":
        assert floor > size / 5 and all(share > flint.arb(1) / 2 for share in kept)
    else:
        assert floor < size / 1000
        assert all(
            (share > flint.arb(1) / 4) if skip else (share < flint.arb("1e-9")) for share in kept
        )


@pytest.mark.label("as25-skip")
def test_small_weights_are_imitated_with_skips_and_kept_apart() -> None:
    network, X, other = (lift(part, "mpf") for part in four_cells("1/100", 1))
    for tokens in (X, other):
        error = abs(network(tokens) - surrogate(network, 3)(tokens)).max()
        assert error < 1e-8 and diameter(network(tokens)) > 0.99 * diameter(tokens)


@pytest.mark.label("as25-skip")
def test_no_one_layer_network_tells_the_inputs_of_the_cells_apart() -> None:
    """Row 1, a zero token, is the same on both; random layers of many heads, any skip."""
    _, X, other = four_cells(1, 1)
    pair = [torch.tensor(tokens.astype(float)) for tokens in (X, other)]
    eta = sizes_of(2000, -1, 1.5, generator(30))[:, 0, 0]
    for skip in (0.0, 1.0):
        layer = Network.random(1, 3, 1, 2, eta, generator(31)).replace(skip=skip)
        first, second = (layer(tokens)[:, 0] for tokens in pair)
        v = layer.value.abs().sum((1, 2, 3, 4))[:, None]
        assert_below((first - second).abs(), 0.0, v, 40)
        # Moved by 1 the tokens still have one mean, but none is zero, and they are told apart.
        first, second = (layer(tokens + 1)[:, 0] for tokens in pair)
        assert ((first - second).abs() > 0.01).any()


@pytest.mark.label("as25-skip")
def test_rank_collapse_without_layer_collapse() -> None:
    network, X, other = (lift(part, "arb") for part in equal_outputs(4))
    outputs = [network(tokens) for tokens in (X, other)]
    for S in outputs:
        assert residual_norm(S) < flint.arb(10) ** -12
    assert abs(outputs[0] - outputs[1])[0, 0] / 2 > abs(outputs[0]).max() / 10
    small, X, other = (lift(part, "arb") for part in equal_outputs("1/100"))
    assert abs(small(X) - small(other)).max() < flint.arb("1e-4")  # small weights: no such floor


@pytest.mark.label("rank-survives")
def test_a_search_brings_tokens_down_to_the_survival_bound_and_no_further() -> None:
    """Gradient ascent over tokens and weights of width two, the value weights at ν = 1."""

    def parts(point: torch.Tensor) -> tuple[Network, torch.Tensor, torch.Tensor, torch.Tensor]:
        X, query, key, value = point.split([2, 2, 2, 2], -2)
        value = value / value.abs().sum(-2, keepdim=True).amax(-1, keepdim=True)
        network = Network(*(w[:, None, None] for w in (query, key, 0.9 * value)))
        sizes = network_sizes(network, 2)
        kept = surviving_diameters(sizes, token_norm(X), diameter(X))[1]
        return network, X, kept, diameter(network(X))

    def share(point: torch.Tensor) -> torch.Tensor:
        *_, kept, after = parts(point)
        return kept / after

    starts = torch.randn(32, 8, 2, generator=generator(40), dtype=torch.float64)
    best, where = ascend(share, starts, steps=400, learning_rate=0.05)
    network, X, kept, after = parts(where)
    assert_below(kept, after, rounding(network, X), OPERATIONS)
    assert best.max() > 0.999
    assert (kept < 0.9 * diameter(X))[best > 0.999].any()  # where K is not negligible

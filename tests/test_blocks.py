"""Perceptrons: values, Lipschitz constants, and centred propagation through them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from strategies import assert_below, generator, normal

from collapse.attention import Network
from collapse.blocks import MLP, trace_blocks
from collapse.bounds import contraction_bound
from collapse.centred import centred_trace
from collapse.exact import lift
from collapse.norms import diameter, residual_norm

L, N, D, M = 5, 4, 3, 6


def parts(skip: float = 0.0) -> tuple[Network, MLP]:
    network = Network.random(L, 2, D, D, 0.7, generator(3)).replace(skip=skip)
    return network, MLP(
        normal(L, D, M, seed=4), normal(L, M, seed=5) / 4, normal(L, M, D, seed=6) / 2
    )


def exactly(mlp: MLP) -> MLP:
    return MLP(*(lift(part, "mpf") for part in (mlp.inner, mlp.bias, mlp.outer)))


@pytest.mark.parametrize("skip", [0.0, 1.0, -0.5])
def test_blocks_against_plain_loops(skip: float) -> None:
    network, mlp = parts(skip)
    X = normal(N, D, seed=1)
    steps, tokens = trace_blocks(network, X, mlp), X
    for layer in range(L):
        tokens = skip * tokens + network.attention(tokens, layer)
        after = torch.zeros_like(tokens)
        for i in range(N):
            for m in range(M):
                a = sum(tokens[i, k] * mlp.inner[layer, k, m] for k in range(D))
                active = max(0.0, float(a + mlp.bias[layer, m]))
                for j in range(D):
                    after[i, j] += active * mlp.outer[layer, m, j]
        tokens = skip * tokens + after
        assert (steps[layer + 1] - tokens).abs().max() < 1e-12
    assert trace_blocks(network, X).equal(network.trace(X))


@pytest.mark.label("centred-propagation")
def test_centred_propagation_through_perceptrons_against_many_digits() -> None:
    network, mlp = parts()
    X = normal(N, D, seed=2)
    trace = centred_trace(network, X, mlp)
    with mpmath.workdps(900):
        deep, perceptron, tokens = lift(network, "mpf"), exactly(mlp), lift(X, "mpf")
        for layer in range(L):
            tokens = perceptron(deep.attention(tokens, layer), layer)
            found = mpmath.ldexp(
                mpmath.mpf(float(trace.mantissa[layer + 1])), int(trace.exponent[layer + 1])
            )
            assert abs(found / residual_norm(tokens) - 1) < 1e-12
    assert trace.log10_rho[-1] < -30  # far below what float64 resolves


@pytest.mark.parametrize("t", [1.0, 1e-3, 1e-9, 2.0**-900, 0.0])
def test_the_difference_of_a_relu_does_not_cancel(t: float) -> None:
    _, mlp = parts()
    c, R = normal(1, D, seed=7), normal(N, D, seed=8)
    found = mlp.difference(c, R, torch.tensor(t, dtype=torch.float64), 0)
    with mpmath.workdps(700):
        exact, step = exactly(mlp), mpmath.mpf(t or 2.0**-1000)
        base, rows = lift(c, "mpf"), lift(R, "mpf")
        truth = (exact(base + step * rows, 0) - exact(base, 0)) / step
        error = abs(truth - lift(found, "mpf")).max()
    assert error < 1e-13


def test_an_activation_at_its_kink_keeps_one_side() -> None:
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    mlp = MLP(one, torch.zeros(1, 1, dtype=torch.float64), one)
    R = torch.tensor([[-2.0], [3.0]], dtype=torch.float64)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    for t in (0.0, 1e-300, 1.0):
        found = mlp.difference(zero, R, torch.tensor(t, dtype=torch.float64), 0)
        assert found.flatten().tolist() == [0.0, 3.0]


@pytest.mark.label("d21-mlp")
@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_a_block_contracts_by_lambda_times_the_factor(p: float) -> None:
    network, mlp = parts()
    X = normal(300, N, D, seed=1)
    layer = network.layers(0, 1)
    bound = contraction_bound(layer, X, p).value * mlp.lipschitz(p)[0]
    after = diameter(mlp(layer(X), 0), p)
    assert_below(after, bound, bound.amax(), 400)


@pytest.mark.label("d21-mlp")
def test_a_perceptron_that_stays_switched_on_attains_it() -> None:
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    X = torch.tensor([[-0.5], [0.5]], dtype=torch.float64)
    layer = Network(one, one, one, skip=0)
    mlp = MLP(2 * one[0], torch.full((1, 1), 9.0, dtype=torch.float64), 3 * one[0])
    bound = contraction_bound(layer, X).value * mlp.lipschitz()[0]
    assert float(diameter(mlp(layer(X), 0))) == pytest.approx(float(bound), rel=1e-12)
    assert float(diameter(mlp(layer(X), 0))) > 0.99 * float(bound)


@pytest.mark.label("d21-skips")
def test_uniform_attention_with_skips_keeps_the_residual_exactly() -> None:
    network, _ = parts(1.0)
    even, X = network.replace(query=0 * network.query), normal(N, D, seed=2)
    exact, tokens = lift(even, "fraction"), lift(X, "fraction")
    assert residual_norm(exact(tokens)) == residual_norm(tokens)
    assert (exact(tokens) != tokens).any()
    # The controls: queries, or no skip.
    assert residual_norm(network(X)) != pytest.approx(float(residual_norm(X)), rel=1e-6)
    assert residual_norm(lift(even.replace(skip=0), "fraction")(tokens)) == 0


def test_single_precision_is_propagated_in_double() -> None:
    network, mlp = parts()
    network, mlp = network.to(torch.float32), mlp.to(torch.float32)
    X = normal(N, D, seed=1, dtype=torch.float32)
    wide = centred_trace(network.to(torch.float64), X.double(), mlp.to(torch.float64))
    assert centred_trace(network, X, mlp).log10_rho.equal(wide.log10_rho)


def test_batches_of_perceptrons_broadcast() -> None:
    network, mlp = parts()
    X = normal(3, 1, N, D, seed=1)
    both = MLP(*(torch.stack((w, w / 2)) for w in (mlp.inner, mlp.bias, mlp.outer)))
    steps, trace = trace_blocks(network, X, both), centred_trace(network, X, both).log10_rho
    assert steps.shape == (3, 2, L + 1, N, D) and trace.shape == (3, 2, L + 1)
    for i in range(2):
        single = MLP(both.inner[i], both.bias[i], both.outer[i])
        assert (steps[:, i] - trace_blocks(network, X[:, 0], single)).abs().max() < 1e-12
        alone = centred_trace(network, X[:, 0], single).log10_rho
        assert (trace[:, i] - alone).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda net, mlp, X: MLP(mlp.inner * math.nan, mlp.bias, mlp.outer), "inner: .*finite"),
        (lambda net, mlp, X: MLP(mlp.inner.int(), mlp.bias, mlp.outer), "inner: .*floating"),
        (lambda net, mlp, X: MLP([1.0], mlp.bias, mlp.outer), "inner: expected weights"),
        (lambda net, mlp, X: MLP(mlp.inner, mlp.bias.float(), mlp.outer), "bias: .*float64"),
        (lambda net, mlp, X: MLP(mlp.inner[0, 0], mlp.bias, mlp.outer), "inner: expected shape"),
        (lambda net, mlp, X: mlp(X, L), "layer: expected 0 <= layer < 5, an integer, received 5"),
        (lambda net, mlp, X: mlp(X, -1), "layer: expected 0 <= layer < 5, an integer, received"),
        (lambda net, mlp, X: trace_blocks(net.layers(0, 2), X, mlp), "depth and width of the MLP"),
        (lambda net, mlp, X: centred_trace(net.layers(0, 2), X, mlp), "depth and width of the MLP"),
        (lambda net, mlp, X: trace_blocks(net, X, mlp.to(torch.float32)), "MLP: expected .*64"),
        (lambda net, mlp, X: trace_blocks(net, X[0], mlp), "X: expected tokens"),
        (lambda net, mlp, X: trace_blocks(net, 1e305 * X, mlp), "finite"),
    ],
)
def test_perceptrons_refused(call: Callable[..., Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call(*parts(), normal(N, D, seed=1))


def test_shapes_that_do_not_fit_are_refused() -> None:
    one = torch.ones(1, 2, 3)
    with pytest.raises(ValueError, match="bias and outer: expected shapes"):
        MLP(one, torch.ones(1, 2), torch.ones(1, 3, 2))
    assert MLP(one, torch.ones(1, 3), torch.ones(1, 3, 2)).to(torch.float64).inner.dtype == (
        torch.float64
    )
    assert isinstance(exactly(parts()[1]).inner, np.ndarray)

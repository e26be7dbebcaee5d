"""The sum over paths is the forward pass: in every option, in exact numbers, and path by path."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
import torch
from networks import CAUSAL, OPTIONS, D, N, build, operations, rounding_scale, tokens
from strategies import CASES, assert_below

from collapse.attention import Network
from collapse.exact import lift
from collapse.numeric import exact
from collapse.paths import path_decomposition

LINEAR = [name for name, options in OPTIONS.items() if not options.get("norm")]
SHAPES = [(2, 1, 1, 2), (3, 2, 2, 2), (4, 3, 1, 3), (5, 2, 3, 2)]  # tokens, width, heads, layers


@pytest.mark.label("path-decomposition")
@pytest.mark.parametrize("option", LINEAR)
@pytest.mark.parametrize(("layers", "heads"), [(0, 2), (1, 1), (2, 3), (4, 2)])
def test_the_paths_add_up_to_the_output(option: str, layers: int, heads: int) -> None:
    network, X = build(option, layers=layers, heads=heads), tokens(N, D)
    paths = path_decomposition(network, X)
    ways = heads + (network.skip != 0)
    assert len(paths.choices) == ways**layers == paths.terms.shape[-3]
    assert paths.choices.shape[-1] == layers
    gap = (paths.terms.sum(-3) - network(X)).abs()
    size = float(paths.terms.abs().sum(-3).max())
    chain = 2 * operations(network, X) + len(paths.choices)
    assert_below(gap, 0.0, size + rounding_scale(network, X), chain)


@pytest.mark.label("path-decomposition")
@pytest.mark.parametrize(("n", "d", "heads", "layers"), SHAPES)
def test_many_networks_at_once(n: int, d: int, heads: int, layers: int) -> None:
    cases = CASES // len(SHAPES)
    network = build(batch=(cases,), layers=layers, heads=heads, width=d, key_width=d)
    X = tokens(cases, n, d).clamp(-3, 3)
    paths = path_decomposition(network, X)
    gap = (paths.terms.sum(-3) - network(X)).abs()
    assert_below(gap, 0.0, rounding_scale(network, X), operations(network, X))


@pytest.mark.label("path-decomposition")
@pytest.mark.parametrize("option", ["plain", "causal", "rope", "skip λ", "factored"])
def test_each_term_is_the_product_along_its_path(option: str) -> None:
    network, X = build(option, layers=3, heads=2), tokens(N, D)
    paths, steps = path_decomposition(network, X), network.trace(X)
    P = [network.attention_matrices(steps[layer], layer) for layer in range(3)]
    for choice, term in zip(paths.choices.tolist(), paths.terms, strict=True):
        expected = X
        for layer, head in enumerate(choice):
            if head == 0:
                expected = network.skip * expected
            else:
                V = network.value_output[layer, head - 1]
                expected = P[layer][head - 1] @ expected @ V
        assert torch.allclose(term, expected, rtol=1e-13, atol=1e-15)
    every = {tuple(c) for c in paths.choices.tolist()}
    assert every == set(itertools.product(range(3), repeat=3))


@pytest.mark.label("path-decomposition")
def test_exact_rationals_agree_exactly() -> None:
    """With W_Q = 0 all logits vanish and Fractions suffice."""
    zero = exact(np.zeros((2, 2, 2, 1), dtype=int).tolist())
    value = exact(torch.arange(-8, 8).reshape(2, 2, 2, 2).tolist()) * Fraction(1, 3)
    network = lift(build(layers=2, width=2, key_width=1), "fraction")
    network = network.replace(query=zero, value=value, skip=Fraction(1, 2))
    X = exact([[1, "1/7"], [0, 5], ["-2/3", 4]])
    paths = path_decomposition(network, X)
    assert (paths.terms.sum(-3) == network(X)).all()
    # Negative control: without any one of the nine paths the sum is wrong.
    for k in range(9):
        assert (np.delete(paths.terms, k, -3).sum(-3) != network(X)).any()


@pytest.mark.label("path-decomposition")
def test_balls_enclose_the_difference() -> None:
    network = build(layers=2)
    exactly, X = lift(network, "arb"), lift(tokens(N, D), "arb")
    gap = path_decomposition(exactly, X).terms.sum(-3) - exactly(X)
    assert all(entry.contains(0) and entry < flint.arb(1e-12) for entry in gap.flat)


@pytest.mark.label("path-decomposition")
@pytest.mark.parametrize("skip", [1.0, 0.0])
def test_lengths_split_the_output(skip: float) -> None:
    network, X = build(layers=3).replace(skip=skip), tokens(2, N, D)
    paths = path_decomposition(network, X)
    parts = [paths.of_length(length) for length in range(4)]
    assert torch.allclose(sum(parts), network(X), rtol=1e-13)
    counts = [int((paths.lengths == length).sum()) for length in range(4)]
    assert counts == ([1, 6, 12, 8] if skip else [0, 0, 0, 8])
    assert torch.equal(parts[0], X if skip else 0 * X)


def test_batches_of_networks_tokens_and_skips() -> None:
    network, X = build(batch=(2,), layers=2), tokens(3, 1, N, D)
    network = network.replace(skip=torch.tensor([0.0, 2.0], dtype=torch.float64))
    paths = path_decomposition(network, X)
    assert paths.terms.shape == (3, 2, 9, N, D)
    assert torch.allclose(paths.terms.sum(-3), network(X), rtol=1e-13)


def test_the_callers_dtype_and_the_number_of_heads_are_kept() -> None:
    network, X = build(layers=2, dtype=torch.float32), tokens(N, D, dtype=torch.float32)
    assert path_decomposition(network, X).terms.dtype == torch.float32
    none = path_decomposition(build(heads=0), tokens(N, D))
    assert torch.equal(none.terms.sum(-3), tokens(N, D)) and none.choices.shape == (1, 2)
    nothing = path_decomposition(build(heads=0).replace(skip=0.0), tokens(N, D))
    assert nothing.choices.shape == (0, 2) and torch.equal(nothing.terms.sum(-3), 0 * tokens(N, D))
    assert path_decomposition(build(layers=2), tokens(0, N, D)).terms.shape == (0, 9, N, D)


@pytest.mark.parametrize(
    ("network", "X", "said"),
    [
        (build("pre"), tokens(N, D), "norm: expected None"),
        (build("row"), tokens(N, D), "norm: expected None"),
        (build(), tokens(N, 2), "width of X"),
        (build().replace(mask=CAUSAL), tokens(2, D), "tokens of X"),
        (build(layers=12, heads=3), tokens(N, D), "paths: expected at most 67108864 entries"),
    ],
    ids=["pre", "row", "width", "mask", "too many"],
)
def test_refused(network: Network, X: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        path_decomposition(network, X)


@pytest.mark.parametrize("length", [-1, 3])
def test_a_length_outside_the_network_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"0 <= length <= 2, received {length}"):
        path_decomposition(build(), tokens(N, D)).of_length(length)

"""The one-layer networks of the rungs: their formulas, sizes, options, and what they refuse."""

from __future__ import annotations

import mpmath
import pytest
import reference
import torch
from networks import CAUSAL, build, operations, rounding_scale, tokens, twin
from reference import Matrix
from strategies import assert_agrees, lists

from collapse.attention import Network
from collapse.exact import ExactNetwork, lift
from collapse.rungs import RUNGS, later_products, surrogate
from collapse.witnesses.layers import scaled

# Options of the small networks, and the rungs that are derived for them.
DERIVED = {
    "plain": (0, 1, 2, 3),
    "rope": (0, 1, 2, 3),
    "mixer": (0, 1, 2, 3),
    "factored": (0, 1, 2, 3),
    "wide values": (0, 1, 2, 3),
    "causal": (0, 1),
    "scattered mask": (0, 1),
    "pre": (0, 1, 2),
    "no skip": (),
    "skip λ": (),
    "row": (),
}


def slow(network: Network, X: torch.Tensor, rung: int) -> Matrix:
    """The rung by its formula, in plain loops."""
    layers, options = twin(network)
    x = lists(X)
    n, d = len(x), len(x[0])
    scale = mpmath.mpf(1 if network.mixer_scale is None else network.mixer_scale)
    eye = [[mpmath.mpf(int(i == j)) for j in range(d)] for i in range(d)]
    nothing = [[mpmath.mpf(0)] * d for _ in range(d)]
    read = reference.normalise_rows(x, mpmath.sqrt(d)) if network.norm == "pre" else x
    values = [[[[scale * e for e in r] for r in h.full_value()] for h in hs] for hs in layers]
    sums = []
    for layer in values:
        total = nothing
        for V in layer:
            total = reference.add(total, V)
        sums.append(total)
    after = x
    if rung in (1, 3):
        for k, heads in enumerate(layers):
            later = eye
            if rung == 3:
                for V in sums[k + 1 :]:
                    later = reference.matmul(later, reference.add(eye, V))
            for head, V in zip(heads, values[k], strict=True):
                P = reference.softmax(reference.logits(read, head, options.rope), options.mask)
                part = reference.matmul(reference.matmul(P, read), reference.matmul(V, later))
                after = reference.add(after, part)
    if rung == 2:
        mean = [[sum(column) / n for column in zip(*read, strict=True)]] * n
        W = eye
        for V in sums:
            if network.norm == "pre":
                W = reference.add(W, V)
            else:
                W = reference.matmul(W, reference.add(eye, V))
        after = reference.add(after, reference.matmul(mean, reference.add(W, eye, -1)))
    return after


@pytest.mark.parametrize(("option", "rung"), [(o, r) for o, rs in DERIVED.items() for r in rs])
def test_each_rung_is_its_formula(option: str, rung: int) -> None:
    network, X = build(option, layers=3), tokens(4, 3)
    shallow = surrogate(network, rung)
    slack = 4 * operations(network, X)
    assert_agrees(shallow(X), slow(network, X, rung), rounding_scale(network, X), slack)


@pytest.mark.parametrize(("option", "rungs"), DERIVED.items())
def test_what_is_not_derived_is_refused(option: str, rungs: tuple[int, ...]) -> None:
    for rung in set(RUNGS) - set(rungs):
        with pytest.raises(ValueError, match="skip|norm|mask"):
            surrogate(build(option), rung)


@pytest.mark.parametrize("rung", [-1, 4, 1.5, "2", None])
def test_only_four_rungs(rung: object) -> None:
    with pytest.raises(ValueError, match="rung: expected 0, 1, 2 or 3"):
        surrogate(build(), rung)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_surrogate_is_one_layer_of_the_same_kind(dtype: torch.dtype) -> None:
    network = build(batch=(5, 2), layers=3, heads=4, dtype=dtype)
    for rung, heads in enumerate((0, 12, 1, 12)):
        shallow = surrogate(network, rung)
        assert type(shallow) is Network
        assert (shallow.depth, shallow.heads, shallow.batch) == (1, heads, (5, 2))
        assert (shallow.query.dtype, shallow.width) == (dtype, network.width)
        assert shallow(tokens(4, 3, dtype=dtype)).shape == (5, 2, 4, 3)


@pytest.mark.parametrize(("layers", "heads"), [(0, 2), (2, 0), (0, 0)])
def test_a_network_without_layers_or_heads_is_the_identity(layers: int, heads: int) -> None:
    network, X = build(layers=layers, heads=heads), tokens(4, 3)
    for rung in RUNGS:
        assert torch.equal(surrogate(network, rung)(X), X)


def test_one_layer_is_its_own_first_and_third_rung() -> None:
    network, X = build(layers=1), tokens(4, 3)
    for rung in (1, 3):
        assert torch.equal(surrogate(network, rung)(X), network(X))


def test_rung_two_is_an_average_and_a_matrix() -> None:
    network, X = build(layers=5, heads=3), tokens(4, 3)
    W = torch.eye(3, dtype=torch.float64)
    for V in network.value.sum(1):
        W = W @ (torch.eye(3) + V)
    by_hand = X + X.mean(0) @ (W - torch.eye(3))
    assert torch.allclose(surrogate(network, 2)(X), by_hand, rtol=0, atol=1e-13)


def test_later_products_lose_nothing_to_the_identity() -> None:
    """At η = 1e-12, (I + V)(I + V') − I computed naively keeps four digits; the recursion all."""
    network = scaled(build(layers=3), torch.tensor(1e-12, dtype=torch.float64))
    exact = later_products(lift(network, "fraction"))[0]
    found = later_products(network)[0]
    worst = max(
        abs(float(a) / b - 1) for a, b in zip(exact.flat, found.flatten().tolist(), strict=True)
    )
    assert worst < 1e-13
    eye = torch.eye(3, dtype=torch.float64)
    naive = eye
    for V in network.value.sum(1):
        naive = naive @ (eye + V)
    assert ((naive - eye) / found - 1).abs().max() > 1e-6


@pytest.mark.parametrize("rung", RUNGS)
def test_exact_numbers_go_through_the_same_code(rung: int) -> None:
    network, X = build(layers=2), tokens(4, 3)
    shallow = surrogate(lift(network, "mpf"), rung)
    assert type(shallow) is ExactNetwork
    scale, slack = rounding_scale(network, X), 4 * operations(network, X)
    twin_output = shallow(lift(X, "mpf")).tolist()
    assert_agrees(surrogate(network, rung)(X), twin_output, scale, slack)


def test_a_sweep_over_weights_depths_and_seeds_is_one_call() -> None:
    """50 values of η × 4 depths × 3 seeds: layers with V = 0 pad the shallower networks."""
    depths, etas = (1, 2, 3, 5), torch.logspace(-3, 0, 50, dtype=torch.float64)
    deep = build(batch=(3,), layers=5)
    kept = (torch.arange(5) < torch.tensor(depths)[:, None]).double()[:, None, :, None, None, None]
    padded = deep.replace(
        query=deep.query.expand(4, *deep.query.shape),
        key=deep.key.expand(4, *deep.key.shape),
        value=deep.value * kept,
    )
    sweep, X = scaled(padded, etas), tokens(4, 3)
    assert sweep.batch == (50, 4, 3)
    for rung in RUNGS:
        error = (sweep(X) - surrogate(sweep, rung)(X)).abs().amax((-2, -1))
        assert error.shape == (50, 4, 3)
        for i, j, k in [(0, 0, 0), (17, 1, 2), (49, 3, 1), (30, 2, 0)]:
            weights = {name: getattr(deep, name)[k] * etas[i] for name in ("query", "key", "value")}
            one = Network(**weights).layers(0, depths[j])
            alone = (one(X) - surrogate(one, rung)(X)).abs().max()
            assert abs(alone - error[i, j, k]) <= 1e-13


def test_a_mask_that_hides_nothing_is_still_a_mask() -> None:
    network = build().replace(mask=torch.ones_like(CAUSAL))
    with pytest.raises(ValueError, match="mask: expected None for rung 2"):
        surrogate(network, 2)

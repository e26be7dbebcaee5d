"""Linear-time evaluation and polynomial attention: slow twins, certificates, broken constants."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import mpmath
import pytest
import torch
from networks import build, tokens, twin_trace
from strategies import (
    DTYPES,
    assert_agrees,
    assert_below,
    generator,
    lists,
    normal,
    rough,
    size,
)

from collapse import fast
from collapse.attention import Network
from collapse.bounds import collapse_bound
from collapse.bounds.needs import entrywise_sizes, lookup_entry
from collapse.bounds.taylor import relative_tv_bound, taylor_error
from collapse.exact import lift
from collapse.norms import diameter, query_key_norm, token_norm, value_norm
from collapse.numeric import exact
from collapse.rungs import surrogate
from collapse.softmax import retrieval_threshold, softmax, total_variation, tv_bound

NORMS = (1, 2, math.inf)


def some(cases: int, seed: int, layers: int = 2) -> tuple[Network, torch.Tensor]:
    """Networks with two heads and width two, and three tokens, from small to large."""
    g = generator(seed)
    eta = 10 ** (torch.rand(cases, 1, 1, 1, 1, generator=g, dtype=torch.float64) * 1.5 - 1.5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(cases, *shape, generator=g, dtype=torch.float64) * 2 - 1

    query, key, value = (eta * draw(layers, 2, 2, columns) for columns in (2, 2, 2))
    return Network(query, key, value), 2 * draw(3, 2)


def rounding_scale(network: Network, X: torch.Tensor) -> torch.Tensor:
    """Generous: the largest intermediate token times the steepness of both layers."""
    after = token_norm(network(X), 1) + token_norm(X, 1)
    steep = 1 + (value_norm(network.value_output) * 2).sum((-1, -2))
    logits = 1 + (query_key_norm(network.query_key).sum((-1, -2)) * after * after)
    return after * steep * logits


# --- linear time -------------------------------------------------------------------------------


@pytest.mark.label("linear-time")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fast_network_is_the_stack_of_even_attention(dtype: torch.dtype) -> None:
    """The slow twin runs all layers with logits zero, in 50 digits."""
    network, X = build(layers=3, dtype=dtype), tokens(4, 3, dtype=dtype)
    near, _ = fast.certified_forward(network, X)
    silent = network.replace(query=0 * network.query, key=0 * network.key)
    twin = twin_trace(silent, X)[-1]
    assert_agrees(near, twin, 8 * size(near, X), 40)
    assert torch.allclose(near, surrogate(network, 2)(X), atol=1e-5)
    assert not torch.allclose(near, surrogate(network, 3)(X), atol=1e-5)


@pytest.mark.label("linear-time")
@pytest.mark.parametrize("option", ["factored", "wide values", "mixer", "rope"])
def test_every_option_that_has_a_proof_gives_rung_2(option: str) -> None:
    network, X = build(option), tokens(2, 4, 3)
    near, bound = fast.certified_forward(network, X)
    assert torch.allclose(near, surrogate(network, 2)(X), rtol=1e-13, atol=1e-13)
    assert bool((token_norm(network(X) - near) <= bound.value).all())


@pytest.mark.label("linear-time")
@pytest.mark.parametrize("p", NORMS)
def test_the_certificate_holds(p: float) -> None:
    network, X = some(20_000, seed=1)
    near, bound = fast.certified_forward(network, X, p)
    error = token_norm(network(X) - near, p)
    assert_below(error, bound.value, rounding_scale(network, X), 60)
    sharper = collapse_bound(network, X, 2, p).value
    assert bool((bound.value >= sharper * (1 - 1e-12)).all())
    # Control: not a tenth of it is left over everywhere.
    assert not bool((error <= 0.1 * bound.value).all())


@pytest.mark.label("linear-time")
def test_a_quarter_million_tokens_need_no_square() -> None:
    """The n×n matrix would take 512 GiB."""
    network, n = build(), 2**18
    X = torch.rand(n, network.width, generator=generator(0), dtype=torch.float64)
    near, bound = fast.certified_forward(network, X)
    assert near.shape == X.shape
    assert bool(bound.value > 0)
    q, k, v = X[:, :2], X[:, 1:], X
    assert fast.taylor_attention(q, k, v, 2).shape == v.shape


@pytest.mark.label("linear-time")
@pytest.mark.parametrize("p", NORMS)
def test_the_diameter_is_at_most_twice_the_distance_from_the_mean(p: float) -> None:
    for n in (1, 2, 3, 6):
        X = rough(5000, n, 3, seed=n)
        upper, true = fast.diameter_upper(X, p), diameter(X, p)
        scale = token_norm(X, 1)
        assert_below(true, upper, 8 * scale, 20)
        assert_below(upper, 2 * true, 8 * scale, 20)
        if n == 2:  # attained, so that one per cent less is false
            assert bool((true[true > 0] > 0.99 * upper[true > 0]).all())


@pytest.mark.label("linear-time")
def test_in_exact_arithmetic_a_network_without_logits_is_its_own_fast_network() -> None:
    zero, V = exact([[[[0], [0]]]]), exact([[[["1/3", "-2"], ["1/7", "1/2"]]]])
    network = lift(Network(*(torch.zeros(1, 1, 2, c) for c in (1, 1, 2))), "fraction").replace(
        query=zero, key=zero, value=V
    )
    X = exact([["1", "2/5"], ["-3", "0"], ["1/9", "4"]])
    assert (fast.certified_forward(network, X)[0] == network(X)).all()


@pytest.mark.label("large-weights-needed")
@pytest.mark.parametrize("p", NORMS)
def test_what_rung_2_cannot_tell_apart_the_network_hardly_can(p: float) -> None:
    network, X = some(20_000, seed=4)
    middle, b, c = (normal(20_000, 1, 2, seed=seed) for seed in (1, 2, 3))
    X, Y = (torch.cat((X[:, :1], middle + x, middle - x), 1) for x in (b, c))
    bound = fast.distinction_bound(network, X, Y, p).value[:, 0]
    errors = sum(fast.certified_forward(network, Z, p)[1].value for Z in (X, Y))
    scale = rounding_scale(network, X) + rounding_scale(network, Y)
    assert_below(bound, errors, scale, 80)
    apart = token_norm((network(X) - network(Y))[:, :1], p)
    assert_below(apart, bound, scale, 80)
    assert not bool((apart <= 0.1 * bound).all())
    # Control: with another mean the two errors alone are no bound.
    other = torch.cat((X[:, :1], X[:, 1:] + 1), 1)
    apart = token_norm((network(X) - network(other))[:, :1], p)
    errors = sum(fast.certified_forward(network, Z, p)[1].value for Z in (X, other))
    assert not bool((apart <= errors).all())


@pytest.mark.label("large-weights-needed")
def test_the_sizes_of_entries_are_attained_by_equal_entries() -> None:
    eta, network, _ = 0.3, build(layers=2, heads=2), None
    full = network.replace(
        **{name: torch.full_like(getattr(network, name), eta) for name in ("query", "key", "value")}
    )
    sizes = entrywise_sizes(eta, 2, 2, full.width, full.key_width)
    for p_size, true in (
        (sizes.query_key, query_key_norm(full.query_key)),
        (sizes.head_value, value_norm(full.value)),
        (sizes.layer_value, value_norm(full.value.sum(1))),
    ):
        assert torch.allclose(p_size, true, rtol=1e-14)
        assert not torch.allclose(0.99 * p_size, true, rtol=1e-14)


@pytest.mark.label("large-weights-needed")
@pytest.mark.parametrize(("n", "d", "k"), [(2, 1, 1), (9, 3, 2), (300, 2, 4)])
def test_equal_entries_look_one_token_up_at_the_least_entry_and_not_below(
    n: int, d: int, k: int
) -> None:
    delta, phi = 0.1, 0.7
    eta = lookup_entry(n, delta, d, k, phi)
    X = torch.full((n, d), -phi, dtype=torch.float64)
    X[0] = phi
    for factor, enough in ((1 + 1e-9, True), (0.99, False)):
        W = torch.full((d, k), factor * eta, dtype=torch.float64)
        mass = softmax(X @ W @ W.T @ X.T)[0, 0]
        assert bool(mass >= 1 - delta) == enough


# --- polynomial attention ----------------------------------------------------------------------


def slow_attention(q: Any, k: Any, v: Any, degree: int) -> Any:
    """Weights by the polynomial, one logit at a time."""
    rows = []
    for x in q:
        weights = []
        for y in k:
            logit = sum(a * b for a, b in zip(x, y, strict=True))
            weights.append(sum(logit**m / mpmath.factorial(m) for m in range(degree + 1)))
        total = sum(weights)
        rows.append(
            [
                sum(w * r[c] for w, r in zip(weights, v, strict=True)) / total
                for c in range(len(v[0]))
            ]
        )
    return rows


@pytest.mark.label("taylor-attention")
@pytest.mark.parametrize(("width", "degree"), list(product((1, 2, 3, 5), range(5))))
def test_features_multiply_to_the_polynomial(width: int, degree: int) -> None:
    q, k = normal(4, width, seed=width), normal(3, width, seed=degree)
    features = fast.taylor_features(q, degree)
    assert features.shape == (4, fast.taylor_rank(width, degree))
    logits = q @ k.T
    powers = torch.stack([logits**m / math.factorial(m) for m in range(degree + 1)])
    found = features @ fast.taylor_features(k, degree).T
    scale = torch.exp((q.abs() @ k.abs().T).max())
    assert bool(((found - powers.sum(0)).abs() <= 1e-13 * scale).all())
    if degree:
        assert not torch.allclose(found, powers[:-1].sum(0))  # one degree less is another thing


@pytest.mark.label("taylor-attention")
@pytest.mark.parametrize("dtype", DTYPES)
def test_polynomial_attention_agrees_with_its_slow_twin(dtype: torch.dtype) -> None:
    q, k, v = (0.5 * normal(7, c, seed=c, dtype=dtype) for c in (2, 2, 3))
    k = k.roll(1, 0)
    found = fast.taylor_attention(q, k, v, 4)
    assert_agrees(found, slow_attention(lists(q), lists(k), lists(v), 4), 8 * size(v), 60)


def test_blocks_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = normal(2, 50, 3, seed=0), normal(2, 50, 3, seed=1), normal(2, 50, 4, seed=2)
    whole = fast.taylor_attention(q, k, v, 2)
    monkeypatch.setattr("collapse.fast.taylor._BLOCK_ENTRIES", 200)
    assert torch.allclose(fast.taylor_attention(q, k, v, 2), whole, rtol=1e-12, atol=1e-12)
    assert torch.allclose(fast.taylor_attention(q[1], k[1], v[1], 2), whole[1], atol=1e-12)


@pytest.mark.label("taylor-attention")
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 6])
def test_the_relative_error_of_the_polynomial_and_its_constant(degree: int) -> None:
    def relative(x: Any) -> Any:
        taylor = sum(x**m / mpmath.factorial(m) for m in range(degree + 1))
        return abs(taylor * mpmath.exp(-x) - 1)

    for B in (mpmath.mpf("0.001"), mpmath.mpf(1), mpmath.mpf(3)):
        r = taylor_error(B, degree)
        assert max(relative(B * i / 50) for i in range(-50, 51)) <= r
    B = mpmath.mpf("0.001")
    assert relative(-B) > mpmath.mpf("0.99") * taylor_error(B, degree)


@pytest.mark.label("taylor-attention")
@pytest.mark.parametrize("r", [1e-8, 0.01, 0.5, 0.9, 0.999])
def test_two_factors_attain_the_bound_on_the_row(r: float) -> None:
    """Mass q on the factor 1 + r and the rest on 1 − r, at the best q."""
    ratio = math.sqrt((1 + r) / (1 - r))
    q = 1 / (1 + ratio)
    P = torch.tensor([[q, 1 - q]], dtype=torch.float64)
    changed = P * torch.tensor([1 + r, 1 - r], dtype=torch.float64)
    moved = total_variation(P, changed / changed.sum()).item()
    bound = relative_tv_bound(r)
    assert moved == pytest.approx(bound, rel=1e-7)
    assert moved > 0.99 * bound
    assert bound == pytest.approx(tv_bound(math.log1p(r) - math.log1p(-r)), rel=1e-12)


@pytest.mark.label("taylor-attention")
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("degree", [1, 2, 5])
def test_polynomial_attention_is_within_its_bound(p: float, degree: int) -> None:
    g = generator(degree)
    q, k, v = torch.randn(3, 2000, 5, 2, generator=g, dtype=torch.float64)
    reach = torch.rand(2000, 1, 1, generator=g, dtype=torch.float64) * (0.3 + 0.2 * degree) + 0.01
    q, k = q * reach / token_norm(q, 2)[:, None, None], k / token_norm(k, 2)[:, None, None]
    bound = fast.taylor_bound(q, k, v, degree, p).value
    error = token_norm(fast.taylor_attention(q, k, v, degree) - softmax(q @ k.mT) @ v, p)
    assert_below(error, bound, 8 * token_norm(v, 1), 200)


@pytest.mark.label("taylor-attention")
@pytest.mark.parametrize("degree", [2, 4])
def test_two_keys_nearly_attain_the_bound(degree: int) -> None:
    """An even degree errs upwards at −B and downwards at B; for small B both by r."""
    one = torch.ones(2, 1, dtype=torch.float64)
    B, k = 0.01 if degree == 2 else 0.03, one * torch.tensor([[1.0], [-1.0]])
    error = fast.taylor_attention(B * one, k, k, degree) - softmax(B * one @ k.T) @ k
    bound = fast.taylor_bound(B * one, k, k, degree).value
    assert 0.95 * bound < error.abs().max() <= bound


@pytest.mark.label("taylor-attention")
@pytest.mark.parametrize("B", [9.0, 12.0, 16.0, 20.0])
def test_the_bound_counts_the_cancellation_between_features(B: float) -> None:
    """All logits near −B: terms as large as e^B cancel, and rounding is all of the error."""
    q, k, v = (torch.tensor(x, dtype=torch.float64) for x in ([B, -B], [-1.0, -0.8], [0.0, 1.0]))
    q, k, v = (x[:, None] for x in (q, k, v))
    degree = fast.taylor_degree(B, 1e-13)
    error = (fast.taylor_attention(q, k, v, degree) - softmax(q @ k.T) @ v).abs().max()
    assert error > 10 * relative_tv_bound(taylor_error(B, degree))
    if B < 14:
        assert error <= fast.taylor_bound(q, k, v, degree).value < 1e-2
    else:
        with pytest.raises(ValueError, match="logits: expected so small that"):
            fast.taylor_bound(q, k, v, degree)


def test_the_degree_is_the_least_that_will_do() -> None:
    for B, distance in product((0.0, 0.3, 1.0, 7.0), (0.5, 1e-2, 1e-6)):
        g = fast.taylor_degree(B, distance)
        assert relative_tv_bound(taylor_error(B, g)) <= distance
        if g:
            r = taylor_error(B, g - 1)
            assert r >= 1 or relative_tv_bound(r) > distance


@pytest.mark.parametrize("B", [50.0, 200.0])
def test_large_logits_and_degrees_stay_within_floating_point(B: float) -> None:
    g = fast.taylor_degree(B, 1e-2)
    # Power and factorial alone are beyond float64 here, so their logarithms are compared.
    logs = [B + (m + 1) * math.log(B) - math.lgamma(m + 2) for m in (g, g - 1)]
    assert math.log(taylor_error(B, g)) == pytest.approx(logs[0], rel=1e-9)
    assert relative_tv_bound(math.exp(logs[0])) <= 1e-2
    assert logs[1] >= 0 or relative_tv_bound(math.exp(logs[1])) > 1e-2


# --- bad input ---------------------------------------------------------------------------------

_X = torch.zeros(3, 3, dtype=torch.float64)
BAD = {
    "mask": lambda: fast.certified_forward(build("causal"), torch.zeros(4, 3).double()),
    "skip": lambda: fast.certified_forward(build("no skip"), _X),
    "norm": lambda: fast.certified_forward(build("pre"), _X),
    "p: expected": lambda: fast.certified_forward(build(), _X, 3),
    "X": lambda: fast.certified_forward(build(), _X[:, :2]),
    "tokens of Y": lambda: fast.distinction_bound(build(), _X, _X[:2]),
    "degree": lambda: fast.taylor_features(_X, -1),
    "key width": lambda: fast.taylor_attention(_X, _X[:, :2], _X, 1),
    "tokens of v": lambda: fast.taylor_attention(_X, _X, _X[:2], 1),
    "size": lambda: fast.taylor_degree(math.inf, 0.1),
    "size: expected a bound 0 <= B <= 700": lambda: fast.taylor_degree(701.0, 0.1),
    "distance": lambda: fast.taylor_degree(1.0, 0.0),
    "r: expected": lambda: relative_tv_bound(1.0),
    "degree: expected one with": lambda: fast.taylor_bound(_X + 2, _X + 2, _X, 1),
    "key_width": lambda: fast.taylor_rank(0, 1),
    "polynomial attention": lambda: fast.taylor_attention(
        torch.ones(1, 1), -torch.ones(1, 1), torch.ones(1, 1), 1
    ),
    "eta": lambda: entrywise_sizes(-0.1, 1, 1, 1, 1),
    "phi": lambda: lookup_entry(9, 0.1, 1, 1, 0.0),
    "delta": lambda: lookup_entry(9, 0.95, 1, 1),
}


@pytest.mark.parametrize("quantity", BAD)
def test_bad_input_is_named(quantity: str) -> None:
    with pytest.raises(ValueError, match=quantity):
        BAD[quantity]()


def test_the_least_entry_is_the_retrieval_threshold_of_that_class() -> None:
    eta = lookup_entry(50, 0.2, 3, 2)
    assert 2 * 9 * 2 * eta**2 == pytest.approx(retrieval_threshold(50, 0.2))

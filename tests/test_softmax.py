"""Floor 3 against its slow twins: softmax, its bounds, their properties, edges and bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
import reference
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    BAD_MATRICES,
    DTYPES,
    assert_agrees,
    assert_below,
    contains,
    generator,
    lists,
    matrices,
    normal,
    size,
    softmax_slack,
)

from collapse import softmax as floor

THETAS = [0.0, 1e-9, 0.01, 0.5, 1.2564, 3.0, 10.0, 40.0, 800.0]

# --- against the twins ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 5), (4, 1), (3, 4), (2, 3, 3, 4), (0, 2, 2)], ids=str
)
@pytest.mark.parametrize("masked", [False, True])
def test_softmax(shape: tuple[int, ...], masked: bool, dtype: torch.dtype) -> None:
    A = 3 * normal(*shape, seed=1, dtype=dtype)
    mask = torch.rand(shape[-2:], generator=generator(2)) < 0.5
    mask[:, -1] = True
    P = floor.softmax(A, mask if masked else None)
    seen = mask.tolist() if masked else None
    expected = [reference.softmax(lists(a), seen) for a in A.reshape(-1, *shape[-2:])]
    assert_agrees(P, expected, 1.0, softmax_slack(A))
    assert not masked or bool((P[..., ~mask] == 0).all())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (2, 3, 4), (0, 2, 2)], ids=str)
def test_oscillation_balance_and_total_variation(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    A = normal(*shape, seed=3, dtype=dtype)
    rows = lists(A.reshape(-1, shape[-1]))
    oscillations = [reference.oscillation(row) for row in rows]
    assert_agrees(floor.oscillation(A), oscillations, 2 * size(A), 1)
    blocks = [oscillations[i : i + shape[-2]] for i in range(0, len(rows), shape[-2])]
    assert_agrees(floor.balance(A), [max(block) for block in blocks], 2 * size(A), 1)
    P, Q = torch.softmax(A, -1), torch.softmax(-A, -1)
    pairs = zip(*(lists(X.reshape(-1, shape[-1])) for X in (P, Q)), strict=True)
    expected = [reference.total_variation(p, q) for p, q in pairs]
    assert_agrees(floor.total_variation(P, Q), expected, 1.0, shape[-1] + 2)


def test_total_variation_broadcasts() -> None:
    P, Q = torch.softmax(normal(3, 1, 2, 4, seed=4), -1), torch.softmax(normal(5, 2, 4, seed=5), -1)
    distance = floor.total_variation(P, Q)
    assert distance.shape == (3, 5, 2)
    assert torch.equal(distance[1, 2], floor.total_variation(P[1, 0], Q[2]))


SCALAR_BOUNDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tv_bound": (floor.tv_bound, reference.tv_bound),
    "ratio_bound": (floor.ratio_bound, lambda t: mpmath.exp(t) - 1),
    "uniform n=2": (
        lambda t: floor.uniform_tv_bound(t, 2),
        lambda t: reference.uniform_tv_bound(t, 2),
    ),
    "uniform n=9": (
        lambda t: floor.uniform_tv_bound(t, 9),
        lambda t: reference.uniform_tv_bound(t, 9),
    ),
    "entry 0.2": (
        lambda t: floor.entry_bound(t * 0 + 0.2, t),
        lambda t: reference.two_level_shift(mpmath.mpf(0.2), mpmath.mpf(t)),
    ),
}


@pytest.mark.parametrize("name", SCALAR_BOUNDS)
@pytest.mark.parametrize("theta", THETAS)
def test_bounds_in_theta(name: str, theta: float) -> None:
    bound, twin = SCALAR_BOUNDS[name]
    expected = twin(theta)
    if expected > 1e300:
        assert bound(theta) == math.inf
        return
    for value in (bound(theta), bound(torch.tensor(theta, dtype=torch.float64))):
        assert_agrees(torch.as_tensor(value, dtype=torch.float64), expected, expected, 40)
    single = bound(torch.tensor(theta, dtype=torch.float32))
    twin_at = twin(float(torch.tensor(theta, dtype=torch.float32)))
    assert single.dtype == torch.float32
    assert twin_at > 3e38 or bool(abs(float(single) - twin_at) <= float(twin_at) * 40 * 2.0**-24)


@pytest.mark.parametrize("name", SCALAR_BOUNDS)
def test_bounds_over_the_number_types(name: str) -> None:
    bound, twin = SCALAR_BOUNDS[name]
    expected = twin(1.5)
    ball = bound(flint.arb(1.5))
    assert contains(ball, expected)
    assert abs(bound(mpmath.mpf(1.5)) - expected) < mpmath.mpf(10) ** -45
    assert abs(mpmath.mpf(str(sympy.N(bound(sympy.Rational(3, 2)), 40))) - expected) < 1e-15


@pytest.mark.parametrize(("m", "delta", "s"), [(2, 0.1, 1), (1001, 0.5, 1), (10, 0.05, 3)])
def test_retrieval_threshold_against_the_twin(m: int, delta: float, s: int) -> None:
    expected = reference.retrieval_threshold(m, delta, s)
    value = floor.retrieval_threshold(m, torch.tensor(delta, dtype=torch.float64), s)
    assert_agrees(value, expected, expected + 1, 10)
    assert contains(floor.retrieval_threshold(m, flint.arb(delta), s), expected)


# --- properties and edges ------------------------------------------------------------------------


@given(A=matrices(limit=50), shift=st.floats(-100, 100))
def test_softmax_ignores_a_constant_and_sums_to_one(A: torch.Tensor, shift: float) -> None:
    P = floor.softmax(A)
    slack = softmax_slack(A + 2 * abs(shift))
    assert_below((floor.softmax(A + shift) - P).abs(), 0.0, 1.0, 2 * slack)
    assert_below((P.sum(-1) - 1).abs(), 0.0, 1.0, slack)
    assert floor.total_variation(P, P).abs().max() == 0


@given(A=matrices(rows=1, limit=50), B=matrices(rows=1, limit=50), C=matrices(rows=1, limit=50))
def test_total_variation_is_a_metric(A: torch.Tensor, B: torch.Tensor, C: torch.Tensor) -> None:
    m = min(X.shape[-1] for X in (A, B, C))
    P, Q, R = (floor.softmax(X[:, :m]) for X in (A, B, C))
    tv = floor.total_variation
    assert tv(P, Q) == tv(Q, P)
    assert_below(tv(P, R), tv(P, Q) + tv(Q, R), 2.0, m + 4)
    assert_below(tv(P, Q), 1.0, 1.0, softmax_slack(A) + softmax_slack(B))


@given(theta=st.floats(0, 100), more=st.floats(0, 10))
def test_bounds_grow_with_theta_and_are_ordered(theta: float, more: float) -> None:
    few, many = floor.uniform_tv_bound(theta, 3), floor.uniform_tv_bound(theta, 300)
    bounds = floor.tv_bounds(theta)
    assert_below(torch.tensor(few, dtype=torch.float64), floor.tv_bound(theta), 1.0, 20)
    assert_below(torch.tensor(many, dtype=torch.float64), floor.tv_bound(theta), 1.0, 20)
    assert bounds["sharp"] <= bounds["linear"] <= bounds["d21"]
    assert bounds["linear"] <= bounds["as25"]
    assert floor.tv_bound(theta) <= floor.tv_bound(theta + more) <= 1


def test_saturated_softmax_and_one_token() -> None:
    A = torch.tensor([[1e4, 0.0, -1e4]], dtype=torch.float64)
    assert floor.softmax(A).tolist() == [[1.0, 0.0, 0.0]]
    assert floor.softmax(torch.tensor([[-7.0]])).tolist() == [[1.0]]
    assert floor.uniform_tv_bound(3.0, 1) == 0
    assert floor.entry_bound(torch.tensor([0.0, 1.0]), 800.0).tolist() == [0.0, 0.0]
    assert floor.tv_bound(math.inf) == 1


def test_python_numbers_do_not_overflow() -> None:
    A = np.array([[800, 0], [-800, -801]], dtype=object)
    expected = reference.softmax(reference.exactly(A.tolist(), mpmath.mpf))
    P = torch.tensor(floor.softmax(A).astype(float))
    assert_agrees(P, expected, 1.0, softmax_slack(torch.tensor(A.astype(float))))


def test_bounds_at_an_infinite_oscillation_and_at_many_tokens() -> None:
    for n in (1, 2, 7):
        assert floor.uniform_tv_bound(math.inf, n) == pytest.approx(1 - 1 / n)
    half, many = torch.tensor(2.0, dtype=torch.float16), np.int64(3000)
    expected = reference.uniform_tv_bound(2.0, 3000)
    assert abs(float(floor.uniform_tv_bound(half, many)) - expected) < 1e-3


def test_the_threshold_of_a_tiny_delta_is_finite() -> None:
    smallest = 5e-324
    expected = reference.retrieval_threshold(9, mpmath.mpf(smallest), 1)
    assert_agrees(floor.retrieval_threshold(9, smallest), expected, expected, 10)
    half = torch.tensor(1e-3, dtype=torch.float16)
    expected = reference.retrieval_threshold(1000, float(half), 1)
    assert_agrees(floor.retrieval_threshold(1000, half), expected, expected, 10)


def test_softmax_of_balls_and_symbols() -> None:
    A = np.array([[flint.arb(0), flint.arb(1)]], dtype=object)
    truth = reference.softmax_row([0.0, 1.0])
    assert all(contains(ball, t) for ball, t in zip(floor.softmax(A)[0], truth, strict=True))
    x = sympy.Symbol("x", real=True)
    P = floor.softmax(np.array([[x, x + sympy.log(3)]], dtype=object))
    assert sympy.simplify(P[0, 0] - sympy.Rational(1, 4)) == 0
    masked = floor.softmax(A, torch.tensor([[False, True]]))
    assert masked[0, 0] == 0 and contains(masked[0, 1], Fraction(1))


@pytest.mark.parametrize("bad", BAD_MATRICES)
@pytest.mark.parametrize("function", [floor.softmax, floor.oscillation, floor.balance])
def test_bad_logits(function: Callable[..., Any], bad: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)\w+: expected .+, received .+"):
        function(BAD_MATRICES[bad])


THETA_ERROR = "theta: expected theta >= 0, received"
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "negative theta": (lambda: floor.tv_bound(-0.1), THETA_ERROR),
    "nan theta": (lambda: floor.ratio_bound(math.nan), THETA_ERROR),
    "theta of integers": (lambda: floor.uniform_tv_bound(torch.tensor([1, 2]), 3), "floating"),
    "theta a text": (lambda: floor.tv_bound("1"), "theta: expected theta >= 0, a real number"),
    "theta a list": (lambda: floor.ratio_bound([1.0]), "theta: expected theta >= 0, a real number"),
    "endless extremal theta": (lambda: floor.extremal_pair(math.inf), "theta: expected finite"),
    "negative theta in a batch": (lambda: floor.tv_bounds(torch.tensor([1.0, -1.0])), THETA_ERROR),
    "uniform theta": (lambda: floor.uniform_tv_bound(-1.0, 3), THETA_ERROR),
    "extremal theta": (lambda: floor.extremal_pair(-1.0), THETA_ERROR),
    "ball around zero": (lambda: floor.tv_bound(flint.arb(0, 1)), THETA_ERROR),
    "no tokens": (lambda: floor.uniform_tv_bound(1.0, 0), "n: expected .* >= 1, received 0"),
    "true tokens": (lambda: floor.uniform_tv_bound(1.0, True), "n: expected an integer >= 1"),
    "half a token": (lambda: floor.uniform_tv_bound(1.0, 2.5), "n: expected an integer >= 1"),
    "entries of integers": (lambda: floor.entry_bound(torch.tensor([0]), 1.0), "P: expected"),
    "m a text": (lambda: floor.retrieval_threshold("9", 0.1), "m: expected a number of tokens"),
    "delta nothing": (lambda: floor.retrieval_threshold(9, None), "delta: expected 0 < delta"),
    "batches clash": (
        lambda: floor.total_variation(torch.ones(2, 1, 1), torch.ones(3, 1, 1)),
        r"batch of Q: expected one that broadcasts with \(2,\), received \(3,\)",
    ),
    "tensor and array": (
        lambda: floor.total_variation(torch.ones(1, 1), np.array([[1]], dtype=object)),
        "Q: expected a Tensor, as P",
    ),
    "mask a text": (
        lambda: floor.softmax(torch.zeros(2, 2), "causal"),
        "mask: expected booleans, received 'causal'",
    ),
    "entry above one": (lambda: floor.entry_bound(1.1, 1.0), r"P: expected .*\[0, 1\]"),
    "entry below zero": (lambda: floor.entry_bound(-0.1, 1.0), r"P: expected .*\[0, 1\]"),
    "m = s": (lambda: floor.retrieval_threshold(3, 0.1, 3), "m: expected .* > s = 3, received 3"),
    "s = 0": (lambda: floor.retrieval_threshold(3, 0.1, 0), "s: expected .* >= 1, received 0"),
    "delta 0": (lambda: floor.retrieval_threshold(3, 0.0), "delta: expected 0 < delta"),
    "delta too large": (lambda: floor.retrieval_threshold(4, 0.75), "delta: expected 0 < delta"),
    "delta nan": (lambda: floor.retrieval_threshold(4, math.nan), "delta: expected 0 < delta"),
    "widths differ": (
        lambda: floor.total_variation(torch.ones(1, 1), torch.eye(2)),
        r"Q: expected .*received \(2, 2\)",
    ),
    "mask of numbers": (
        lambda: floor.softmax(torch.zeros(2, 2), torch.ones(2, 2)),
        "mask: expected booleans, received",
    ),
    "mask shape": (
        lambda: floor.softmax(torch.zeros(2, 2), torch.ones(2, 3, dtype=torch.bool)),
        r"mask: expected shape \(2, 2\), received \(2, 3\)",
    ),
    "blind row": (
        lambda: floor.softmax(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]])),
        r"mask: expected a visible token in every row, received none in rows \[1\]",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        call()

"""Floor 2 against its slow twins: every measure of tokens and weights, edges, bad input."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
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
    lists,
    matrices,
    normal,
    pairs,
    size,
    stochastic,
)

from collapse import norms
from collapse.numeric import exact, rounding_allowance

inf = math.inf

RATIONAL = {
    "residual": (norms.residual, reference.residual),
    "residual_norm": (norms.residual_norm, reference.residual_norm),
    "diameter-1": (partial(norms.diameter, p=1), partial(reference.diameter, p=1)),
    "diameter-inf": (norms.diameter, reference.diameter),
    "token_norm-1": (
        partial(norms.token_norm, p=1),
        lambda X: max(reference.vector_norm(x, 1) for x in X),
    ),
    "token_norm-inf": (norms.token_norm, reference.largest_entry),
    "value_norm-1": (partial(norms.value_norm, p=1), partial(reference.value_norm, p=1)),
    "value_norm-inf": (norms.value_norm, reference.value_norm),
    "query_key_norm-1": (
        partial(norms.query_key_norm, p=1),
        partial(reference.query_key_norm, p=1),
    ),
    "query_key_norm-inf": (norms.query_key_norm, reference.query_key_norm),
}
MEASURES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    **RATIONAL,
    "diameter-2": (partial(norms.diameter, p=2), partial(reference.diameter, p=2)),
    "token_norm-2": (
        partial(norms.token_norm, p=2),
        lambda X: max(reference.vector_norm(x, 2) for x in X),
    ),
    "value_norm-2": (partial(norms.value_norm, p=2), partial(reference.value_norm, p=2)),
    "query_key_norm-2": (
        partial(norms.query_key_norm, p=2),
        partial(reference.query_key_norm, p=2),
    ),
    "mean_residual_norm": (norms.mean_residual_norm, reference.mean_residual_norm),
    "composite-mean": (norms.composite_residual_norm, reference.composite_residual_norm),
    "composite-midrange": (
        partial(norms.composite_residual_norm, centre="midrange"),
        partial(reference.composite_residual_norm, centre="midrange"),
    ),
    "stable_rank": (norms.stable_rank, reference.stable_rank),
}
SHIFT_INVARIANT = [
    name for name in MEASURES if name.startswith(("residual", "diameter", "mean", "composite"))
]
HOMOGENEOUS = [name for name in MEASURES if name not in ("residual", "stable_rank")]
SEMINORMS = [name for name in HOMOGENEOUS if not name.startswith("composite")]

# Exact arithmetic on Fractions, symbols and rationals; balls of small integers are exact too.
NUMBERS = {
    "Fraction": Fraction,
    "sympy": sympy.Integer,
    "fmpq": lambda x: flint.fmpq(int(x)),
    "arb": lambda x: flint.arb(int(x)),
}


def operations(X: torch.Tensor) -> int:
    """Roundings on the longest chain: sums over all entries, or an SVD (about 10(n+d))."""
    return X.shape[-1] * X.shape[-2] + 10 * (X.shape[-1] + X.shape[-2])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3), (4, 1), (5, 3), (2, 3, 4, 2), (0, 3, 2)], ids=str
)
@pytest.mark.parametrize("name", MEASURES)
def test_agrees_with_the_slow_twin(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    measure, twin = MEASURES[name]
    X = normal(*shape, seed=1, dtype=dtype)
    measured = measure(X)
    assert measured.dtype == dtype
    assert measured.shape == (X.shape if name == "residual" else X.shape[:-2])
    expected = [twin(lists(matrix)) for matrix in X.reshape(-1, *shape[-2:])]
    scale = max(size(X), 1) * shape[-1] * shape[-2]
    assert_agrees(measured, expected, scale, operations(X))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", RATIONAL)
def test_rational_formulas_are_exact_on_exact_numbers(name: str, number: str) -> None:
    measure, twin = RATIONAL[name]
    entries = np.random.default_rng(2).integers(-9, 10, (2, 4, 3))
    exact = np.frompyfunc(NUMBERS[number], 1, 1)(entries)
    expected = np.array([twin(reference.exactly(matrix, Fraction)) for matrix in entries.tolist()])
    difference = measure(exact) * 2 - np.frompyfunc(NUMBERS[number], 1, 1)(expected * 2)
    assert all(entry == 0 for entry in difference.flat)


def test_integers_do_not_turn_into_floats() -> None:
    X = np.array([[1, 0], [2, 10**30 + 1]], dtype=object)
    assert norms.residual_norm(X) == Fraction(10**30 + 1, 2)


@pytest.mark.parametrize("name", SEMINORMS)
@given(pair=pairs())
def test_triangle_inequality(name: str, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    measure, (X, Y) = MEASURES[name][0], pair
    scale = size(X, Y) * X.numel() * 2
    assert_below(measure(X + Y), measure(X) + measure(Y), scale, operations(X))


@pytest.mark.parametrize("name", HOMOGENEOUS)
@given(X=matrices(), factor=st.floats(-100, 100))
def test_homogeneity(name: str, X: torch.Tensor, factor: float) -> None:
    measure = MEASURES[name][0]
    scale = size(X) * abs(factor) * X.numel()
    difference = (measure(factor * X) - abs(factor) * measure(X)).abs()
    assert_below(difference, 0.0, scale + 1e-300, 2 * operations(X))


@pytest.mark.parametrize("name", SHIFT_INVARIANT)
@given(X=matrices(), data=st.data())
def test_a_common_shift_changes_nothing(name: str, X: torch.Tensor, data: st.DataObject) -> None:
    measure = MEASURES[name][0]
    y = data.draw(matrices(1, X.shape[-1]))
    scale = size(X, y) * 2 * X.numel()
    assert_below((measure(X + y) - measure(X)).abs(), 0.0, scale, 2 * operations(X))


@pytest.mark.parametrize("name", [n for n in MEASURES if n != "residual"])
@given(X=matrices(), seed=st.integers(0, 99))
def test_the_order_of_the_tokens_changes_nothing(name: str, X: torch.Tensor, seed: int) -> None:
    measure = MEASURES[name][0]
    order = torch.randperm(X.shape[0], generator=torch.Generator().manual_seed(seed))
    difference = (measure(X[order]) - measure(X)).abs()
    assert_below(difference, 0.0, max(1.0, size(X)) * X.numel(), 2 * operations(X))


@pytest.mark.parametrize("name", SHIFT_INVARIANT)
@pytest.mark.parametrize("X", [torch.full((4, 3), 0.7), torch.tensor([[0.1, -3.0]])], ids=str)
def test_equal_rows_and_one_token_measure_zero(name: str, X: torch.Tensor) -> None:
    assert_below(MEASURES[name][0](X).abs(), 0.0, size(X) * X.numel(), operations(X))


@pytest.mark.parametrize("name", MEASURES)
def test_zero_measures_zero(name: str) -> None:
    assert MEASURES[name][0](torch.zeros(3, 2)).abs().max() == 0


@pytest.mark.parametrize("factor", [1e-170, 1e170])
@pytest.mark.parametrize("name", [*HOMOGENEOUS, "stable_rank"])
def test_squares_neither_underflow_nor_overflow(name: str, factor: float) -> None:
    measure, X = MEASURES[name][0], normal(3, 4, seed=11)
    expected = measure(X) * (1 if name == "stable_rank" else factor)
    assert_below((measure(factor * X) / expected - 1).abs(), 0.0, 1.0, 2 * operations(X))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MEASURES)
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    measure, X = MEASURES[name][0], normal(3, 2, seed=12, dtype=dtype)
    measured, wide = measure(X), measure(X.double())
    assert measured.dtype == dtype
    allowed = rounding_allowance(size(X) * X.numel(), operations(X), dtype)
    assert bool(((measured - wide).abs() <= allowed).all())


def test_the_midrange_does_not_overflow() -> None:
    X = torch.tensor([[1.5e308], [1.4e308]], dtype=torch.float64)
    assert torch.isfinite(norms.residual(X)).all() and norms.residual_norm(X) < 1e307


@pytest.mark.parametrize("name", MEASURES)
def test_the_largest_numbers_make_no_nan(name: str) -> None:
    largest = torch.finfo(torch.float64).max
    X = torch.tensor([[largest, -largest], [-largest, largest]], dtype=torch.float64)
    assert not torch.isnan(MEASURES[name][0](X)).any()
    if name in SHIFT_INVARIANT:
        assert (MEASURES[name][0](X[:1].expand(3, 2)) == 0).all()


@pytest.mark.parametrize("centre", ["mean", "midrange"])
def test_sums_of_half_precision_do_not_overflow(centre: str) -> None:
    X = torch.full((100, 3), 1000.0, dtype=torch.float16)
    assert norms.mean_residual_norm(X) == norms.composite_residual_norm(X, centre) == 0
    X[0] = 0
    for measure in (
        norms.mean_residual_norm,
        partial(norms.composite_residual_norm, centre=centre),
    ):
        assert measure(X) == measure(X.double()).half()


def test_the_infinity_to_one_norm_adds_up_half_precision_in_single() -> None:
    M = normal(20, 12, 9, seed=6, dtype=torch.float16)
    assert norms.query_key_norm(M).equal(norms.query_key_norm(M.double()).half())


@pytest.mark.parametrize("bad", BAD_MATRICES)
@pytest.mark.parametrize("name", MEASURES)
def test_bad_input(name: str, bad: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)\w+: expected .+, received .+"):
        MEASURES[name][0](BAD_MATRICES[bad])


@pytest.mark.parametrize(
    "p", [0, 3, -1, "inf", None, math.nan, [2], torch.tensor(2.0), np.array([1, 2])], ids=str
)
@pytest.mark.parametrize(
    "measure", [norms.diameter, norms.token_norm, norms.value_norm, norms.query_key_norm]
)
def test_p_outside_the_list(measure: Callable[..., Any], p: Any) -> None:
    with pytest.raises(ValueError, match="p: expected 1, 2 or inf, received"):
        measure(torch.eye(2), p)


@pytest.mark.parametrize("measure", [norms.value_norm, norms.query_key_norm])
def test_the_spectral_norm_has_no_exact_form(measure: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="p = 2"):
        measure(np.array([[Fraction(1)]], dtype=object), 2)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match=r"centre: .*'median'"):
        norms.composite_residual_norm(torch.eye(2), "median")
    for n, d in ((1, 1), (2, 0)):
        with pytest.raises(ValueError, match="expected"):
            norms.measure_dictionary(n, d)
    with pytest.raises(ValueError, match="n: expected"):
        norms.residual_lipschitz(0)


# --- query_key_norm ------------------------------------------------------------------------------


@pytest.mark.label("norm-choice")
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 3), (5, 2), (6, 6)], ids=str)
def test_infinity_to_one_norm_by_all_pairs_of_sign_vectors(shape: tuple[int, int]) -> None:
    M = normal(3, *shape, seed=4)
    expected = [reference.query_key_norm(lists(m, Fraction)) for m in M]
    assert_agrees(norms.query_key_norm(M), expected, float(M.abs().sum()), M.numel())


@given(M=matrices())
def test_the_infinity_to_one_norm_is_symmetric(M: torch.Tensor) -> None:
    gap = (norms.query_key_norm(M) - norms.query_key_norm(M.mT)).abs()
    assert_below(gap, 0.0, float(M.abs().sum()), 2 * M.numel())


@pytest.mark.alone
def test_d_20_takes_about_a_second() -> None:
    M = normal(20, 20, seed=5)
    start = time.perf_counter()
    exact = norms.query_key_norm(M)
    assert time.perf_counter() - start < 5
    u = torch.sign(normal(20, seed=6))
    for _ in range(50):  # alternating ascent finds a lower bound, often the norm itself
        u = torch.sign(torch.sign(u @ M) @ M.T)
    assert_below((u @ M).abs().sum(), exact, float(M.abs().sum()), 40)


def test_beyond_24_the_error_points_to_the_upper_bound() -> None:
    assert norms.query_key_norm(torch.ones(24, 1)) == 24
    with pytest.raises(ValueError, match=r"d <= 24 .*query_key_upper.* received 25"):
        norms.query_key_norm(torch.zeros(25, 3))


@pytest.mark.label("norm-choice")
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("p", [1, 2, inf])
def test_the_upper_bound_is_one_and_the_least_cheap_one(p: float, k: int) -> None:
    query, key = normal(50, 5, k, seed=7), normal(50, 5, k, seed=8)
    M = query @ key.mT
    upper, exact = norms.query_key_upper(query, key, p), norms.query_key_norm(M, p)
    entries, columns = M.abs().sum((-1, -2)), (query.abs().sum(-2) * key.abs().sum(-2)).sum(-1)
    assert_below(exact, upper, size(entries), 100)
    if p == inf:
        assert_below(upper, torch.minimum(entries, columns), size(entries), 100)
    else:
        assert_below((upper - exact).abs(), 0.0, size(upper), 100)


@pytest.mark.parametrize(
    ("query", "key"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 1)),
        (torch.zeros(3), torch.zeros(3)),
        (torch.zeros(3, 2), torch.tensor([[math.nan, 0.0]])),
        (torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.float64)),
        (torch.zeros(2, 3, 2), torch.zeros(3, 3, 2)),
        (torch.zeros(3, 2), exact([[1, 2]])),
        (exact([[[1, 2]]] * 2), exact([[[1, 2]]] * 3)),
    ],
)
def test_the_upper_bound_refuses(query: torch.Tensor, key: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        norms.query_key_upper(query, key)


# --- dobrushin -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 3), (2, 4, 3), (0, 2, 2)], ids=str)
def test_dobrushin_against_the_twin(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    P = torch.softmax(normal(*shape, seed=9, dtype=dtype), -1)
    expected = [reference.dobrushin(lists(p)) for p in P.reshape(-1, *shape[-2:])]
    assert_agrees(norms.dobrushin(P), expected, 2.0, shape[-1] + 3)


@pytest.mark.parametrize(
    ("P", "tau"),
    [
        (torch.eye(3), 1.0),
        (torch.full((4, 2), 0.5), 0.0),
        (torch.tensor([[1.0, 0.0], [0.75, 0.25]]), 0.25),
        (torch.tensor([[1.0]]), 0.0),
    ],
    ids=["permutation", "equal rows", "quarter", "one token"],
)
def test_dobrushin_of_known_matrices(P: torch.Tensor, tau: float) -> None:
    assert norms.dobrushin(P) == tau


@given(seed=st.integers(0, 999))
def test_dobrushin_is_submultiplicative(seed: int) -> None:
    P, Q = stochastic(4, 5, 5, seed=seed), stochastic(4, 5, 5, seed=seed + 1000)
    product = P @ Q
    product = product / product.sum(-1, keepdim=True)
    assert_below(norms.dobrushin(product), norms.dobrushin(P) * norms.dobrushin(Q), 2.0, 30)


def test_dobrushin_asks_balls_symbols_and_rounded_numbers_for_no_more_than_they_know() -> None:
    wide, a = flint.arb(0.5, 0.1), sympy.Symbol("a", real=True)
    third = mpmath.mpf(1) / 3
    for row in ([wide, flint.arb(0.5)], [a, 1 - a], [third, third, third], [0.1] * 10):
        assert not norms.dobrushin(np.array([row], dtype=object)) > 0


MEMORY = """
import resource, torch
from collapse.norms import dobrushin
P = torch.softmax(torch.randn(1500, 1500, generator=torch.Generator().manual_seed(0)), -1)
dobrushin(P[:2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tau = dobrushin(P)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
assert ((P[:40, None] - P[None, :40]).abs().sum(-1) / 2 <= tau).all() and tau < 1
"""


def test_dobrushin_needs_no_cube_of_memory() -> None:
    """n = 1500, in a process of its own: all pairs of rows are 13.5 GB, a few n × n 0.1 GB."""
    run = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    assert int(run.stdout) * 1024 < 200e6


@pytest.mark.parametrize(
    ("P", "said"),
    [
        (torch.tensor([[1.5, -0.5]]), "P: expected entries >= 0, received -0.5"),
        (torch.tensor([[0.5, 0.4]]), "row sums of P: expected 1 within rounding"),
        (torch.tensor([[math.nan, 1.0]]), "P: expected finite entries"),
        (torch.ones(1, dtype=torch.int64), "P: expected"),
        (exact([[2, -1]]), "P: expected entries >= 0, received -1"),
        (exact([["1/2", "1/3"]]), "row sums of P: expected 1, received 5/6"),
        (np.array([[0.5, 0.6]], dtype=object), "row sums of P: expected 1, received 1.1"),
        (np.array([[flint.fmpq(1, 2)]], dtype=object), "row sums of P: expected 1, received 1/2"),
        (np.array([[flint.arb(0.5)]], dtype=object), "row sums of P: expected 1, received 0.5"),
        (np.array([[flint.arb(-1), flint.arb(2)]], dtype=object), "P: expected entries >= 0"),
        (np.array([[sympy.Rational(1, 3)]], dtype=object), "row sums of P: expected 1, received"),
    ],
)
def test_dobrushin_refuses(P: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        norms.dobrushin(P)

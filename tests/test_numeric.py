"""Floor 1: dispatch over the number types, the shared types, the rounding allowance."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import contains

from collapse import numeric
from collapse.numeric import Bound, require, rounding_allowance

ELEMENTARY = ("exp", "expm1", "tanh", "sqrt", "log")
NUMBERS = {
    "float": float,
    "numpy float": np.float64,
    "float64": lambda x: torch.tensor(x, dtype=torch.float64),
    "float32": lambda x: torch.tensor(x, dtype=torch.float32),
    "mpmath": mpmath.mpf,
    "sympy": sympy.Rational,
    "arb": flint.arb,
    "fmpq": lambda x: flint.fmpq(*x.as_integer_ratio()),
    "array of arb": lambda x: np.array([flint.arb(x)], dtype=object),
    "array of floats": lambda x: np.array([x]),
}
ORDERED = {**NUMBERS, "Fraction": Fraction, "int": int}


def as_float(value: object) -> float:
    if isinstance(value, np.ndarray):
        value = value.item()
    if isinstance(value, flint.fmpq):
        return int(value.p) / int(value.q)
    return float(value)


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("name", ELEMENTARY)
def test_elementary_functions_agree_over_the_number_types(name: str, kind: str) -> None:
    value = getattr(numeric, name)(NUMBERS[kind](0.75))
    eps = torch.finfo(torch.float32 if kind == "float32" else torch.float64).eps
    assert as_float(value) == pytest.approx(float(getattr(mpmath, name)(0.75)), rel=4 * eps)


@pytest.mark.parametrize("name", ELEMENTARY)
def test_a_ball_contains_the_true_value(name: str) -> None:
    ball = getattr(numeric, name)(flint.arb("0.1"))
    with mpmath.workdps(60):
        truth = getattr(mpmath, name)(mpmath.mpf(1) / 10)
    assert contains(ball, truth)
    assert not contains(ball, truth + 1e-12)  # negative control: the ball is narrow
    assert ball.rel_accuracy_bits() > 40


@pytest.mark.parametrize("name", ELEMENTARY)
def test_a_symbol_stays_a_symbol(name: str) -> None:
    x = sympy.Symbol("x", positive=True)
    value = getattr(numeric, name)(x)
    assert isinstance(value, sympy.Expr) and value.free_symbols == {x}


def test_expm1_keeps_the_digits_that_exp_loses() -> None:
    for kind in ("float", "float64", "mpmath"):
        assert as_float(numeric.expm1(NUMBERS[kind](1e-20))) == pytest.approx(1e-20, rel=1e-15)


@pytest.mark.parametrize("value", [Fraction(1, 2), "0.5", None])
def test_elementary_functions_refuse_what_they_cannot_keep_exact(value: object) -> None:
    with pytest.raises(ValueError, match=r"exp.*received"):
        numeric.exp(value)


@pytest.mark.parametrize("kind", ORDERED)
def test_extrema_over_the_number_types(kind: str) -> None:
    small, large = ORDERED[kind](-2), ORDERED[kind](3)
    assert as_float(numeric.maximum(small, large)) == 3
    assert as_float(numeric.minimum(small, large)) == -2


def test_extrema_of_mixed_numbers() -> None:
    tensor = torch.tensor([-1.0, 2.0])
    assert numeric.maximum(tensor, 0.0).tolist() == [0.0, 2.0]
    assert numeric.minimum(0.0, tensor).tolist() == [-1.0, 0.0]
    assert numeric.maximum(flint.arb(1), 2) == 2
    assert numeric.minimum(flint.fmpq(1, 3), 1) == flint.fmpq(1, 3)
    x = sympy.Symbol("x", real=True)
    assert numeric.maximum(x, 0).subs(x, -3) == 0
    array = np.array([Fraction(1), Fraction(-1)], dtype=object)
    assert numeric.maximum(array, 0).tolist() == [1, 0]


def test_extrema_of_tensors_of_two_dtypes_round_neither() -> None:
    integers, single = torch.tensor([1, 4]), torch.tensor([1.0, 4.0])
    assert numeric.maximum(integers, 2.75).tolist() == [2.75, 4.0]
    assert numeric.minimum(integers, 2).tolist() == [1, 2]
    wide = torch.tensor([1 + 2.0**-40] * 2, dtype=torch.float64)
    assert numeric.maximum(single, wide).tolist() == [1 + 2.0**-40, 4.0]


def test_an_extremum_of_overlapping_balls_covers_both() -> None:
    wide = flint.arb(0, 1)
    assert numeric.maximum(wide, flint.arb(0)).contains(flint.arb("0.5"))
    assert numeric.minimum(wide, flint.arb(0)).contains(flint.arb("-0.5"))


@pytest.mark.parametrize("number", [Fraction, sympy.Rational, flint.arb, mpmath.mpf])
def test_extrema_along_an_axis(number: type) -> None:
    array = np.array([[number(1), number(4)], [number(3), number(2)]], dtype=object)
    assert [as_float(x) for x in numeric.amax(array, -2)] == [3, 4]
    assert [as_float(x) for x in numeric.amin(array, -1)] == [1, 2]


@pytest.mark.parametrize(
    ("value", "finite"),
    [
        (1.0, True),
        (math.nan, False),
        (-math.inf, False),
        (7, True),
        (10**400, True),
        (Fraction(1, 3), True),
        (torch.zeros(0), True),
        (torch.tensor([0.0, math.nan]), False),
        (np.array([Fraction(1), math.inf], dtype=object), False),
        (sympy.oo, False),
        (sympy.Symbol("x"), True),
        (flint.arb(1), True),
        (flint.arb("nan"), False),
        (flint.fmpq(1, 2), True),
        (mpmath.inf, False),
        (mpmath.mpf(1), True),
    ],
)
def test_is_finite(value: object, finite: bool) -> None:
    assert numeric.is_finite(value) is finite


def test_require_names_quantity_range_and_value() -> None:
    require(torch.tensor([True, True]), "theta", "theta >= 0", 1)
    with pytest.raises(ValueError, match="theta: expected theta >= 0, received -3"):
        require(torch.tensor([True, False]), "theta", "theta >= 0", -3)


def test_require_lets_undecided_symbols_pass_but_not_overlapping_balls() -> None:
    x = sympy.Symbol("x", real=True)
    require(x > 0, "x", "x > 0", x)
    with pytest.raises(ValueError):
        require(sympy.Integer(-1) > 0, "x", "x > 0", -1)
    with pytest.raises(ValueError):
        require(flint.arb(0, 1) > 0, "x", "x > 0", "a ball around 0")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rounding_allowance_is_the_standard_bound(dtype: torch.dtype) -> None:
    unit = torch.finfo(dtype).eps / 2
    assert rounding_allowance(3.0, 10, dtype) == pytest.approx(3 * 10 * unit / (1 - 10 * unit))
    assert rounding_allowance(1.0, 0, dtype) == 0
    assert rounding_allowance(1.0, 10**18, dtype) == math.inf


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=200))
def test_rounding_allowance_covers_a_running_sum(values: list[float]) -> None:
    total = 0.0
    for value in values:
        total += value
    error = abs(Fraction(total) - sum(map(Fraction, values)))
    assert error <= Fraction(rounding_allowance(sum(map(abs, values)), len(values)))


def test_rounding_allowance_is_not_generous() -> None:
    """Negative control: a hundredth of it does not cover a sum that rounds at every step."""
    total = 1.0
    for _ in range(1000):
        total += 2.0**-53 * 1.0001
    error = abs(total - (1 + 1000 * 2.0**-53 * 1.0001))
    assert rounding_allowance(1.0, 1000) >= error > rounding_allowance(1.0, 1000) / 100


@pytest.mark.parametrize(
    ("operations", "dtype"), [(-1, torch.float64), (1, torch.int64), (1, "float64")]
)
def test_rounding_allowance_refuses(operations: int, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="received"):
        rounding_allowance(1.0, operations, dtype)


def test_exact_keeps_decimals() -> None:
    array = numeric.exact([["0.1", 1], [0.5, "1/3"]])
    assert array.tolist() == [
        [Fraction(1, 10), Fraction(1)],
        [Fraction(1, 2), Fraction(1, 3)],
    ]
    assert numeric.exact([0.1])[0] != Fraction(1, 10)  # the binary float, not the decimal
    assert numeric.exact([flint.arb(2)])[0] == 2
    assert numeric.exact([]).shape == (0,)


def test_exact_takes_numpys_integers_without_their_limits() -> None:
    assert numeric.exact([np.int64(2**62)])[0] * 4 == 2**64
    assert numeric.exact([np.float32(0.5)])[0] == Fraction(1, 2)
    assert numeric.exp(np.int64(1)) == numeric.exp(1.0)


@pytest.mark.parametrize(
    "values", [[math.nan], [math.inf], ["a third"], ["1/0"], [[1, 2], [3]], [None], [1j]], ids=str
)
def test_exact_refuses_what_is_no_number(values: list[object]) -> None:
    with pytest.raises(ValueError, match=r"values: expected .*numbers.*, received"):
        numeric.exact(values)


def test_a_bound_is_immutable() -> None:
    bound = Bound(1.0, "softmax-tv", "sharp")
    with pytest.raises(dataclasses.FrozenInstanceError):
        bound.value = 2.0
    assert bound.assumptions == ()


@pytest.mark.parametrize(
    ("marks", "names"),
    [
        (numeric.Verdict, "definition holds refuted repaired sharpened measured cited open"),
        (numeric.Provenance, "read reported ours"),
        (numeric.Evidence, "passed failed undecided not_applicable pending"),
    ],
)
def test_the_three_vocabularies(marks: type, names: str) -> None:
    assert [mark.value.replace(" ", "_") for mark in marks] == names.split()

"""Floor 1. One spelling of exp, tanh, max, … for every number type, and the shared types.

A formula of this package is written once and then run on floats, torch tensors, exact rationals,
rigorous balls (``flint.arb``), multiprecision floats (``mpmath.mpf``) and symbols (``sympy``).
The functions here are what such a formula may call. Arrays of exact numbers are numpy arrays of
dtype ``object``; they are treated entry by entry.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch

Number = Any  # float, Tensor, ndarray of exact numbers, Fraction, flint, mpmath or sympy scalar


class Verdict(StrEnum):
    """What the companion concludes about a statement."""

    DEFINITION = "definition"
    HOLDS = "holds"
    REFUTED = "refuted"
    REPAIRED = "repaired"
    SHARPENED = "sharpened"
    MEASURED = "measured"
    CITED = "cited"
    OPEN = "open"


class Provenance(StrEnum):
    """Where a statement comes from: read at the source, reported by others, or our own."""

    READ = "read"
    REPORTED = "reported"
    OURS = "ours"


class Evidence(StrEnum):
    """The outcome of one kind of check."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    NOT_APPLICABLE = "not applicable"
    PENDING = "pending"


Relation = Literal["sharp", "upper", "leading"]


@dataclass(frozen=True)
class Bound:
    """An upper bound that knows what it is.

    Attributes:
        value: The bound, in the number type of its inputs.
        label: The result that proves it.
        relation: "sharp" (attained for every value of its arguments), "upper" (proved, perhaps not
            attained) or "leading" (the leading term of an asymptotic expansion, not a bound).
        assumptions: What the value rests on, for example which norm was exact.
    """

    value: Number
    label: str
    relation: Relation
    assumptions: tuple[str, ...] = ()


def require(condition: Any, quantity: str, expected: str, received: object) -> None:
    """Raise a ValueError naming the quantity, its range and what came, unless the condition holds.

    A condition on tensors or arrays must hold in every entry. A relation between symbols that
    sympy cannot decide is let through; one between balls must hold for certain.

    Args:
        condition: A truth value, tensor or array of them, or a sympy relation.
        quantity: What is being checked.
        expected: Its range, in words.
        received: The value that came.

    Raises:
        ValueError: If the condition fails.

    >>> require(0.5 > 0, "theta", "theta >= 0", 0.5)
    >>> require(-1 > 0, "theta", "theta >= 0", -1)
    Traceback (most recent call last):
    ValueError: theta: expected theta >= 0, received -1
    """
    if isinstance(condition, torch.Tensor | np.ndarray):
        holds = bool(condition.all())
    elif _library(condition) == "sympy":
        import sympy

        holds = condition is not sympy.false  # an undecided relation is neither true nor false
    else:
        holds = bool(condition)
    if not holds:
        raise ValueError(f"{quantity}: expected {expected}, received {received}")


def is_number(x: object) -> bool:
    """Whether x is a real number of Python or numpy, or one of flint, mpmath or sympy.

    >>> is_number(Fraction(1, 3)), is_number("1/3"), is_number(1j)
    (True, False, False)
    """
    return isinstance(x, numbers.Real) or _library(x) in ("flint", "mpmath", "sympy")


def is_finite(x: Number) -> bool:
    """Whether no entry is NaN or infinite.

    >>> is_finite(torch.tensor([1.0, float("nan")])), is_finite(Fraction(1, 3))
    (False, True)
    """
    if isinstance(x, torch.Tensor):
        # A sum reads the entries once, at the speed of memory, and shows NaN and infinity. It may
        # overflow without them: only then every entry is looked at.
        return math.isfinite(x.detach().sum()) or bool(torch.isfinite(x).all())
    if isinstance(x, np.ndarray):
        return all(is_finite(entry) for entry in x.flat)
    library = _library(x)
    if library == "sympy":
        return x.is_finite is not False
    if library == "flint":
        return bool(getattr(x, "is_finite", lambda: True)())
    if library == "mpmath":
        return bool(x.context.isfinite(x))
    return isinstance(x, int | Fraction) or math.isfinite(x)  # an int may exceed every float


def rounding_allowance(
    scale: Number, operations: int, dtype: torch.dtype = torch.float64
) -> Number:
    r"""How far rounding alone may lift a measured quantity above its exact value.

    .. math:: \gamma_m \cdot \text{scale}, \qquad \gamma_m = \frac{m u}{1 - m u},

    with :math:`u` the unit roundoff of the dtype and :math:`m` the number of rounded operations on
    the longest path from input to output, an elementary function counting as four. This is the
    standard running error bound; every test in the project uses it and no other tolerance.

    Args:
        scale: Size of the largest intermediate quantity, :math:`\ge 0`.
        operations: Length :math:`m \ge 0` of the longest chain of rounded operations.
        dtype: Floating-point type in which the quantity was measured.

    Returns:
        The allowance, of the type of ``scale``; infinite when :math:`m u \ge 1`.

    Raises:
        ValueError: If ``operations`` is negative or ``dtype`` is not floating point.

    >>> rounding_allowance(1.0, 1) < 1.2e-16
    True
    """
    require(operations >= 0, "operations", "an integer >= 0", operations)
    floats = isinstance(dtype, torch.dtype) and dtype.is_floating_point
    require(floats, "dtype", "a floating-point dtype", dtype)
    error = operations * torch.finfo(dtype).eps / 2
    return scale * (error / (1 - error)) if error < 1 else scale * math.inf


def _library(x: object) -> str:
    return type(x).__module__.partition(".")[0]


def _entrywise(function: Callable[..., Number], inputs: int) -> np.ufunc:
    return np.frompyfunc(function, inputs, 1)


_AT_ZERO = {"exp": 1, "expm1": 0, "tanh": 0, "sin": 0, "cos": 1, "sqrt": 0}


def _elementary(name: str, symbolic: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
    """Dispatch an elementary function by the type of its argument."""

    def apply(x: Number) -> Number:
        if isinstance(x, torch.Tensor):
            return getattr(torch, name)(x)
        if isinstance(x, np.ndarray):
            return _entrywise(apply, 1)(x) if x.dtype == object else getattr(np, name)(x)
        if isinstance(x, int | float | np.floating | np.integer):
            with np.errstate(over="ignore"):
                return float(getattr(np, name)(float(x)))
        if isinstance(x, Fraction) and x == 0 and name in _AT_ZERO:
            return Fraction(_AT_ZERO[name])
        library = _library(x)
        if library == "sympy":
            import sympy

            return symbolic(x) if symbolic else getattr(sympy, name)(x)
        if library == "flint":
            import flint

            return getattr(flint.arb(x), name)()
        if library == "mpmath":
            return getattr(x.context, name)(x)
        raise ValueError(
            f"{name}: expected a float, tensor, ball, mpmath float or symbol, received {x!r};"
            " lift exact rationals to flint.arb first"
        )

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"The function {name}, for every number type of the package."
    return apply


def _symbolic_expm1(x: Any) -> Any:
    import sympy

    return sympy.exp(x) - 1


exp = _elementary("exp")
expm1 = _elementary("expm1", _symbolic_expm1)
tanh = _elementary("tanh")
sqrt = _elementary("sqrt")
log = _elementary("log")
sin = _elementary("sin")
cos = _elementary("cos")


def maximum(a: Number, b: Number) -> Number:
    """The larger of two numbers, entry by entry for tensors and arrays; for balls, a ball.

    >>> maximum(2, Fraction(5, 2))
    Fraction(5, 2)
    """
    return _extremum(a, b, "max")


def minimum(a: Number, b: Number) -> Number:
    """The smaller of two numbers, entry by entry for tensors and arrays; for balls, a ball.

    >>> minimum(2, Fraction(5, 2))
    2
    """
    return _extremum(a, b, "min")


def _extremum(a: Number, b: Number, name: Literal["max", "min"]) -> Number:
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        device = a.device if isinstance(a, torch.Tensor) else b.device
        a, b = (x if isinstance(x, torch.Tensor | int) else float(x) for x in (a, b))
        dtype = torch.result_type(a, b)
        a, b = (torch.as_tensor(x, dtype=dtype, device=device) for x in (a, b))
        return torch.maximum(a, b) if name == "max" else torch.minimum(a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return _entrywise(maximum if name == "max" else minimum, 2)(a, b)
    libraries = {_library(a), _library(b)}
    if "sympy" in libraries:
        import sympy

        return sympy.Max(a, b) if name == "max" else sympy.Min(a, b)
    if "flint" in libraries:
        import flint

        if isinstance(a, flint.arb) or isinstance(b, flint.arb):
            return getattr(flint.arb(a), name)(flint.arb(b))
    return max(a, b) if name == "max" else min(a, b)


def amax(x: Number, axis: int) -> Number:
    """The largest entry along one axis of a tensor or an array of exact numbers.

    >>> amax(torch.tensor([[1.0, 3.0], [2.0, 0.0]]), -2)
    tensor([2., 3.])
    """
    if isinstance(x, torch.Tensor):
        return torch.amax(x, dim=axis)
    return _entrywise(maximum, 2).reduce(x, axis=axis)


def amin(x: Number, axis: int) -> Number:
    """The smallest entry along one axis of a tensor or an array of exact numbers.

    >>> amin(torch.tensor([[1.0, 3.0], [2.0, 0.0]]), -2)
    tensor([1., 0.])
    """
    if isinstance(x, torch.Tensor):
        return torch.amin(x, dim=axis)
    return _entrywise(minimum, 2).reduce(x, axis=axis)


def exact(values: Any) -> np.ndarray:
    """An array of exact numbers from nested sequences; integers and decimals become Fractions.

    Args:
        values: Nested sequences of ints, Fractions, strings such as "0.1" or "1/3", or scalars of
            flint, mpmath or sympy. Binary floats are converted exactly.

    Returns:
        A numpy array of dtype object.

    Raises:
        ValueError: On NaN or infinity, text that is no number, or sequences of unequal lengths.

    >>> exact([["0.1", 1]])
    array([[Fraction(1, 10), Fraction(1, 1)]], dtype=object)
    """
    array = np.array(values, dtype=object)
    return _entrywise(_to_fraction, 1)(array) if array.size else array


def _to_fraction(x: Any) -> Any:
    x = x.item() if isinstance(x, np.generic) else x  # numpy's integers would wrap around
    if isinstance(x, int | float | str | Fraction):
        try:
            return Fraction(x)
        except (ValueError, OverflowError, ZeroDivisionError):
            require(False, "values", 'finite numbers, or strings such as "1/3"', repr(x))
    require(is_number(x), "values", "nested sequences of numbers, of equal lengths", repr(x))
    return x

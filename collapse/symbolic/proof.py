"""What a symbolic proof is, the register of them, and the control that each must pass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
import sympy


@dataclass(frozen=True)
class Step:
    """One line of a proof: what it says, and the identity or inequality that sympy confirmed."""

    text: str
    formula: sympy.Basic


@dataclass(frozen=True)
class Proof:
    """A finished proof: every step was checked before this object could be made."""

    label: str
    steps: tuple[Step, ...]

    def _repr_markdown_(self) -> str:
        """How a notebook shows it."""
        lines = (f"1. {s.text} $\\displaystyle {sympy.latex(s.formula)}$" for s in self.steps)
        return "\n".join(lines)


Prove = Callable[[], Proof]

PROOFS: dict[str, list[Prove]] = {}
RESTS_ON: dict[Prove, tuple[str, ...]] = {}
OFF = sympy.Rational(99, 100)


def proves(label: str, *rests_on: str) -> Callable[[Prove], Prove]:
    """Register a function as a proof of the result with this label.

    Args:
        label: The label of the result.
        rests_on: Names, in the module of the proof, of the functions that it takes its constants
            from; changing any of them by 1 % must break the proof.

    Returns:
        A decorator that leaves the function as it is.
    """

    def register(function: Prove) -> Prove:
        PROOFS.setdefault(label, []).append(function)
        RESTS_ON[function] = rests_on
        return function

    return register


def notices(prove: Prove, name: str, factor: sympy.Rational = OFF) -> bool:
    """Whether a proof breaks when a function that it rests on is off by a factor.

    Args:
        prove: A registered proof.
        name: One of the names that it rests on.
        factor: What the function's values are multiplied by; networks are left as they are.

    Returns:
        True if some step is then refused.
    """
    module = sys.modules[prove.__module__]
    right = getattr(module, name)
    setattr(module, name, lambda *inputs: _scaled(right(*inputs), factor))
    try:
        prove()
    except AssertionError:
        return True
    finally:
        setattr(module, name, right)
    return False


def _scaled(value: Any, factor: sympy.Rational) -> Any:
    if isinstance(value, dict):
        return {name: _scaled(entry, factor) for name, entry in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_scaled(entry, factor) for entry in value)
    return value * factor if isinstance(value, Number | sympy.Basic | np.ndarray) else value


def confirm(text: str, claim: sympy.Basic | bool) -> Step:
    """A step whose claim sympy simplifies to true.

    Raises:
        AssertionError: If it does not.

    >>> x = sympy.Symbol("x")
    >>> confirm("Binomial:", sympy.Eq((x + 1) ** 2, x**2 + 2 * x + 1)).text
    'Binomial:'
    """
    claim = sympy.sympify(claim)
    if _fails_at_a_point(claim):  # simplify may never return from what is not an identity
        holds = False
    elif isinstance(claim, sympy.Eq):
        holds = sympy.simplify(claim.lhs - claim.rhs) == 0
    else:
        holds = sympy.simplify(claim) is sympy.true
    if not holds:
        raise AssertionError(f"{text} sympy does not confirm {claim}")
    return Step(text, claim)


def _fails_at_a_point(claim: sympy.Basic) -> bool:
    """Whether an equation is false, beyond all rounding, at one choice of its symbols."""
    if not isinstance(claim, sympy.Eq):
        return False
    symbols = sorted(claim.free_symbols, key=str)
    values = {x: _value(x, k) for k, x in enumerate(symbols, start=1)}
    difference = (claim.lhs - claim.rhs).subs(values).evalf(40)
    return bool(difference.is_number and difference.is_finite and abs(difference) > 1e-12)


def _value(x: sympy.Symbol, k: int) -> sympy.Rational:
    """A value for the k-th symbol that respects what is assumed of it."""
    size = sympy.Integer(k + 1) if x.is_integer else 1 + sympy.Rational(k, k + 7)
    return -size if x.is_negative else size

"""What a symbolic proof is, and the register of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


PROOFS: dict[str, list[Callable[[], Proof]]] = {}


def proves(label: str) -> Callable[[Callable[[], Proof]], Callable[[], Proof]]:
    """Register a function as a proof of the result with this label."""

    def register(function: Callable[[], Proof]) -> Callable[[], Proof]:
        PROOFS.setdefault(label, []).append(function)
        return function

    return register


def confirm(text: str, claim: sympy.Basic | bool) -> Step:
    """A step whose claim sympy simplifies to true.

    Raises:
        AssertionError: If it does not.

    >>> x = sympy.Symbol("x")
    >>> confirm("Binomial:", sympy.Eq((x + 1) ** 2, x**2 + 2 * x + 1)).text
    'Binomial:'
    """
    claim = sympy.sympify(claim)
    if isinstance(claim, sympy.Eq):
        holds = sympy.simplify(claim.lhs - claim.rhs) == 0
    else:
        holds = sympy.simplify(claim) is sympy.true
    if not holds:
        raise AssertionError(f"{text} sympy does not confirm {claim}")
    return Step(text, claim)

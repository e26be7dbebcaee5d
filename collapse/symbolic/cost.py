"""Symbolic proofs of chapter 6: the polynomial's errors, the induction network's logits."""

from __future__ import annotations

import numpy as np
import sympy
from sympy import Integer, Symbol, exp, log

from collapse.bounds.needs import induction_contraction, induction_gap
from collapse.bounds.taylor import relative_tv_bound, taylor_error
from collapse.numeric import Number
from collapse.softmax import softmax, tv_bound
from collapse.symbolic.proof import Proof, Step, confirm, proves

_S = Symbol("s", positive=True)
_N = Symbol("n", positive=True)


@proves("taylor-attention", "relative_tv_bound")
def factors() -> Proof:
    """Weights that change by factors from 1 − r to 1 + r are balanced by log((1 + r)/(1 − r))."""
    w = 1 + Symbol("u", positive=True)  # the root of (1 + r)/(1 − r), above 1
    r = (w**2 - 1) / (w**2 + 1)
    bound = relative_tv_bound(r).replace(  # 1 − r² is a square, which sympy does not see by itself
        lambda part: part.is_Pow and part.exp == sympy.Rational(1, 2),
        lambda part: sympy.sqrt(sympy.factor(part.base)),
    )
    steps = (
        _equal("With $w = 1 + u$ let", (1 + r) / (1 - r), w**2, "(1+r)/(1-r)"),
        _equal("The package's bound is then", bound, (w - 1) / (w + 1), r"\tau"),
        _equal(
            "and $\\tanh(\\theta/4)$ at $\\theta = 2\\log w$ the same:",
            tv_bound(2 * log(w)).rewrite(exp),
            (w - 1) / (w + 1),
            r"\tanh(\theta/4)",
        ),
    )
    return Proof("taylor-attention", steps)


@proves("taylor-attention", "taylor_error")
def remainder() -> Proof:
    """For degrees 0 to 4: the relative error is an integral, at most e^B B^(g+1)/(g+1)!."""
    x, B = Symbol("x", real=True), Symbol("B", positive=True)
    steps: list[Step] = []
    for degree in range(5):
        taylor = sum((x**m / sympy.factorial(m) for m in range(degree + 1)), Integer(0))
        error = 1 - taylor * exp(-x)
        density = exp(-x) * x**degree / sympy.factorial(degree)
        steps.append(
            _equal(
                f"Degree {degree}: the error grows at the rate",
                sympy.diff(error, x),
                density,
                r"\rho'(x)",
            )  # fmt: skip
        )
        # e^{-x} is at most e^B on [-B, B]; what is left of the density integrates to the bound.
        largest = exp(B) * sympy.integrate(x**degree / sympy.factorial(degree), (x, 0, B))
        steps.append(_equal("which adds up to at most", largest, taylor_error(B, degree), "r"))
    return Proof("taylor-attention", tuple(steps))


@proves("large-weights-suffice", "induction_contraction", "induction_gap")
def induction() -> Proof:
    """The closed forms of the induction network: what a row of attention gives, and its growth."""
    u = Symbol("u", positive=True)  # e^{s²}
    row = softmax(np.array([[_S**2, 0, 0, 0, 0]], dtype=object) + Integer(0))[0]
    form = induction_contraction(_N, _S).subs(exp(-(_S**2)), 1 / u)
    half = induction_contraction(_N, sympy.sqrt(log(_N + 1)))
    gap = _S**3 * (row[0] - row[1])
    steps = (
        _equal("Five tokens: the entries of a row differ by", row[0] - row[1],
               induction_contraction(5, _S), r"\tau(s)"),
        _equal("and, times $s^3$, the logits by", gap, induction_gap(5, _S), r"\Delta(s)"),
        _equal("With $u = e^{s^2}$ and $n$ tokens", form, (u - 1) / (u + _N - 1), r"\tau"),
        _equal("rises with $u$:", sympy.diff(form, u), _N / (u + _N - 1) ** 2, r"\tau'"),
        _equal("At $s = \\sqrt{\\log(n+1)}$ it is", half, sympy.Rational(1, 2), r"\tau"),
    )  # fmt: skip
    return Proof("large-weights-suffice", steps)


def _equal(text: str, left: Number, right: Number, name: str) -> Step:
    """A confirmed equation, shown as name = right."""
    confirm(text, sympy.Eq(left, right))
    return Step(text, sympy.Eq(Symbol(name), right, evaluate=False))

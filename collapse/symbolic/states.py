"""Proofs about state space models: the one layer of a fixed stack, states, the exchange."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
from sympy import Eq, Expr, Integer, Rational, Symbol

from collapse.bounds.normalised import projected_weight
from collapse.bounds.states import (
    deep_kernel,
    exchange_coefficient,
    hankel_determinant,
    leading_constant,
    pade,
    shallow_values,
)
from collapse.symbolic.proof import Proof, Step, confirm, proves

A, B, ETA = sympy.symbols("a b eta", positive=True)
REST = sympy.symbols("u f s alpha", positive=True)
SIGMA, OTHER, X, Y, Z = sympy.symbols("sigma x' x y z", real=True)


def _shown(text: str, left: Expr, right: Expr, name: str) -> Step:
    """A confirmed equation, its left side shown by a name."""
    confirm(text, Eq(sympy.expand(sympy.together(left - right)), 0))
    return Step(text, Eq(Symbol(f"{{{name}}}"), right, evaluate=False))


@proves("ssm-lti-exact", "shallow_values")
def partial_fractions() -> Proof:
    """Two layers of width two: the product of their transfer functions, and the sum."""
    poles = np.array([[A], [B]], dtype=object)
    V, W = (np.array(sympy.symbols(f"{name}:4"), dtype=object).reshape(2, 2) for name in "vw")
    found = shallow_values(poles, np.stack([V, W])[:, None])
    eye = np.array(np.eye(2, dtype=int).tolist(), dtype=object)
    deep = (eye + V / (1 - A * Z)) @ (eye + W / (1 - B * Z))
    shallow = eye + found[0, 0] / (1 - A * Z) + found[1, 0] / (1 - B * Z)
    for left, right in zip(deep.flat, shallow.flat, strict=True):
        confirm("the transfer functions agree", Eq(sympy.simplify(left - right), 0))
    one = shallow_values(poles, np.array([[[[V[0, 0]]]], [[[W[0, 0]]]]], dtype=object))
    return Proof(
        "ssm-lti-exact",
        (
            Step("In width one, the value of the first layer becomes",
                 Eq(Symbol("W_{1}"), sympy.factor(one[0, 0, 0, 0]), evaluate=False)),
            Step("and that of the second",
                 Eq(Symbol("W_{2}"), sympy.factor(one[1, 0, 0, 0]), evaluate=False)),
        ),
    )  # fmt: skip


@proves("ssm-state-ladder", "leading_constant")
def first_difference() -> Proof:
    """What a rational function of degree r misses of (1 + x)^L."""
    steps = []
    for layers, states in ((2, 1), (3, 1), (3, 2), (5, 3)):
        above, below = (
            sum(Rational(c.numerator, c.denominator) * X**k for k, c in enumerate(part))
            for part in pade(layers, states)
        )
        rest = sympy.Poly(sympy.expand(below * (1 + X) ** layers - above), X)
        constant = leading_constant(layers, states)
        lowest = min(power for (power,) in rest.monoms())
        confirm("the order", Eq(Integer(lowest), Integer(2 * states + 1)))
        steps.append(
            _shown(f"For L = {layers} and r = {states} the first coefficient missed is",
                   abs(rest.coeff_monomial(X**lowest)),
                   Rational(constant.numerator, constant.denominator), f"c_{states}")
        )  # fmt: skip
    return Proof("ssm-state-ladder", tuple(steps))


@proves("ssm-state-ladder", "hankel_determinant")
def determinants() -> Proof:
    """The Hankel determinant of the deep kernel, and that it is not zero."""
    steps = []
    for layers, states in ((2, 1), (3, 1), (3, 2)):
        kernel = deep_kernel(layers, ETA, A, 2 * states + 2)
        size = states + 1
        gamma = sympy.Matrix([kernel[i + 1 : i + 1 + size] for i in range(size)])
        formula = hankel_determinant(layers, states, ETA, A)
        sign = (-1) ** (size * states // 2)
        steps.append(
            _shown(f"For L = {layers} the determinant of {size} rows and columns is",
                   sympy.factor(gamma.det()), sign * sympy.factor(formula), r"\det\Gamma")
        )  # fmt: skip
    return Proof("ssm-state-ladder", tuple(steps))


def _last_output(first: Expr, second: Expr, third: Expr) -> Expr:
    """The last output of the two layers on (first, second, third, 0), to first order in σ."""
    tokens = [first, second, third, Integer(0)]
    mixed = [
        x + ETA * sum(A ** (i - j) * tokens[j] for j in range(i + 1)) for i, x in enumerate(tokens)
    ]
    u, f, s, alpha = REST
    # softplus(σx + b) = u/α + σ s x + …, and decays exp(−α ·) = f (1 − α σ s x) + …
    hidden: Any = 0
    for x in mixed:
        step = u / alpha + SIGMA * s * x
        hidden = f * (1 - alpha * SIGMA * s * x) * hidden + step * x
    return mixed[-1] + ETA * hidden


@proves("ssm-selective-order", "exchange_coefficient")
def exchange_seen() -> Proof:
    """Two layers see the exchange, at the order η²σ."""
    total = sum(
        sign * _last_output(first, *middle)
        for sign, first, middle in (
            (1, X, (Y, Z)), (-1, X, (Z, Y)), (-1, OTHER, (Y, Z)), (1, OTHER, (Z, Y)))
    )  # fmt: skip
    u, f, s, alpha = REST
    seen = sympy.Poly(sympy.expand(total), ETA, SIGMA)
    for lower in (Integer(1), SIGMA, ETA, ETA * SIGMA, ETA**2):
        confirm("no lower order", Eq(sympy.expand(seen.coeff_monomial(lower)), 0))
    found = sympy.expand(seen.coeff_monomial(ETA**2 * SIGMA))
    # With 1 + e^b as the symbol, logarithm and exponentials of the package's formula are powers
    # and one logarithm, so that both sides are compared for all a, α and b.
    whole = Symbol("w", positive=True)
    values = {u: alpha * sympy.log(whole), f: whole**-alpha, s: 1 - 1 / whole}
    formula = exchange_coefficient(A, alpha, sympy.log(whole - 1))
    gap = found.subs(values) - formula * (X - OTHER) * (Y - Z)
    confirm("the coefficient", Eq(sympy.simplify(gap), 0))
    shown = sympy.Poly(sympy.expand(found.coeff(X, 1).coeff(Y, 1) / (s * A * f)), u)
    return Proof(
        "ssm-selective-order",
        (
            Step("Of $E(S)$ over $\\eta^2\\sigma(x - x')(y - z)saf$ the part without $u$ is",
                 Eq(Symbol("E_{0}"), sympy.factor(shown.coeff_monomial(1)), evaluate=False)),
            Step("and that with $u$, over $u$,",
                 Eq(Symbol("E_{1}"), sympy.factor(shown.coeff_monomial(u)), evaluate=False)),
        ),
    )  # fmt: skip


@proves("ssm-normalised-collapse", "projected_weight")
def weight_of_the_first() -> Proof:
    """What the first token weighs among the projected ones, and that less is impossible."""
    share, height, other = sympy.symbols("varepsilon c h", positive=True)
    weighed = share * height / (share * height + (1 - share) * other)
    least = projected_weight(Rational(1, 3), height)
    at = weighed.subs(share, Rational(1, 3))
    falls = sympy.together(sympy.diff(at, other))
    confirm("the weight falls with the height of the others", sympy.simplify(falls) < 0)
    return Proof(
        "ssm-normalised-collapse",
        (_shown("At ε = 1/3 and other tokens of height 1 it is", at.subs(other, 1), least, "w"),),
    )

"""Proofs about masks: where the bounds are attained, and what attention at equal tokens does."""

from __future__ import annotations

import numpy as np
import sympy
import torch
from sympy import Eq, Expr, Integer, Symbol, eye, ones

from collapse.bounds.ladder import Sizes
from collapse.bounds.masked import averaging_error, centre_factors, least_weight, walk_factors
from collapse.exact import ExactNetwork
from collapse.softmax import softmax
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses.masks import lazy_walk, outward_drift

EPSILON, THETA, BETA, NU, RHO = sympy.symbols("epsilon theta beta nu rho", positive=True)


def _equal(text: str, left: Expr, right: Expr, name: str) -> Step:
    confirm(text, Eq(sympy.expand(left - right), 0))
    return Step(text, Eq(Symbol(name), sympy.factor(right), evaluate=False))


@proves("masked-collapse", "centre_factors")
def attained() -> Proof:
    """The complete mask, the window of one and a drift from the middle attain the bound."""
    steps = []
    P = (1 - 3 * EPSILON) * eye(3) + EPSILON * ones(3, 3)
    for t in (1, 2):
        Q = P**t
        (*_, factor) = centre_factors([EPSILON] * t, 3, 1)
        text = f"Complete mask on 3 tokens, {t} layer(s): two rows differ only in their own columns"
        tau = sum(_abs_by_sign(Q[0, j] - Q[1, j], j) for j in range(3)) / 2
        steps.append(_equal(f"{text}, by", tau, factor, r"\tau"))
    P = sympy.Matrix(lazy_walk(3, EPSILON))
    (*_, factor) = centre_factors([EPSILON] * 2, 1, 2)
    steps.append(
        _equal(
            "Window of one on 3 tokens, 2 layers: the mass of the last row that is not at the"
            " centre:",
            1 - (P**2)[2, 0],
            factor,
            r"\tau",
        )
    )
    P = sympy.Matrix(outward_drift(1, EPSILON))
    (_, factor) = centre_factors([EPSILON], 1, 1)
    X = sympy.Matrix([-1, 0, 1])
    moved = P * X
    steps.append(_equal("Drift outward on 3 tokens: $X = (-1, 0, 1)^\\top$ shrinks, in every layer,"
                        " by", moved[2], factor, r"\tau"))  # fmt: skip
    return Proof("masked-collapse", tuple(steps))


def _abs_by_sign(x: Expr, column: int) -> Expr:
    """|x| where row 0 is the larger in column 0, and row 1 in column 1."""
    return x if column == 0 else -x


@proves("masked-collapse", "least_weight")
def least() -> Proof:
    """One logit θ below two others has the package's least weight."""
    row = softmax(np.array([[-THETA, Integer(0), Integer(0)]], dtype=object))[0, 0]
    text = "The weight of a logit $\\theta$ below two others is"
    confirm(text, Eq(sympy.simplify(row - least_weight(THETA, 3)), 0))
    right = 1 / (1 + 2 * sympy.exp(THETA))
    confirm("the stated form", Eq(sympy.simplify(least_weight(THETA, 3) - right), 0))
    return Proof("masked-collapse", (Step(text, Eq(Symbol("P_{1}"), right, evaluate=False)),))


@proves("masked-collapse", "centre_factors")
def drift() -> Proof:
    """On five tokens a drift keeps antisymmetric inputs up to the square of ε."""
    P = sympy.Matrix(outward_drift(2, EPSILON))
    X = sympy.Matrix([-1, -1, 0, 1, 1])
    # The invariant measure weighs the outer token (1 − 2ε)/ε times the inner.
    weight = sympy.Matrix([[1 - 2 * EPSILON, EPSILON]]) / (1 - EPSILON)
    left = weight * (X - P * X)[3:, :][::-1, :]
    (*_, factor) = centre_factors([EPSILON] * 2, 1, 2)
    return Proof(
        "masked-collapse",
        (
            _equal(
                "The part of $X = (-1, -1, 0, 1, 1)^\\top$ that a layer loses, in the mean of the"
                " invariant measure of one side, is $\\varepsilon^2/(1-\\varepsilon)$:",
                left[0] * (1 - EPSILON),
                1 - factor,
                r"(1-\varepsilon)\langle X - PX\rangle",
            ),
        ),
    )


@proves("masked-walk", "walk_factors")
def walk() -> Proof:
    """The lazy walk attains the bound after every number of layers."""
    P, steps = sympy.Matrix(lazy_walk(4, EPSILON)), []
    bounds = walk_factors([EPSILON] * 5, 3)
    for t in (1, 3, 4, 5):
        steps.append(
            _equal(
                f"Window of one on 4 tokens, {t} layer(s): the mass that has not arrived is",
                sum((P**t)[3, 1:]),
                bounds[t],
                r"\tau",
            )
        )
    k = Symbol("k", integer=True, nonnegative=True)
    closed = sympy.summation(
        sympy.binomial(5, k) * EPSILON**k * (1 - EPSILON) ** (5 - k), (k, 0, 2)
    )
    steps.append(_equal("which is the binomial probability", closed, bounds[5], r"\Pr[<3]"))
    return Proof("masked-walk", tuple(steps))


@proves("masked-rate", "averaging_error")
def averaging() -> Proof:
    """Two causal tokens: the move away from plain averaging is the bound, to leading order."""
    one = np.array([[[[Integer(1)]]]], dtype=object)
    network = ExactNetwork(BETA * one, one, NU * one, skip=0, mask=torch.ones(2, 2).bool().tril())
    X = np.array([[-RHO], [RHO]], dtype=object)
    away = network(X)[1, 0] - NU * (X[0, 0] + X[1, 0]) / 2
    nu, beta = (np.array([[x]], dtype=object) for x in (NU, BETA))
    bound = averaging_error(Sizes(nu, nu[:, 0], beta, "mask"), 0, RHO, 2 * RHO)
    shown = NU * RHO * sympy.tanh(BETA * RHO**2)
    text = "Token 2 of $X = (-\\rho, \\rho)^\\top$ is away from the average by"
    confirm(text, Eq((away - shown).rewrite(sympy.exp).expand(), 0))
    limit = sympy.limit((shown / bound).subs({BETA: 1, NU: 1}), RHO, 0)
    ratio = "as $\\rho \\to 0$ the quotient of that and the package's bound tends to"
    confirm(ratio, Eq(limit, 1))
    slope = sympy.diff(_near_equal(RHO), RHO).subs(RHO, 0)
    linear = "The derivative of row 2 at equal tokens, which no query or key enters, is"
    confirm(linear, Eq(sympy.simplify(slope), NU / 2))
    return Proof(
        "masked-rate",
        (
            Step(text, Eq(Symbol("a_2"), shown, evaluate=False)),
            Step(ratio, Eq(Symbol("q"), limit, evaluate=False)),
            Step(linear, Eq(Symbol("a_2'"), NU / 2, evaluate=False)),
        ),
    )


def _near_equal(step: Expr) -> Expr:
    """Row 2 of attention on the causal tokens (1, 1 + step), less its value at equal tokens."""
    P = softmax(np.array([[BETA * (1 + step), BETA * (1 + step) ** 2]], dtype=object))[0]
    return NU * (P[0] + P[1] * (1 + step)) - NU

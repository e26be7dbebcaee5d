"""Proofs about weighted skips: what they keep, J24's bound, and the two-token example."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
from sympy import Eq, Expr, Integer, Rational, Symbol, log, sqrt, tanh

from collapse.bounds.contraction import contraction_factor
from collapse.bounds.ladder import Sizes
from collapse.bounds.weighted_pairs import merging, narrowing, two_token_mixer
from collapse.bounds.weighted_skips import (
    j24_best,
    j24_margin,
    j24_threshold,
    normalised_factor,
    row_drift,
    threshold_rate,
    total_drift,
)
from collapse.exact import ExactNetwork
from collapse.rescaling import unit_skip
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses.skips import opposing_values
from collapse.witnesses.weighted_skips import cancelling, softmax_cancelling

LAM, V, K, BETA, R, T, C, GAP = sympy.symbols("lambda v K beta r t c g", positive=True)
COS = Symbol("C", real=True)  # cos θ
Q = Symbol("q", positive=True)


def _equal(text: str, shown: str, value: Expr, expected: Expr) -> Step:
    """A confirmed value, displayed as the equation ``shown`` = ``expected``."""
    difference = value - expected
    if difference.has(tanh):
        difference = difference.replace(tanh, lambda x: tanh(x).rewrite(sympy.exp))
    confirm(text, Eq(difference, 0))
    return Step(text, Eq(Symbol(f"{{{shown}}}"), expected, evaluate=False))


def _sizes(v: Expr, beta: Expr) -> Sizes:
    weight = np.array([[v]], dtype=object)
    return Sizes(weight, weight[:, 0], np.array([[beta]], dtype=object))


def _resolved(expression: Expr) -> Expr:
    """The expression with every maximum decided, from the signs of factored differences."""

    def larger(a: Expr, b: Expr) -> Expr:
        above = sympy.factor(a - b).is_positive
        assert above is not None, f"sympy cannot compare {a} and {b}"
        return a if above else b

    return expression.replace(sympy.Max, larger)


@proves("lambda-skip", "contraction_factor")
def raw_attained() -> Proof:
    """Two tokens on a line lose exactly K times their distance, under any skip."""
    network, X = opposing_values(V, BETA, R)
    Z = network.replace(skip=LAM)(X)
    before = X[1, 0] - X[0, 0]
    factor = contraction_factor(_sizes(V, BETA), 0, Integer(0), before)
    return Proof(
        "lambda-skip",
        (
            _equal("For the tokens $\\mp r$:", "K", factor, V * tanh(BETA * R**2)),
            _equal(
                "Their difference after the layer, over the one before:",
                r"\lambda - K",
                (Z[1, 0] - Z[0, 0]) / before,
                LAM - factor,
            ),
        ),
    )


@proves("lambda-skip", "normalised_factor")
def least_share() -> Proof:
    """The least value of the share over the lengths that a token can have before it is scaled."""
    size = V + GAP  # |λ| > v
    w = Symbol("w", positive=True)  # 1 over the length
    share = (1 + (size**2 - V**2) * w**2) / 2 - K * w
    at_end = share.subs(w, 1 / (size + V))
    first = normalised_factor(size, V, GAP * V / (V + 1))  # K below |λ| − v
    beyond = GAP + V * Q / (1 + Q)  # K from |λ| − v up to |λ|
    steepest = sympy.solve(sympy.diff(share, w), w)[0]
    return Proof(
        "lambda-skip",
        (
            _equal(
                "With $g = \\lvert\\lambda\\rvert - v$ the share is convex in $w$; it is least at",
                "w",
                steepest,
                K / (size**2 - V**2),
            ),
            _equal(
                "At the largest length $\\lvert\\lambda\\rvert + v$ it is",
                r"F",
                at_end,
                (size - K) / (size + V),
            ),
            _equal(
                "which is the package's factor for $K = gv/(v + 1) \\le g$:",
                r"F",
                sympy.simplify(_resolved(first)),
                (size - GAP * V / (V + 1)) / (size + V),
            ),
            _equal(
                "Beyond, for $K = g + vq/(1 + q)$, it is the least value of all:",
                r"F",
                sympy.simplify(_resolved(normalised_factor(size, V, beyond))),
                (1 - beyond**2 / (size**2 - V**2)) / 2,
            ),
        ),
    )


@proves("lambda-skip", "narrowing", "normalised_factor")
def narrowing_attains() -> Proof:
    """On two tokens the half-angle's tangent shrinks by F exactly, so F is attained as θ → 0."""
    size = 2 * V + GAP
    network, Y = narrowing(T, Integer(0), V, size)
    Z = network.replace(norm=None)(Y)
    factor = normalised_factor(size, V, Integer(0))
    return Proof(
        "lambda-skip",
        (
            _equal(
                "The tokens are of length 1:",
                r"\lVert y_2\rVert^2",
                sympy.simplify((Y[1] * Y[1]).sum()),
                Integer(1),
            ),
            _equal(
                "With $M = 0$, $\\lambda = g + 2v$, $\\tan(\\theta'/2)$ over $\\tan(\\theta/2)$:",
                "F",
                sympy.simplify(Z[1, 1] / Z[1, 0] * Y[1, 0] / Y[1, 1]),
                sympy.simplify(factor),
            ),
            _equal("which is $\\lambda/(\\lambda + v)$:", "F", factor, size / (size + V)),
        ),
    )


@proves("lambda-skip", "merging")
def merged() -> Proof:
    """Two tokens that a layer with a skip below v turns into one direction."""
    s = Symbol("s", positive=True)
    network, Y = merging(s, T, V)
    Z = network.replace(norm=None)(Y)
    cos, sin = (1 - s**2) / (1 + s**2), 2 * s / (1 + s**2)
    c, d = (1 - T**2) / (1 + T**2), 2 * T / (1 + T**2)
    zero = Integer(0)
    return Proof(
        "lambda-skip",
        (
            _equal("First entries of both rows:", "z_{11}", Z[0, 0], zero),
            _equal("and", "z_{21}", Z[1, 0], zero),
            _equal("Second entries:", "z_{12}", Z[0, 1], -V * (cos * d + c * sin)),
            _equal("and", "z_{22}", Z[1, 1], -V * (c * sin - cos * d)),
            _equal(
                "Both are negative for $t < s$, since",
                r"c\sin\varphi - d\cos\varphi",
                c * sin - cos * d,
                2 * (s - T) * (1 + s * T) / ((1 + s**2) * (1 + T**2)),
            ),
        ),
    )


@proves("lambda-rescaling", "unit_skip")
def weights_absorb_the_skip() -> Proof:
    """Two layers of width one on two tokens, all weights and λ symbols."""
    a, b, x, y = sympy.symbols("a b x y", real=True)
    one = Integer(1)
    query, key, value = (np.array([[[[w]]], [[[w]]]], dtype=object) for w in (a, one, b))
    network = ExactNetwork(query, key, value, skip=LAM)
    X = np.array([[x], [y]], dtype=object)
    plain, scale = unit_skip(network)
    point = {a: Rational(1, 3), b: Rational(2, 5), x: 1, y: Rational(-1, 2), LAM: Rational(3, 2)}
    outputs = (network(X)[0, 0], scale * plain(X)[0, 0])
    # sympy would need hours for nested softmaxes: both are compared in their arguments instead
    first = [each.layers(0, 1)(X)[0, 0] for each in (network, plain)]
    confirm("The whole at one rational point:", abs(
        (outputs[0] - outputs[1]).subs(point).evalf(50)) < Rational(1, 10**40))  # fmt: skip
    logits = plain.query[1, 0, 0, 0] / a
    return Proof(
        "lambda-rescaling",
        (
            _equal("After one layer the rescaled network has", r"X_1/\lambda",
                   sympy.simplify(first[0] / LAM - first[1]) + first[1], first[1]),
            _equal("Its second layer weighs the logits by", r"\Lambda_1^2", logits, LAM**2),
            _equal("and all is scaled at the end by", r"\Lambda_2", scale, LAM**2),
        ),
    )  # fmt: skip


@proves("skip-drift", "row_drift")
def largest_turn() -> Proof:
    """The addition that turns a token most, and the chord of that turn."""
    y = np.array([1, 0], dtype=object)
    cos = T / (1 + T)  # of the turn, between 0 and 1
    t = sqrt(1 - cos**2)
    o = t * np.array([-t, cos], dtype=object)
    z = y + o
    length = sqrt(sympy.factor((z * z).sum()))
    chord = sympy.simplify(((z / length - y) ** 2).sum())
    return Proof(
        "skip-drift",
        (
            _equal("The addition is at right angles to the sum:", r"o\cdot(y + o)",
                   sympy.simplify((o * z).sum()), Integer(0)),
            _equal("so that the sine of the turn is the ratio:", r"\sin^2\alpha",
                   sympy.simplify(z[1] ** 2 / length**2), t**2),
            _equal("The square of the chord is that of the package:", r"4\sin^2\tfrac\alpha2",
                   chord, sympy.simplify(row_drift(t) ** 2)),
        ),
    )  # fmt: skip


@proves("skip-drift", "total_drift")
def flipped_token() -> Proof:
    """N − 1 equal tokens and one opposite, which is turned round: μ loses nearly the constant 2."""
    n = Symbol("N", integer=True, positive=True) + 1
    mu = sqrt(n - (n - 2) ** 2 / n)
    rest = sqrt((n - 1) / n)
    return Proof(
        "skip-drift",
        (
            _equal("The tokens $u, \\dots, u, -u$ have", r"\mu", mu, 2 * rest),
            _equal(
                "To turn the last one round $\\lVert O\\rVert = \\lvert\\lambda\\rvert$ suffices"
                " but for a little. Then $\\mu = 0$, and the loss over the bound is",
                r"\sqrt{1 - \tfrac1N}",
                sympy.simplify(mu / total_drift(LAM, LAM)),
                rest,
            ),
        ),
    )


@proves("j24-lower-bound", "cancelling", "j24_threshold")
def equal_in_one_step() -> Proof:
    """As reported, b is negative for λ < 0, and two tokens become equal."""
    M, Y = cancelling(-LAM)
    Z = M @ Y - LAM * Y
    size = LAM * sqrt(2)  # ‖M‖_F ‖I‖_F
    a = j24_best(1, size / LAM)[0]
    margin = sympy.simplify(j24_margin(a, -LAM, size))
    printed, repaired = (
        sympy.simplify(j24_threshold(a, 1, -LAM, size, 2, 2, word)) for word in (True, False)
    )
    return Proof(
        "j24-lower-bound",
        (
            _equal("Both rows are equal, with entries", "z", Z[0, 0], -LAM / 2),
            _equal("since", r"z_{11} - z_{21}", Z[0, 0] - Z[1, 0], Integer(0)),
            _equal("and", r"z_{12} - z_{22}", Z[0, 1] - Z[1, 1], Integer(0)),
            _equal(
                "The first condition holds, by a margin of",
                r"\lambda^2 - a(SC_M + \lambda)^2",
                margin,
                LAM**2 / 2,
            ),
            _equal(
                "and so does the second, as reported, whose $b$ is negative:",
                "b",
                printed,
                -16 * sqrt(2) * 2 * (1 + sqrt(2)) ** 2,
            ),
            _equal(
                "With $\\lvert\\lambda\\rvert$ it asks for more than the largest possible 2:",
                "b",
                repaired,
                32 * sqrt(2) * (1 + sqrt(2)) ** 2,
            ),
        ),
    )


@proves("j24-lower-bound", "softmax_cancelling")
def equal_under_softmax() -> Proof:
    """The same in softmax attention, for λ = −tanh(β/2)."""
    network, Y = softmax_cancelling(log(1 + Q))
    Z = network.replace(norm=None)(Y)
    entry = 1 / (2 + Q)
    return Proof(
        "j24-lower-bound",
        tuple(
            _equal(text, f"z_{{{i + 1}{j + 1}}}", sympy.simplify(Z[i, j].rewrite(sympy.exp)), entry)
            for text, i, j in (
                ("With $e^\\beta = 1 + q$ all entries are equal:", 0, 0),
                ("and", 0, 1),
                ("and", 1, 0),
                ("and", 1, 1),
            )
        ),
    )


@proves("j24-lower-bound", "j24_best")
def best_a() -> Proof:
    """The a at which J24's conditions ask least, and what they ask then."""
    a, k = sympy.symbols("a K", positive=True)
    product = a**k * (1 - a * (1 + T) ** 2)
    best, need = j24_best(3, T)
    asked = 2 * T / product.subs({k: 3, a: best})
    slope = sympy.simplify(sympy.diff(sympy.log(product), a).subs(a, k / ((k + 1) * (1 + T) ** 2)))
    return Proof(
        "j24-lower-bound",
        (
            _equal("Between 0 and $(1 + t)^{-2}$ the denominator of $b$ is largest where",
                   r"\tfrac{d}{da}\log", slope, Integer(0)),
            _equal("For $K = 3$ that is", "a", best, Rational(3, 4) / (1 + T) ** 2),
            _equal("and $b/(Nd)$ is there", r"\tfrac{b}{Nd}", sympy.simplify(asked), need),
        ),
    )  # fmt: skip


@proves("lambda-threshold", "threshold_rate", "two_token_mixer")
def approached() -> Proof:
    """The rate, and why no angle does better."""
    total = Symbol("s", positive=True)  # λ + m
    root = Symbol("w", positive=True)  # √(1 + q² + 2qC)
    m = Symbol("m", positive=True)
    M: Any = two_token_mixer(m, Q * total)
    rate = threshold_rate(total - m, m, Q * total)
    return Proof(
        "lambda-threshold",
        (
            _equal(
                "With $c = q(\\lambda + m)$ the second token is told", "M_{21}", M[1, 0], Q * total
            ),
            _equal("and both keep", r"M_{11} + \lambda", M[0, 0] + total - m, total),
            _equal("The rate:", "r", rate, 1 / (1 + Q)),
            _equal(
                "With $C = \\cos\\theta$ and $w^2 = 1 + q^2 + 2qC$ the claim is $w \\ge 1 + qC$:",
                r"w^2 - (1 + qC)^2",
                sympy.expand(1 + Q**2 + 2 * Q * COS - (1 + Q * COS) ** 2),
                sympy.expand(Q**2 * (1 - COS**2)),
            ),
            _equal(
                "since then $\\frac{1 + C}{C + q + w} \\le r$; what the one leaves of the other is",
                r"(C + q + w)r - (1 + C)",
                (COS + Q + root) * rate - (1 + COS),
                (root - 1 - Q * COS) / (1 + Q),
            ),
        ),
    )

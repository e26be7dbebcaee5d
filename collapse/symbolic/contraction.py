"""Proofs about attention without skips: the contraction, its iteration, and what evades it."""

from __future__ import annotations

import numpy as np
import sympy
from sympy import Eq, Expr, Gt, Integer, Symbol, cos, exp, tanh

from collapse.bounds.contraction import contraction_factor, diameter_recursion, double_exponential
from collapse.bounds.ladder import Sizes
from collapse.softmax import softmax
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses.contraction import causal_pair, extremal, rope_pair

BETA, NU, RHO = sympy.symbols("beta nu rho", positive=True)


def _equal(text: str, left: Expr, right: Expr, name: str) -> Step:
    """A confirmed equation, its left side shown by a name."""
    confirm(text, Eq((left - right).rewrite(exp).expand(), 0))
    return Step(text, Eq(Symbol(name), right, evaluate=False))


def _sizes(layers: int) -> Sizes:
    nu, beta = (np.array([[x]] * layers, dtype=object) for x in (NU, BETA))
    return Sizes(nu, nu[:, 0], beta)


@proves("contraction", "contraction_factor")
def equality() -> Proof:
    """Two tokens of width one contract by exactly the package's factor."""
    network, X = extremal(BETA, NU, RHO)
    P = network.attention_matrices(X, 0)[0]
    factor = contraction_factor(_sizes(1), 0, RHO, 2 * RHO)
    after = network(X)
    return Proof(
        "contraction",
        (
            _equal(
                "Each token of $X = (-\\rho, \\rho)^\\top$ attends to itself with weight",
                P[0, 0],
                1 / (1 + exp(-2 * BETA * RHO**2)),
                "P_{11}",
            ),
            _equal(
                "and to the other with",
                P[0, 1],
                1 / (1 + exp(2 * BETA * RHO**2)),
                "P_{12}",
            ),
            _equal(
                "The rows of attention are apart by",
                P[0, 0] - P[1, 0],
                tanh(BETA * RHO**2),
                r"\tau(P)",
            ),
            _equal(
                "The package's bound at $\\mathrm{diam} = 2\\rho$:",
                factor * 2 * RHO,
                2 * RHO * NU * tanh(BETA * RHO**2),
                r"K\,\mathrm{diam}(X)",
            ),
            _equal(
                "The output's diameter is the same:",
                after[1, 0] - after[0, 0],
                factor * 2 * RHO,
                r"\mathrm{diam}(A(X))",
            ),
        ),
    )


@proves("double-exponential", "contraction_factor", "double_exponential")
def iteration() -> Proof:
    """The closed form solves the cubic recursion, and the tanh recursion lies below it."""
    x, c, D = sympy.symbols("x c D_0", positive=True)
    layers = Symbol("L", integer=True, positive=True)
    steps = [
        _equal(
            "$x - \\tanh x$ vanishes at 0 and its slope is a square, so that $\\tanh x \\le x$:",
            sympy.diff(x - tanh(x), x),
            tanh(x) ** 2,
            r"(x - \tanh x)'",
        ),
        _equal(
            "With the argument in place of $\\tanh$ the package's factor is",
            contraction_factor(_sizes(1), 0, 0, x).replace(tanh, lambda y: y),
            NU * BETA * x**2 / 4,
            "K(x)",
        ),
        _equal("The closed form starts at", double_exponential(c, D, 0), D, "D_0"),
    ]
    for depth in range(3):
        before, after = (double_exponential(c, D, depth + k) for k in (0, 1))
        text = f"then $c D_{depth}^3$ is"
        steps.append(_equal(text, after, c * before**3, f"D_{depth + 1}"))
    steps.append(
        _equal(
            "In general the exponent of $c$ obeys",
            1 + 3 * (3**layers - 1) / 2,
            (3 ** (layers + 1) - 1) / 2,
            r"1 + 3\cdot\frac{3^L - 1}{2}",
        )
    )
    return Proof("double-exponential", tuple(steps))


@proves("double-exponential", "diameter_recursion")
def attained() -> Proof:
    """The extremal tokens keep their form, so every layer attains the recursion."""
    network, X = extremal(BETA, NU, RHO)
    first, second = network(X)[:, 0]
    (_, bound) = diameter_recursion(_sizes(1), 2 * RHO)
    return Proof(
        "double-exponential",
        (
            _equal("The first token moves to", first, -NU * RHO * tanh(BETA * RHO**2), "x_{1}'"),
            _equal("and the second to", second, NU * RHO * tanh(BETA * RHO**2), "x_{2}'"),
            _equal(
                "Half of the package's bound is the same:",
                bound / 2,
                NU * RHO * tanh(BETA * RHO**2),
                r"\tfrac12 D_1",
            ),
        ),
    )


@proves("contraction", "contraction_factor")
def causal_mask() -> Proof:
    """Under a causal mask near tokens come together by one half, not by their distance squared."""
    g = Symbol("g", positive=True)
    network, X = causal_pair(BETA, g)
    quotient = (network(X)[1, 0] - network(X)[0, 0]) / g
    plain = contraction_factor(_sizes(1), 0, 0, g).subs(NU, 1)
    return Proof(
        "contraction",
        (
            _equal(
                "Of tokens $0$ and $g$, the second attends to both, the first to itself. The"
                " distance shrinks by",
                quotient,
                1 / (1 + exp(-BETA * g**2)),
                "q",
            ),
            _equal(
                "which tends to",
                sympy.limit(quotient, g, 0),
                sympy.Rational(1, 2),
                r"\lim_{g\to0} q",
            ),
            _equal(
                "The unmasked factor $K$ falls like $g^2$ and is exceeded by any amount:",
                sympy.limit(quotient * g**2 / plain, g, 0),
                2 / BETA,
                r"\lim_{g\to0} g^2 q/K",
            ),
        ),
    )


@proves("rope-collapse", "rope_pair")
def equal_tokens() -> Proof:
    """Under RoPE two equal tokens have different rows of attention."""
    network, X = rope_pair(BETA, NU, Integer(0))
    P = network.attention_matrices(X, 0)[0]
    positive = Gt(1 - cos(Integer(1)), sympy.Rational(9, 20), evaluate=False)
    confirm("1 - cos 1 > 9/20", positive)
    return Proof(
        "rope-collapse",
        (
            _equal(
                "Two equal tokens of length 1: their rows of attention are apart by",
                P[0, 0] - P[1, 0],
                tanh(BETA * (1 - cos(1)) / 2),
                r"\tau(P)",
            ),
            Step("which is not zero, since", positive),
        ),
    )


@proves("centred-propagation", "softmax")
def difference_of_rows() -> Proof:
    """The formula for P_i − p, from the package's softmax on three tokens."""
    t = Symbol("t", positive=True)
    a, e = sympy.symbols("a1:4", real=True), sympy.symbols("e1:4", real=True)
    row = np.array([a], dtype=object)
    p = softmax(row)[0]
    P = softmax(row + t * np.array([e], dtype=object))[0]
    z = np.array([(exp(t * x) - 1) / t for x in e], dtype=object)
    mean = (p * z).sum()
    steps = [
        _equal(
            f"Entry {j + 1} of the difference, less its formula:",
            sympy.factor(P[j] - p[j] - t * p[j] * (z[j] - mean) / (1 + t * mean)),
            Integer(0),
            rf"P_{{i{j + 1}}} - p_{j + 1}"
            rf" - \frac{{t\,p_{j + 1}(z_{j + 1} - p\cdot z)}}{{1 + t\,p\cdot z}}",
        )
        for j in range(3)
    ]
    limit = sympy.limit(z[0], t, 0)
    steps.append(_equal("and $z$ stays finite as $t \\to 0$:", limit, e[0], "\\lim z_1"))
    return Proof("centred-propagation", tuple(steps))

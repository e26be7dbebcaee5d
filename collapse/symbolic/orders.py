r"""Proofs about the orders of the rungs and the closed forms of the floors.

The small network has two layers of one head on two tokens of width one, with a symbol for every
weight and token. Its forward pass is the package's own, expanded in η layer by layer: an error of
order :math:`\eta^5` in the tokens stays one, because every layer is analytic at η = 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import sympy
from sympy import Eq, Expr, Integer, Rational, Symbol, exp

from collapse.attention import Network
from collapse.bounds.floors import one_head_floor, one_layer_floor, one_layer_floor_with_biases
from collapse.bounds.leading import leading_coefficient
from collapse.exact import ExactNetwork
from collapse.rungs import surrogate
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses import layers as witnesses

ORDER = 4  # the highest power of η that is kept
ETA = Symbol("eta", positive=True)
T = Symbol("t", positive=True)
_TOKENS = sympy.symbols("x y", real=True)
_LOGITS = sympy.symbols("m_1 m_2", real=True)
_VALUES = sympy.symbols("v_1 v_2", real=True)


def taylor(f: Expr, order: int = ORDER) -> list[Expr]:
    r"""Taylor coefficients in η of a quotient of sums of exponentials.

    Args:
        f: Built from polynomials in η and exponentials of those divisible by :math:`\eta^2`.
        order: The last coefficient wanted, ≥ 0.

    Returns:
        The coefficients of :math:`\eta^0, \dots, \eta^{\text{order}}`.

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> taylor(1 / (1 - ETA), 2)
    [1, 1, 1]
    """
    terms = range(order // 2 + 1)
    polynomial = f.replace(exp, lambda x: sum(x**k / sympy.factorial(k) for k in terms))
    parts = (sympy.Poly(g, ETA) for g in sympy.fraction(sympy.together(polynomial)))
    top, bottom = ([g.coeff_monomial(ETA**k) for k in range(order + 1)] for g in parts)
    coefficients: list[Expr] = []
    for k in range(order + 1):  # long division
        known = sum((bottom[j] * coefficients[k - j] for j in range(1, k + 1)), Integer(0))
        coefficients.append(sympy.cancel((top[k] - known) / bottom[0]))
    return coefficients


def _truncated(X: np.ndarray) -> np.ndarray:
    def cut(f: Expr) -> Expr:
        return sum(c * ETA**k for k, c in enumerate(taylor(f)))

    return np.frompyfunc(cut, 1, 1)(X)


def _expanded(network: Network, X: np.ndarray) -> np.ndarray:
    """S(X) as polynomials in η."""
    for layer in range(network.depth):
        X = _truncated(network.layers(layer, layer + 1)(X))
    return X


def _column(*entries: Expr) -> np.ndarray:
    return np.array([[[[entry]]] for entry in entries], dtype=object)


@cache
def _small() -> tuple[ExactNetwork, np.ndarray, np.ndarray]:
    """The network with η = 1, its tokens, and S(X) for weights that are η times as large."""
    ones = _column(Integer(1), Integer(1))
    network = ExactNetwork(_column(*_LOGITS), ones, _column(*_VALUES))
    X = np.array([[x] for x in _TOKENS], dtype=object)
    return network, X, _expanded(witnesses.scaled(network, ETA), X)


def order_of(rung: int) -> Proof:
    r"""The error of a rung vanishes below order rung + 1 and starts with the leading coefficient.

    Args:
        rung: 0, 1, 2 or 3.

    Returns:
        The proof.

    Raises:
        AssertionError: If sympy does not confirm a step.

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> len(order_of(0).steps)
    2
    """
    network, X, after = _small()
    shallow = surrogate(witnesses.scaled(network, ETA), rung)
    error = after - _truncated(shallow(X))
    coefficients = [taylor(entry, rung + 1) for entry in error.flat]
    lower = sum((abs(c) for entry in coefficients for c in entry[:-1]), Integer(0))
    confirm("lower orders", Eq(lower, 0))
    expected = leading_coefficient(network, X, rung).flatten()
    for entry, leading in zip(coefficients, expected, strict=True):
        confirm("leading order", Eq(entry[-1], leading))
    vanish = Symbol(rf"[\eta^{{k}}]\,(S - S')_{{k \le {rung}}}")
    steps = (
        Step("Below the order both tokens agree, at every power:", Eq(vanish, 0, evaluate=False)),
        Step(
            f"At $\\eta^{rung + 1}$ both have the package's leading coefficient; for token 1 it is",
            Eq(Symbol("c_1"), _short(expected[0]), evaluate=False),
        ),
    )
    return Proof(f"rung-{rung}", steps)


def _short(term: Expr) -> Expr:
    """A factored polynomial whose factors are sorted by the logits' symbols."""
    factors = sympy.Mul.make_args(sympy.factor(term))
    return sympy.Mul(*(sympy.collect(factor, _LOGITS, sympy.factor) for factor in factors))


@proves("rung-0", "leading_coefficient")
def rung_0() -> Proof:
    """Order η."""
    return order_of(0)


@proves("rung-1", "leading_coefficient")
def rung_1() -> Proof:
    """Order η²."""
    return order_of(1)


@proves("rung-2", "leading_coefficient")
def rung_2() -> Proof:
    """Order η³."""
    return order_of(2)


@proves("rung-3", "leading_coefficient")
def rung_3() -> Proof:
    """Order η⁴."""
    return order_of(3)


def _named(text: str, name: str, value: Expr, expected: Expr) -> Step:
    confirm(text, Eq((value - expected).rewrite(exp), 0))
    return Step(text, Eq(Symbol(name), expected, evaluate=False))


@proves("one-layer-floor", "one_layer_floor")
def one_layer() -> Proof:
    """The gap of the deep network between two inputs that one layer confuses."""
    network, X = witnesses.one_layer_floor(ETA, T)
    first, second = X[..., 0]
    after = network(X)[:, 0, 0]
    floor = one_layer_floor(ETA, T)
    means = first.sum() / 3 - second.sum() / 3
    w, y = exp(-(ETA**3) * T**2 / 6), Symbol("w")
    fraction = (1 + 2 * w) / ((1 + 2 * w**2) * (2 + w))
    excess = Eq(3 * (1 + 2 * y) - (1 + 2 * y**2) * (2 + y), (1 - y) * (1 + 6 * y + 2 * y**2))
    confirm("a third", excess)
    steps = (
        _named("The inputs have one mean:", r"\bar x - \bar{\tilde x}", means, Integer(0)),
        _named(
            "Half the gap at the zero token is the package's floor:",
            r"\tfrac12(S(X) - S(\tilde X))_1",
            (after[0] - after[1]) / 2,
            floor,
        ),
        _named(
            "For small weights it is",
            r"\lim\ \mathrm{floor}/\eta^4",
            sympy.limit(floor / ETA**4, ETA, 0),
            T**3 / 36,
        ),
        _named(
            "In $w = 1/u$ the floor is $\\tfrac12\\eta t(1 - w)$ times a fraction:",
            r"\tfrac12\eta t\,\frac{(1 - w)(1 + 2w)}{(1 + 2w^2)(2 + w)} - \mathrm{floor}",
            ETA * T * (1 - w) * fraction / 2 - floor,
            Integer(0),
        ),
        Step("which exceeds a third, for $0 \\le w \\le 1$, because", excess),
    )
    return Proof("one-layer-floor", steps)


@proves("one-layer-floor", "one_layer_floor_with_biases")
def with_biases() -> Proof:
    """The second difference, which one layer cannot have."""
    network, X = witnesses.one_layer_floor_with_biases(ETA, T)
    double, single, nothing = network(X)[:, 0, 0]
    alike = network.replace(query=network.value, key=network.value)
    tops = [taylor(_expanded(alike, tokens)[0, 0])[ORDER] for tokens in X]
    floor = one_layer_floor_with_biases(ETA, T)
    steps = (
        _named(
            "A quarter of the second difference is the package's floor:",
            r"\tfrac14(S_{2A} - 2S_A + S_0)_1",
            (double - 2 * single + nothing) / 4,
            floor,
        ),
        _named(
            "For small weights it is",
            r"\lim\ \mathrm{floor}/\eta^4",
            sympy.limit(floor / ETA**4, ETA, 0),
            T**3 / 16,
        ),
        _named(
            "With $W_Q = W_K = \\eta$ in the first layer too, a quarter of the second difference"
            " starts with",
            r"[\eta^{4}]\,\tfrac14(S_{2A} - 2S_A + S_0)_1",
            (tops[0] - 2 * tops[1] + tops[2]) / 4,
            T**3 / 8,
        ),
    )
    return Proof("one-layer-floor", steps)


@proves("one-head-floor", "one_head_floor")
def one_head() -> Proof:
    """The pair of heads, and the best compromise of a single one."""
    network, X = witnesses.one_head_floor(ETA, T)
    moved = (network(X) - X)[:, 0]
    v, g = sympy.symbols("v g", positive=True)
    (best,) = sympy.solve(Eq(v * T / 2, g - v * T), v)
    floor = one_head_floor(ETA, T)
    steps = (
        _named("The zero token stays:", "(S(X) - X)_1", moved[0], Integer(0)),
        _named("The other moves by", "g", moved[1], 3 * floor),
        _named(
            "One head with value $v$ errs by $vt/2$ at the first token and at least $g - vt$ at the"
            " second. Both are equal at",
            "v",
            best,
            2 * g / (3 * T),
        ),
        _named("and then are", r"vt/2", best * T / 2, g / 3),
        _named(
            "For small weights the floor is",
            r"\lim\ \mathrm{floor}/\eta^3",
            sympy.limit(floor / ETA**3, ETA, 0),
            T**3 / 6,
        ),
    )
    return Proof("one-head-floor", steps)


@proves("as25-thm-5.3", "one_layer_floor")
def theorem() -> Proof:
    """Over all inputs the order η cannot be lowered: the floor per unit of input tends to η/4."""
    share = one_layer_floor(ETA, T) / T
    steps = (
        _named(
            "As the input grows, the floor per unit of it tends to",
            r"\lim_{t\to\infty}\ \mathrm{floor}/t",
            sympy.limit(share, T, sympy.oo),
            ETA * Rational(1, 4),
        ),
    )
    return Proof("as25-thm-5.3", steps)

"""Proofs of the rules that ρ obeys: as a seminorm, at any centre, under matrices on either side.

As in the proofs about Res, what cannot be negative is written with symbols that sympy knows not to
be, and the constants come from the package's own functions.
"""

from __future__ import annotations

import numpy as np
import sympy
from sympy import Eq, Expr, Symbol

from collapse.norms import (
    diameter,
    dobrushin,
    residual,
    residual_lipschitz,
    residual_norm,
    value_norm,
)
from collapse.numeric import exact
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses import res as witnesses

P, Q, R, S, T = sympy.symbols("p q r s t", nonnegative=True)
RHO, SIGMA, C = sympy.symbols("rho sigma c", positive=True)
LOW, SHIFT = sympy.symbols("m y", real=True)
WEIGHTS = sympy.symbols("w_1:4", positive=True)


def _equal(text: str, shown: str, value: Expr, expected: Expr) -> Step:
    """A confirmed value, displayed as the equation ``shown`` = ``expected``."""
    confirm(text, Eq(value - expected, 0))
    return Step(text, Eq(Symbol(f"{{{shown}}}"), expected, evaluate=False))


def _slack(text: str, shown: str, slack: Expr, expected: Expr) -> Step:
    """A confirmed slack that cannot be negative."""
    confirm(text, expected >= 0)
    return _equal(text, shown, slack, expected)


@proves("as25-res", "residual")
def reviews() -> Proof:
    """The midrange reproduces the numbers of both reviews; mean and median do not."""
    pairs = witnesses.lemma_4_1()
    centres = {
        "mean": lambda X: X - X.sum() / len(X),
        "median": lambda X: X - sorted(X.ravel())[len(X) // 2],
        "midrange": residual,
    }
    numbers = {"mean": ("4/3", "10/3"), "median": (2, 6), "midrange": (2, 5)}
    steps = []
    for name, centred in centres.items():
        for k, ((A, B), expected) in enumerate(zip(pairs, numbers[name], strict=True), start=1):
            gap = sympy.Rational(str(abs(centred(A) - centred(B)).max()))
            steps.append(
                _equal(
                    f"Pair {k}, centred at the {name}:",
                    r"\lVert A' - B'\rVert_\infty",
                    gap,
                    sympy.Rational(expected),
                )
            )
    return Proof("as25-res", tuple(steps))


@proves("res-seminorm", "residual_norm", "residual")
def seminorm() -> Proof:
    """Factor, sum and shift, and Res twice, on a column with three symbolic entries."""
    column = exact([[LOW], [LOW + P], [LOW + P + Q]])
    half = (P + Q) / 2
    steps = [
        _equal(
            "A column has the entries $m \\le m + p \\le m + p + q$:",
            r"\rho(x)",
            residual_norm(column),
            half,
        ),
        _equal("Times a number $c > 0$:", r"\rho(cx)", residual_norm(C * column), C * half),
        _equal("times $-c$:", r"\rho(-cx)", residual_norm(-C * column), C * half),
        _equal(
            "Shifted by $y$:",
            r"\rho(x + \mathbf 1y)",
            residual_norm(column + SHIFT),
            half,
        ),
        _slack(
            "In a column of $X + Y$ two entries differ by $2\\rho(X) - p$ from the one and"
            " $2\\rho(Y) - q$ from the other, with $p, q \\ge 0$. Below the sum remains",
            r"\text{slack}",
            RHO + SIGMA - ((2 * RHO - P) + (2 * SIGMA - Q)) / 2,
            (P + Q) / 2,
        ),
    ]
    once, twice = residual(column), residual(residual(column))
    for name, one, two in zip(("bottom", "middle", "top"), once.flat, twice.flat, strict=True):
        text = f"Res twice, the {name} entry:"
        steps.append(_equal(text, r"(\mathrm{Res}\,\mathrm{Res}\,x)_i", two, sympy.expand(one)))
    return Proof("res-seminorm", tuple(steps))


@proves("res-any-centre", "residual_lipschitz")
def some_step() -> Proof:
    """Over a walk of n steps that adds up to a shift, some step moves an entry far enough."""
    for tokens in range(2, 9):
        walk = witnesses.walk(tokens)
        confirm(f"n = {tokens}, end:", Eq(abs(walk[-1] - walk[0] - (tokens - 2)).max(), 0))
        for k, (before, after) in enumerate(zip(walk, walk[1:], strict=False)):
            confirm(f"n = {tokens}, size of step {k}:", Eq(abs(after - before).max(), 1))
            confirm(f"n = {tokens}, entry {k}:", Eq((after - before)[k, 0], -1))
    n = Symbol("n", integer=True, positive=True)
    rise = (n - 2) / n
    return Proof(
        "res-any-centre",
        (
            _equal(
                "The centre rises by $n - 2$ over $n$ steps, so the least that the largest rise can"
                " be is",
                r"\text{rise}",
                rise,
                1 - 2 / n,
            ),
            _slack(
                "In a step in which it rises by $1 - 2/n + r$, with $r \\ge 0$, an entry falls by"
                " 1. The constant is exceeded by",
                r"1 + \text{rise} - 2(1 - \tfrac1n)",
                1 + rise + R - residual_lipschitz(n, "mean"),
                R,
            ),
        ),
    )


@proves("res-right", "value_norm", "residual_norm")
def features() -> Proof:
    """A column of W with any signs: what two tokens can differ by, and tokens that do."""
    signs = (1, -1, 1)
    W = np.array([[s * w] for s, w in zip(signs, WEIGHTS, strict=True)], dtype=object)
    slacks = (P, Q, R)
    gap = sum(
        (s * w * s * (2 * RHO - x) for s, w, x in zip(signs, WEIGHTS, slacks, strict=True)),
        sympy.Integer(0),
    )
    X = witnesses.stretched(W)
    total = sum(WEIGHTS, sympy.Integer(0))
    rest = sum((w * x for w, x in zip(WEIGHTS, slacks, strict=True)), sympy.Integer(0))
    return Proof(
        "res-right",
        (
            _equal("A column of $W$ is $(w_1, -w_2, w_3)^\\top$:", r"\nu", value_norm(W), total),
            _slack(
                "Two tokens differ by $2\\rho - p$, $-2\\rho + q$ and $2\\rho - r$, whose signs are"
                " the worst. Below the bound on their images remains",
                r"2\rho\,\nu - (xW - x'W)",
                2 * RHO * value_norm(W) - gap,
                rest,
            ),
            _equal("The tokens of signs have", r"\rho(X)", residual_norm(X), sympy.Integer(1)),
            _equal("and their images", r"\rho(XW)", residual_norm(X @ W), total),
        ),
    )


@proves("res-left", "dobrushin", "diameter")
def mixing() -> Proof:
    """Two rows that differ by s and t: what they make of any tokens, and tokens they keep apart."""
    a, b, c = sympy.symbols("a b c", nonnegative=True)
    D = Symbol("D", positive=True)
    rows = np.array([[a + S + T, b, c], [a, b + S, c + T]], dtype=object)
    tokens = np.array([LOW + D - P, LOW + Q, LOW + R], dtype=object)
    signs = exact([[1], [-1], [-1]]) / 2
    return Proof(
        "res-left",
        (
            _equal(
                "The rows $(a + s + t, b, c)$ and $(a, b + s, c + t)$ have",
                r"\tau",
                dobrushin(rows),
                S + T,
            ),
            _slack(
                "Along any direction the tokens lie in an interval $[m, m + D]$, at $m + D - p$,"
                " $m + q$ and $m + r$. Below the bound remains",
                r"\tau D - (P_1 - P_2)X",
                dobrushin(rows) * D - (rows[0] - rows[1]) @ tokens,
                (S + T) * P + S * Q + T * R,
            ),
            _equal(
                "The tokens $\\tfrac12, -\\tfrac12, -\\tfrac12$ have",
                r"\mathrm{diam}(X)",
                diameter(signs),
                sympy.Integer(1),
            ),
            _equal(
                "and where every row has the sum 1, that is $a + b + c = 1 - s - t$, their images",
                r"\mathrm{diam}(PX)",
                diameter(rows @ signs),
                S + T,
            ),
        ),
    )

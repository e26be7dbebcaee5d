r"""Proofs about the Res function: its constants and those of its neighbours.

A move of at most ε is written as ε - p or -ε + q with p, q ≥ 0, so that the slack of a bound is a
sum of terms which sympy knows cannot be negative. The constants come from the package's own
functions: a wrong one is refused here.
"""

from __future__ import annotations

import sympy
from sympy import Eq, Expr, Symbol

from collapse.norms import (
    diameter,
    mean_residual_norm,
    measure_dictionary,
    residual,
    residual_lipschitz,
    residual_norm,
)
from collapse.numeric import exact
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses import res as witnesses

EPSILON = Symbol("varepsilon", positive=True)
RHO = Symbol("rho", positive=True)
P, Q, R = sympy.symbols("p q r", nonnegative=True)


def _equal(text: str, shown: str, value: Expr, expected: Expr) -> Step:
    """A confirmed value, displayed as the equation ``shown`` = ``expected``."""
    confirm(text, Eq(value - expected, 0))
    return Step(text, Eq(Symbol(f"{{{shown}}}"), expected))


def _slack(text: str, shown: str, slack: Expr, expected: Expr) -> Step:
    """A confirmed slack that cannot be negative."""
    confirm(text, expected >= 0)
    return _equal(text, shown, slack, expected)


@proves("res-formula", "residual", "residual_norm", "diameter")
def midrange_is_best() -> Proof:
    """No centre is closer to a column than its midrange, which is half the range away."""
    low, y = sympy.symbols("m y", real=True)
    column = exact([[low], [low + P], [low + P + Q]])
    top, bottom = column[2, 0] - y, y - column[0, 0]
    bottom_after, _, top_after = residual(column).ravel()
    half = residual_norm(column)
    return Proof(
        "res-formula",
        (
            _equal(
                "A column has the entries $m \\le m + p \\le m + p + q$. Whatever the centre $y$,"
                " the signed distances of the two ends add up to the range, so one is at least half"
                " of it:",
                r"(m + p + q - y) + (y - m)",
                top + bottom,
                2 * half,
            ),
            _equal(
                "Res puts the top of the column at",
                r"\max_i (\mathrm{Res}\,x)_i",
                top_after,
                (P + Q) / 2,
            ),
            _equal("and the bottom at", r"\min_i (\mathrm{Res}\,x)_i", bottom_after, -(P + Q) / 2),
            _equal("so half the range is reached:", r"\rho", half, (P + Q) / 2),
            _equal(
                "the diameter is twice that:", r"\mathrm{diam}_\infty", diameter(column), 2 * half
            ),
        ),
    )


@proves("as25-lem-4.1", "residual", "residual_lipschitz")
def refutation() -> Proof:
    """Two columns at distance ε whose residuals are 2ε apart, for every ε > 0 and n = 3, …, 8."""
    for n in range(3, 9):
        A, B = (EPSILON * X for X in witnesses.lipschitz(n))
        distance = sympy.Max(*abs(A - B).ravel())
        gap = sympy.Max(*abs(residual(A) - residual(B)).ravel())
        confirm(f"n = {n}: the lemma asks for the opposite of", gap > distance)
        confirm(f"n = {n}, distance:", Eq(distance, EPSILON))
        confirm(f"n = {n}, distance of the residuals:", Eq(gap, residual_lipschitz(n) * EPSILON))
    return Proof(
        "as25-lem-4.1",
        (
            _equal("For $n = 3, \\dots, 8$:", r"\lVert A - B\rVert_\infty", distance, EPSILON),
            _equal(
                "but",
                r"\lVert\mathrm{Res}\,A - \mathrm{Res}\,B\rVert_\infty",
                gap,
                2 * EPSILON,
            ),
        ),
    )


@proves("res-lipschitz", "residual_lipschitz")
def midrange_constant() -> Proof:
    """Moves of at most ε shift an entry against the midrange by at most 2ε; by ε for n = 2."""
    w, u, v = EPSILON - P, Q - EPSILON, R - EPSILON  # an entry, the maximum, the minimum
    pair = EPSILON - P, Q - EPSILON  # the moves of two tokens
    return Proof(
        "res-lipschitz",
        (
            _slack(
                "$n \\ge 3$. An entry moves by $w = \\varepsilon - p$, the maximum of the column by"
                " $u = -\\varepsilon + q$, the minimum by $v = -\\varepsilon + r$, where"
                " $p, q, r \\ge 0$ (for the opposite direction change all signs). Below the bound"
                " remains",
                r"c_n\varepsilon - (w - \frac{u + v}{2})",
                residual_lipschitz(3) * EPSILON - (w - (u + v) / 2),
                P + Q / 2 + R / 2,
            ),
            _slack(
                "$n = 2$. The two tokens move by $\\varepsilon - p$ and $-\\varepsilon + q$, the"
                " midrange by the mean of the two. Below the bound remains",
                r"c_2\varepsilon - (u - \frac{u + v}{2})",
                residual_lipschitz(2) * EPSILON - (pair[0] - sum(pair) / 2),
                P / 2 + Q / 2,
            ),
        ),
    )


@proves("res-lipschitz", "residual_lipschitz")
def mean_constant() -> Proof:
    """Centring at the mean has the constant 2(n-1)/n, and no other centre has a smaller one."""
    n = Symbol("n", integer=True, positive=True)
    bound = residual_lipschitz(n, "mean") * EPSILON
    w, others = EPSILON - P, Q - (n - 1) * EPSILON
    moved = w - (w + others) / n
    return Proof(
        "res-lipschitz",
        (
            _slack(
                "Any $n$. An entry moves by $w = \\varepsilon - p$, the others by"
                " $s = -(n - 1)\\varepsilon + q$ in total, the mean by $(w + s)/n$. Below the bound"
                " remains",
                r"c\,\varepsilon - (w - \frac{w + s}{n})",
                bound - moved,
                (n - 1) * P / n + Q / n,
            ),
            _equal(
                "It is attained at $p = q = 0$:",
                r"w - \frac{w + s}{n}",
                moved.subs({P: 0, Q: 0}),
                2 * (n - 1) * EPSILON / n,
            ),
            _equal(
                "The step against any other centre, one entry down by $\\varepsilon$ and the centre"
                " up by $(n - 2)\\varepsilon/n$, reaches the same:",
                r"\varepsilon + \frac{n - 2}{n}\varepsilon",
                EPSILON + (n - 2) * EPSILON / n,
                bound,
            ),
        ),
    )


@proves("res-norm-lipschitz", "residual_norm")
def norm_constant() -> Proof:
    """The difference of two entries of a column changes by at most 2ε; attained."""
    u, v = EPSILON - P, Q - EPSILON
    column = exact([[EPSILON], [-EPSILON]])
    moved = residual_norm(column) - residual_norm(0 * column)
    return Proof(
        "res-norm-lipschitz",
        (
            _slack(
                "Two tokens move by $u = \\varepsilon - p$ and $v = -\\varepsilon + q$ in a column."
                " Half their difference then grows by $\\varepsilon$ or less. Below the bound"
                " remains",
                r"\varepsilon - \frac{u - v}{2}",
                EPSILON - (u - v) / 2,
                P / 2 + Q / 2,
            ),
            _equal(
                "Attained by $A = (\\varepsilon, -\\varepsilon)^\\top$ and $B = 0$:",
                r"\rho(A) - \rho(B)",
                moved,
                EPSILON,
            ),
        ),
    )


@proves("metric-dictionary", "measure_dictionary", "mean_residual_norm")
def dictionary_constants() -> Proof:
    """Least and largest sum of squares about the mean of a column with entries in [-ρ, ρ]."""
    n, m, d, k = sympy.symbols("n m d k", integer=True, positive=True)
    a, mean = sympy.symbols("a xbar", real=True)
    lower, upper = measure_dictionary(2 * m, d)
    upper_odd = measure_dictionary(2 * m + 1, d)[1]
    b = a - 2 * RHO
    centre = RHO * (2 * k - n) / n
    split = sympy.factor(k * (RHO - centre) ** 2 + (n - k) * (-RHO - centre) ** 2)
    least, largest = (
        mean_residual_norm(exact((RHO * X).tolist())) for X in witnesses.dictionary(3, 2)
    )
    three = measure_dictionary(3 + 0 * n, 2 + 0 * n)
    return Proof(
        "metric-dictionary",
        (
            _slack(
                "Below. Some column has ends $a$ and $b = a - 2\\rho$. What they contribute to"
                " $\\mu^2$ exceeds the square of the bound by",
                r"(a - \bar x)^2 + (b - \bar x)^2 - 2\rho^2",
                (a - mean) ** 2 + (b - mean) ** 2 - (lower * RHO) ** 2,
                2 * (a - RHO - mean) ** 2,
            ),
            _equal(
                "Above. Squares are convex, so the worst column has entries $\\pm\\rho$ only; with"
                " $k$ of them positive it contributes",
                r"\sum_i (x_i - \bar x)^2",
                split,
                4 * RHO**2 * k * (n - k) / n,
            ),
            _equal(
                "For $n = 2m$ that stays below the share $1/d$ of the bound's square by",
                r"\text{slack}",
                (upper * RHO) ** 2 / d - split.subs(n, 2 * m),
                2 * RHO**2 * (m - k) ** 2 / m,
            ),
            _equal(
                "and for $n = 2m + 1$ by a product of neighbouring integers, never negative:",
                r"\text{slack}",
                (upper_odd * RHO) ** 2 / d - split.subs(n, 2 * m + 1),
                4 * RHO**2 * (m - k) * (m - k + 1) / (2 * m + 1),
            ),
            _equal("Attained below, $n = 3$, $d = 2$:", r"\mu", least, three[0] * RHO),
            _equal("and above:", r"\mu", largest, three[1] * RHO),
        ),
    )

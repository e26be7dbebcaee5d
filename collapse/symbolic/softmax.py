r"""Proofs about a row of softmax under a θ-balanced perturbation.

Steps are shown in θ and confirmed at :math:`\theta = 2\log(1 + u)`, u > 0, which covers every
θ > 0: the package's formulas then become rational in u, so that sympy decides signs as well as
identities.
"""

from __future__ import annotations

import numpy as np
import sympy
from sympy import Eq, Expr, Gt, Integer, Rational, Symbol, exp, log, tanh

from collapse.softmax import (
    entry_bound,
    extremal_pair,
    ratio_bound,
    retrieval_threshold,
    softmax,
    total_variation,
    tv_bounds,
    uniform_tv_bound,
)
from collapse.symbolic.proof import Proof, Step, confirm, proves

THETA = Symbol("theta", positive=True)
_GROWTH = exp(THETA)
_U = Symbol("u", positive=True)
_A = Symbol("a", positive=True)
_Q = Symbol("q", positive=True)
_R = Symbol("r", positive=True)
_HALF = Rational(1, 2)


def _rational(claim: Expr) -> Expr:
    """The expression at θ = 2 log(1 + u)."""
    there = sympy.sympify(claim).subs(THETA, 2 * log(1 + _U))
    return sympy.factor(there.replace(tanh, lambda x: tanh(x).rewrite(exp)).doit().simplify())


def _equal(text: str, left: Expr, right: Expr, name: str = "") -> Step:
    """A confirmed equation; where the left side has a name, the name is shown."""
    confirm(text, Eq(_rational(left - right), 0))
    return Step(text, Eq(Symbol(name) if name else left, right, evaluate=False))


def _positive(text: str, value: Expr, name: str = "") -> Step:
    confirm(text, Gt(_rational(value), 0))
    return Step(text, Gt(Symbol(name) if name else value, 0, evaluate=False))


def _shift(q: Expr, theta: Expr) -> Expr:
    """The change of an entry q when its own logit gains θ, by the package's softmax."""
    A = np.array([[log(q), log(1 - q)]], dtype=object)
    E = np.array([[theta, 0 * theta]], dtype=object)
    return sympy.factor((softmax(A + E) - softmax(A))[0, 0])


@proves("softmax-ratio", "ratio_bound")
def ratio() -> Proof:
    """The factors e^θ and e^{−θ} are approached on an entry that tends to 0."""
    grown, shrunk = (1 + _shift(_Q, sign * THETA) / _Q for sign in (1, -1))
    steps = (
        _equal(
            "Raise the logit of an entry $q$ alone:",
            grown,
            _GROWTH / (1 + _Q * (_GROWTH - 1)),
            "P'/P",
        ),
        _equal(
            "Its limit as $q \\to 0$:",
            sympy.limit(grown, _Q, 0),
            1 + ratio_bound(THETA),
            "\\lim P'/P",
        ),
        _equal("Lower it instead:", sympy.limit(shrunk, _Q, 0), exp(-THETA), "\\lim P'/P"),
    )
    return Proof("softmax-ratio", steps)


@proves("softmax-tv", "tv_bounds")
def optimum() -> Proof:
    """The chord bound f(a), its only maximum, and the value tanh(θ/4) there."""
    chord = (_R - _A) / (_GROWTH * _A - _A) * (_GROWTH * _A - 1)
    f = chord.subs(_R, 1)
    (best,) = sympy.solve(_rational(sympy.diff(f, _A)), _A)
    steps = (
        _equal(
            "Between $1$ and $e^\\theta a$ the chord lies above $r - 1$, because",
            chord - (_R - 1),
            (1 - _A) * (_GROWTH * _A - _R) / (_A * (_GROWTH - 1)),
            r"\mathrm{chord}(r) - (r - 1)",
        ),
        _equal(
            "Its value at the mean $r = 1$:",
            f,
            (_GROWTH + 1 - _GROWTH * _A - 1 / _A) / (_GROWTH - 1),
            "f(a)",
        ),
        _positive("It is strictly concave, $-f''(a)$ being", sympy.factor(-sympy.diff(f, _A, 2))),
        _equal("The zero of $f'$, found by solving:", best, exp(-THETA / 2), "a^{*}"),
        _equal(
            "The maximum:", f.subs(_A, exp(-THETA / 2)), tv_bounds(THETA)["sharp"], r"f(a^{\ast})"
        ),
    )
    return Proof("softmax-tv", steps)


@proves("softmax-tv", "extremal_pair", "tv_bounds")
def equality() -> Proof:
    """The mass of the larger of two ratios, and the package's pair that attains the bound."""
    ratios = exp(-THETA / 2), exp(THETA / 2)
    (mass,) = sympy.solve(_rational(_Q * ratios[1] + (1 - _Q) * ratios[0] - 1), _Q)
    A, E = extremal_pair(2 * log(1 + _U))
    P, after = softmax(A), softmax(A + E)
    steps = (
        _equal(
            "Ratios $e^{-\\theta/2}$ and $e^{\\theta/2}$ have mean 1 when the larger has the mass",
            mass,
            1 / (1 + ratios[1]),
            r"q^{\ast}",
        ),
        _equal("The package's pair starts at that mass:", P[0, 0], 1 / (1 + ratios[1]), "P_1"),
        _equal("moves it to", after[0, 0], ratios[1] / (1 + ratios[1]), "P'_1"),
        _equal(
            "and covers the distance",
            total_variation(P, after)[0],
            tv_bounds(THETA)["sharp"],
            r"\mathrm{TV}(P, P')",
        ),
    )
    return Proof("softmax-tv", steps)


@proves("softmax-entry", "entry_bound", "tv_bounds")
def entry() -> Proof:
    """An entry rises and falls by the two forms; the larger is the package's bound."""
    gain = _GROWTH - 1
    rise = _Q * (1 - _Q) * gain / (1 + _Q * gain)
    fall = _Q * (1 - _Q) * gain / (1 + (1 - _Q) * gain)
    peak = 1 / (1 + exp(THETA / 2))
    v = Symbol("v", positive=True)
    sides = [  # 1/(2 + v) runs through all entries below a half, (1 + v)/(2 + v) above it
        entry_bound(side, THETA) - form.subs(_Q, side)
        for side, form in ((1 / (2 + v), rise), ((1 + v) / (2 + v), fall))
    ]
    nothing = Integer(0)
    steps = (
        _equal("Raise the logit of an entry $q$ by $\\theta$:", _shift(_Q, THETA), rise, "P' - P"),
        _equal("Lower it by $\\theta$:", -_shift(_Q, -THETA), fall, "P - P'"),
        _equal(
            "At $q^{\\ast} = 1/(1 + e^{\\theta/2})$ the rise is stationary:",
            sympy.diff(rise, _Q).subs(_Q, peak),
            nothing,
            r"\mathrm{rise}'(q^{\ast})",
        ),
        _equal(
            "and is", rise.subs(_Q, peak), tv_bounds(THETA)["sharp"], r"\mathrm{rise}(q^{\ast})"
        ),
        _equal(
            "For $q < 1/2$ the package gives the rise:",
            sides[0],
            nothing,
            r"\mathrm{bound} - \mathrm{rise}",
        ),
        _equal(
            "For $q > 1/2$ it gives the fall:", sides[1], nothing, r"\mathrm{bound} - \mathrm{fall}"
        ),
    )
    return Proof("softmax-entry", steps)


@proves("softmax-entry")
def one_sided_form() -> Proof:
    """The rise alone is no bound: an exact counterexample at q = 9/10, θ = log 9."""
    q, theta = Rational(9, 10), log(9)
    moved, claimed = -_shift(q, -theta), _shift(q, theta)
    steps = (
        _equal("At $q = 9/10$, $\\theta = \\log 9$ the entry falls by", moved, moved, "P - P'"),
        _equal("while the form for rising is only", claimed, claimed, r"\mathrm{rise}(q)"),
        _positive("so that it is exceeded by", moved - claimed),
    )
    return Proof("softmax-entry", steps)


@proves("softmax-compare", "tv_bounds")
def order() -> Proof:
    """The order of the bounds, by the sign of derivatives; all vanish at θ = 0."""
    bounds = tv_bounds(THETA)
    rates = {name: sympy.diff(bounds[name] - bounds["linear"], THETA) for name in ("as25", "d21")}
    steps = (
        _equal(
            "The tangent leaves the sharp bound at the rate",
            sympy.diff(bounds["linear"] - bounds["sharp"], THETA),
            tanh(THETA / 4) ** 2 / 4,
            r"\left(\theta/4 - \tanh(\theta/4)\right)'",
        ),
        _positive("which is positive:", tanh(THETA / 4) ** 2 / 4),
        _positive("$(e^\\theta - 1)/2$ leaves the tangent at the rate", rates["as25"]),
        _positive("and $\\theta$ at the rate", rates["d21"]),
        _equal(
            "Moving a subset of mass $q$ against the rest, the Jacobian has norm $4q(1-q) \\le 1$:",
            1 - 4 * _Q * (1 - _Q),
            (1 - 2 * _Q) ** 2,
        ),
    )
    return Proof("softmax-compare", steps)


@proves("softmax-compare", "d21_limit")
def range_of_d21() -> Proof:
    """The slack of e^x ≤ 1 + 2x rises from zero, is concave, and vanishes again at d21_limit."""
    x, w = Symbol("x", real=True), Symbol("w", negative=True)
    slack, root = 1 + 2 * x - exp(x), d21_limit()
    (branch,) = root.atoms(sympy.LambertW)
    # The branch is the number w < -1 with w e^w = -e^(-1/2)/2.
    again = slack.subs(x, root.subs(branch, w)).expand().subs(exp(-_HALF), -2 * w * exp(w))
    steps = (
        _equal(
            "At $x = 0$ the slack of $e^x \\le 1 + 2x$ is", slack.subs(x, 0), Integer(0), "h(0)"
        ),
        _equal("its slope is", sympy.diff(slack, x).subs(x, 0), Integer(1), "h'(0)"),
        _positive("it is concave, $-h''$ being", -sympy.diff(slack, x, 2)),
        _equal("and vanishes again,", again, Integer(0), "h(x^{*})"),
        Step("at", Eq(Symbol("x^{*}"), root, evaluate=False)),
    )
    return Proof("softmax-compare", steps)


def d21_limit() -> Expr:
    """The root x > 0 of e^x = 1 + 2x, up to which D21's entrywise form is proved.

    Returns:
        An exact sympy number.

    Source:
        softmax-compare

    >>> round(float(d21_limit()), 4)
    1.2564
    """
    return -_HALF - sympy.LambertW(-exp(-_HALF) / 2, -1)


@proves("uniform-tv", "uniform_tv_bound")
def few_tokens() -> Proof:
    """The largest distance from uniform attention on two and on three tokens, and its limit."""
    n = Symbol("n", positive=True)
    one, two = (_shift(Rational(k, 3), THETA) for k in (1, 2))
    alone = sympy.limit(_shift(1 / n, 2 * log(1 + _U)), _U, sympy.oo)
    steps = (
        _equal("Two tokens:", uniform_tv_bound(THETA, 2), tanh(THETA / 2) / 2, r"\mathrm{TV}"),
        _positive(
            "Of three tokens, raising one beats raising two:",
            one - two,
            r"\mathrm{rise}(1/3) - \mathrm{rise}(2/3)",
        ),
        _equal("and reaches", one, 2 * (_GROWTH - 1) / (3 * (_GROWTH + 2)), r"\mathrm{rise}(1/3)"),
        _equal(
            "One of $n$ tokens, $\\theta \\to \\infty$:",
            alone,
            1 - 1 / n,
            r"\lim\,\mathrm{rise}(1/n)",
        ),
    )
    return Proof("uniform-tv", steps)


@proves("retrieval", "retrieval_threshold")
def threshold() -> Proof:
    """At the threshold two levels put exactly 1 − δ on s of m tokens; then AS23's scale."""
    s, others = Symbol("s", positive=True), Symbol("r", positive=True)
    delta, B = Symbol("delta", positive=True), Symbol("B", positive=True)
    odds = s * exp(retrieval_threshold(s + others, delta, s)) / others
    (scale,) = sympy.solve(Eq(2 * B**2, THETA), B)
    steps = (
        _equal(
            "At the threshold, the odds of $s$ tokens against $m - s$ others:",
            odds,
            (1 - delta) / delta,
            r"\mathrm{odds}",
        ),
        _equal("The mass that they make:", odds / (1 + odds), 1 - delta, r"\mathrm{mass}"),
        _equal(
            "Entries in $[-B, B]$ give $\\theta = 2B^2$ at best:", scale, sympy.sqrt(THETA / 2), "B"
        ),
    )
    return Proof("retrieval", steps)

"""Proofs about normalised rows: projections, equilibria, the two tokens, orders of error."""

from __future__ import annotations

import numpy as np
import sympy
from sympy import Eq, Integer, Rational, Symbol, coth, exp, sinh, sqrt, symbols, tanh

from collapse.bounds.equilibria import (
    equilibrium_multipliers,
    symmetric_multiplier,
    two_token_multipliers,
    two_token_preimage,
    two_token_step,
)
from collapse.bounds.ladder import Sizes
from collapse.bounds.masked import centre_factors
from collapse.bounds.normalised import (
    postln_causal_floor,
    postln_collapse,
    preln_collapse,
    projected_weight,
    stretched_factor,
    turned,
)
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses.layernorm import equilibrium, postln_swap, two_tokens

B, ETA, W = symbols("b eta w", positive=True)


@proves("ln-orthogonal", "projected_weight", "centre_factors")
def averages_again() -> Proof:
    """Normalised averages are averages of the projections; what two tokens attain; N contracts."""
    p, c1, c2, y1, y2, eps, c = symbols("p c_1 c_2 y_1 y_2 varepsilon c", positive=True)
    share = p * c1 / (p * c1 + (1 - p) * c2)
    mean = (p * c1 * y1 + (1 - p) * c2 * y2) / (p * c1 + (1 - p) * c2)
    weight = projected_weight(eps, c)
    (_, factor) = centre_factors([weight], 1, 1)
    # Token 1 sees itself alone and is at height c; token 2 pays it ε and is at height 1.
    after = mean.subs({p: eps, c1: c, c2: 1})
    s, other, angle = symbols("s s' theta", positive=True)
    apart = s**2 + other**2 - 2 * s * other * sympy.cos(angle)
    unit = 2 - 2 * sympy.cos(angle)
    return Proof(
        "ln-orthogonal",
        (
            confirm(
                "The projection of an average with weights $p$, $1 - p$ of tokens $c_jy_j$ is an"
                " average of the $y_j$:",
                Eq(mean, share * y1 + (1 - share) * y2),
            ),
            confirm(
                "Where the centre is at height $c$, has the weight $\\varepsilon$ and stays, the"
                " distance shrinks by exactly the package's factor:",
                Eq((after - y1) / (y2 - y1), factor),
            ),
            confirm(
                "For $s = \\lVert y\\rVert$ and $s' = \\lVert y'\\rVert$, both at least 1,"
                " normalising brings $y$ and $y'$ nearer by a sum of two terms $\\ge 0$:",
                Eq(apart - unit, (s - other) ** 2 + (s * other - 1) * unit),
            ),
        ),
    )


@proves("ln-contraction", "stretched_factor")
def met_with_equality() -> Proof:
    """At the equilibrium of two groups the factor is one, for every b."""
    network, _ = equilibrium([1, 1], B)
    V = network.value[0, 0]
    along, across = V[0, 0] + V[0, 1], V[0, 0] - V[0, 1]
    text = "$V$ has the singular values 1, along $(1, 1)$, and"
    confirm(text, Eq((along - 1).rewrite(exp), 0))
    confirm(text, Eq((across - coth(B / 2)).rewrite(exp), 0))
    factor = stretched_factor(B, sqrt(2), across)
    last = "With $\\beta = b$ and $\\operatorname{diam}_2 = \\sqrt2$ the factor is"
    confirm(last, Eq((factor - 1).rewrite(exp), 0))
    shown = Eq(coth(B / 2) * tanh(B / 2), 1, evaluate=False)
    return Proof(
        "ln-contraction",
        (Step(text, Eq(Symbol("sigma"), coth(B / 2))), Step(last, shown)),
    )


@proves("ln-equilibria", "symmetric_multiplier", "equilibrium_multipliers")
def held_and_repelled() -> Proof:
    """Fixed points for small groups; the symmetric mode for every k; all modes for k = 2."""
    held = []
    for groups in ((1, 1), (2, 1), (1, 1, 1), (2, 1, 1)):
        network, X = equilibrium(groups, B)
        moved = network.replace(norm=None)(X) - X
        text = f"For groups of sizes {groups} attention and $V$ give the tokens back:"
        largest = sum(sympy.simplify(entry) ** 2 for entry in moved.ravel())
        confirm(text, Eq(largest, 0))
        held.append(Step(text, Eq(Symbol(r"\lVert PXV - X\rVert^2"), largest, evaluate=False)))
    k = Symbol("k", positive=True)
    s, z = symbols("s z", positive=True)
    # Tokens u_g + s Σ u_h and their attention commute with all permutations of the groups: each
    # is a multiple of I plus one of the all-ones matrix, so that quotients of eigenvalues suffice.
    cosine = (2 * s + (k - 2) * s**2) / (1 + (k - 1) * s**2)
    share = exp(-B * (1 - cosine))
    quotient = (1 - s) / (1 + (k - 1) * s)
    eigenvalue = (1 - share) / (1 + (k - 1) * share)
    after = quotient * eigenvalue / eigenvalue.subs(s, 0)
    back = (1 - z) / (1 + (k - 1) * z)
    slope = sympy.diff(back.subs(z, after), s).subs(s, 0)
    multiplier = symmetric_multiplier(B, k)
    symmetric = "Groups that approach each other alike, $u_g + s\\sum_{h\\ne g}u_h$, come nearer by"
    confirm(symmetric, Eq(slope, multiplier))
    shown = 1 + 2 * B / ((1 + (k - 1) * exp(-B)) * (exp(B) - 1))
    two_groups = "which for two groups is more than one:"
    confirm(two_groups, Eq((multiplier.subs(k, 2) - 1 - B / sinh(B)).rewrite(exp), 0))
    two = [value for value, _ in equilibrium_multipliers(B, 2, 4)]
    t = Symbol("t", positive=True)
    network, X = equilibrium((1, 1), B)
    spun = network.replace(norm=None)(X + t * np.array([[0, 1], [-1, 0]], dtype=object))
    rotated = sympy.diff(spun[0, 1] / spun[0, 0], t).subs(t, 0)
    anti = "Two groups that turn the same way:"
    confirm(anti, Eq((rotated - two[2]).rewrite(exp), 0))
    return Proof(
        "ln-equilibria",
        (
            *held,
            Step(symmetric, Eq(Symbol("{s'/s}"), shown)),
            Step(two_groups, Eq(Symbol("{s'/s}"), 1 + B / sinh(B), evaluate=False)),
            Step(anti, Eq(Symbol("{t'/t}"), coth(B), evaluate=False)),
        ),
    )


@proves("ln-two-token", "two_token_multipliers", "two_token_step", "two_token_preimage")
def limits_of_two_tokens() -> Proof:
    """The map of the slope, its fixed points and their multipliers, and its inverse."""
    s, a = symbols("s a", real=True)
    h, c = 1 / sqrt(1 + s**2), 1 / sqrt(1 + a**2)
    multipliers = two_token_multipliers(W)
    edge = sqrt(W**2 - 1)
    height = sqrt(1 - 1 / W**2)

    upright, _ = two_tokens(W, (0, 1), (0, 1), 1)
    x = upright.replace(norm=None)(np.array([[0, 1], [-h, s * h]], dtype=object))[1]
    step = two_token_step(s, W)
    rise = sqrt(1 + s**2) + s
    tilted = upright.replace(norm=None)(np.array([[c, a * c], [-h, s * h]], dtype=object))[1]
    across, up = two_token_preimage(s, W)
    back = up / -across
    steps = [
        confirm("One layer of the package's network takes slope $s$ to", Eq(x[1] / -x[0], step)),
        confirm(
            "and with $x_1 = (1, a)/\\sqrt{1 + a^2}$ to",
            Eq(tilted[1] / -tilted[0], two_token_step(s, W, a)),
        ),
        confirm(
            "The preimage of $s$, in front of $(0, 1)$, is a multiple of $(-2m, m^2 - 1)$, $m = s"
            " + w$:",
            Eq(across**2 + up**2, (1 + (s + W) ** 2) ** 2),
        ),
        confirm("and a layer brings it back:", Eq(back.subs(s, rise - W), s)),
    ]
    fixed = (("second", -edge), ("repeller", edge))
    for name, point in fixed:
        text = f"The {name} is at rest:"
        confirm(text, Eq(step.subs(s, point), point))
        steps.append(Step(text, Eq(Symbol("s"), point, evaluate=False)))
        value = sympy.diff(s + sqrt(1 + s**2), s).subs(s, point)
        text = "Its multiplier, and that of the package:"
        confirm(text, Eq(value, multipliers[name]))
        steps.append(Step(text, Eq(Symbol("{ds'/ds}"), multipliers[name], evaluate=False)))
        confirm(text, Eq(multipliers[name], 1 + (1 if name == "repeller" else -1) * height))
    top = sympy.limit(s / step, s, sympy.oo)
    text = "Towards $(0, 1)$ the inverse slope shrinks by"
    confirm(text, Eq(top, multipliers["top"]))
    steps.append(Step(text, Eq(Symbol("{s/s'}"), top, evaluate=False)))
    return Proof("ln-two-token", tuple(steps))


@proves("preln-collapse", "preln_collapse", "turned")
def moved_before() -> Proof:
    """The chord at a right angle, and the bound for two layers without logits."""
    v, r, d = Rational(1, 8), Rational(5, 12), Integer(4)
    moved = 2 * v  # √d v, from tokens of length √d
    expected = v * 2 * turned(moved / r)
    return Proof(
        "preln-collapse",
        (*_right_angle(), *_two_layers(preln_collapse(_uniform(v), d, r, Integer(1)), expected)),
    )


@proves("postln-collapse", "postln_collapse", "turned")
def moved_after() -> Proof:
    """The chord at a right angle, the bound for two layers without logits, and its order."""
    v = Rational(3, 25)
    error = v * v + v * turned(v)
    expected = turned(error / (1 - 2 * v))
    chord = sqrt(2 - 2 * sqrt(1 - ETA**2))
    order = sympy.limit((ETA**2 + ETA * chord) / ETA**2, ETA, 0)
    text = "As $v \\to 0$ the sum behind it, over $v^2$, tends to"
    confirm(text, Eq(order, 2))
    last = Step(text, Eq(Symbol(r"\lim E/v^2"), order, evaluate=False))
    steps = (*_right_angle(), *_two_layers(postln_collapse(_uniform(v), Integer(1)), expected))
    return Proof("postln-collapse", (*steps, last))


def _right_angle() -> tuple[Step, ...]:
    """Two unit vectors at the angle whose sine is 3/5, where z − x is orthogonal to z."""
    x = sympy.Matrix([1, 0])
    z = Rational(4, 5) * sympy.Matrix([Rational(4, 5), Rational(3, 5)])
    confirm("z − x is orthogonal to z:", Eq((z - x).dot(z), 0))
    moved, apart = (z - x).norm(), (z / z.norm() - x).norm()
    text = "Moved by $3/5$ at a right angle, a unit vector turns by"
    confirm(text, Eq(moved, Rational(3, 5)))
    confirm(text, Eq(apart, turned(moved)))
    return (Step(text, Eq(Symbol("g(3/5)"), apart, evaluate=False)),)


def _uniform(v: Rational) -> Sizes:
    """Two layers of one head with ν(V) = v and M = 0."""
    value = np.array([[v], [v]], dtype=object)
    return Sizes(value, value[:, 0], 0 * value)


def _two_layers(bound: sympy.Expr, expected: sympy.Expr) -> tuple[Step, ...]:
    text = "For two layers with $M = 0$ the recursion gives"
    confirm(text, Eq(bound, expected))
    return (Step(text, Eq(Symbol(r"\mathrm{bound}"), expected.evalf(12), evaluate=False)),)


@proves("postln-floor", "postln_causal_floor")
def order_seen() -> Proof:
    """Half the gap of row 3 between the two orders is the package's floor; its leading term."""
    network, X, swapped = postln_swap(ETA)
    gap = (network(X) - network(swapped))[2, 0]
    floor = postln_causal_floor(ETA)
    values = (Rational(10, 7), Integer(6))  # s is rational there: 13/7 and 5
    steps = []
    for value in values:
        half = (gap / 2 - floor).subs(ETA, value)
        text = f"At $\\eta = {sympy.latex(value)}$ half the gap of row 3 is the floor:"
        confirm(text, Eq(half, 0))
        steps.append(Step(text, Eq(Symbol(r"\mathrm{floor}"), floor.subs(ETA, value).evalf(12))))
    limit = sympy.limit(floor / ETA**2, ETA, 0)
    text = "To leading order:"
    confirm(text, Eq(limit, Rational(1, 12)))
    steps.append(
        Step(text, Eq(Symbol(r"\lim\mathrm{floor}/\eta^2"), Rational(1, 12), evaluate=False))
    )
    return Proof("postln-floor", tuple(steps))

"""Proofs about skip connections: what moves attention, the width, survival of rank, floors."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
from sympy import Eq, Expr, Gt, Integer, Rational, Symbol, exp, sqrt, tanh

from collapse.bounds.contraction import contraction_factor
from collapse.bounds.floors import causal_floor, preln_floor
from collapse.bounds.ladder import Sizes, State, ladder
from collapse.bounds.lipschitz import attention_lipschitz
from collapse.bounds.skips import head_epsilon, reported_epsilon
from collapse.norms import residual, residual_norm
from collapse.rungs import mean_field
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses.skips import (
    causal_swap,
    common_shift,
    opposing_values,
    preln_lengths,
    width_missing,
)

ETA, C, PHI, NU, BETA, R, T = sympy.symbols("eta c varphi nu beta r t", positive=True)
LENGTHS = Symbol("s", positive=True), Symbol("s'", positive=True)
_ZERO = Integer(0)


def _equal(text: str, left: Expr, right: Expr, name: str) -> Step:
    """A confirmed equation, its left side shown by a name."""
    confirm(text, Eq((left - right).rewrite(exp).expand(), 0))
    return Step(text, Eq(Symbol(f"{{{name}}}"), right, evaluate=False))


def _outputs(heads: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The witness of a common shift: X, A₁(X), X₁, and A₂ on X and on X₁."""
    network, X = common_shift(ETA, C)
    query, key, value = (
        np.repeat(w, heads, axis=1) for w in (network.query, network.key, network.value)
    )
    network = network.replace(query=query, key=key, value=value / heads)
    first, second = (network.layers(i, i + 1).replace(skip=0) for i in (0, 1))
    shifted = X + first(X)
    return X, first(X), shifted, second(X), second(shifted)


@proves("shift-matters", "common_shift")
def rows_exchanged() -> Proof:
    """A shift of all tokens by 2c turns the first row's logits round."""
    X, shift, shifted, _, _ = _outputs()
    network: Any = common_shift(ETA, C)[0]
    before, after = (network.attention_matrices(tokens, 1)[0, 0] for tokens in (X, shifted))
    angle = 2 * C**2 * ETA * (ETA + 2)  # half the change of the difference of the logits
    return Proof(
        "shift-matters",
        (
            _equal("Both tokens are shifted alike, by", shift[0, 0], 2 * C, r"\Delta_{1}"),
            _equal("so that", residual(shift)[1, 0], _ZERO, r"\mathrm{Res}(\Delta)"),
            _equal(
                "Row 1 attends to the other token with weight",
                before[1],
                1 / (1 + exp(angle)),
                "P_{12}(X)",
            ),
            _equal(
                "and after the shift with", after[1], 1 / (1 + exp(-angle)), r"P_{12}(X+\Delta)"
            ),
            _equal(
                "The attention that has moved:",
                after[1] - before[1],
                tanh(angle / 2),
                r"\mathrm{TV}",
            ),
        ),
    )


def _refutation(label: str, heads: int) -> Proof:
    _, shift, _, before, after = _outputs(heads)
    move = (after - before)[0, 0]
    least = 2 * C * ETA
    return Proof(
        label,
        (
            _equal(
                "The first layer's output has no residual:",
                residual_norm(shift),
                _ZERO,
                r"\rho(A_1)",
            ),
            _equal(
                "The second layer's output moves, in row 1, by $2c\\eta$ and more:",
                move - least,
                2 * C * (ETA + 2) * tanh(C**2 * ETA * (ETA + 2)),
                r"A_2(X_1) - A_2(X) - 2c\eta",
            ),
            _equal(
                "which grows with $c$ beyond every number:",
                sympy.diff(least, C),
                2 * ETA,
                r"\tfrac{\partial}{\partial c}\,2c\eta",
            ),
        ),
    )


@proves("as25-lem-5.2", "common_shift")
def refutation() -> Proof:
    """With ε = 0 the next layer's output moves as far as we like."""
    return _refutation("as25-lem-5.2", heads=1)


@proves("as25-lem-c.1", "common_shift")
def refutation_of_several_heads() -> Proof:
    """The same with the work split between two heads."""
    return _refutation("as25-lem-c.1", heads=2)


@proves("attention-lipschitz")
def logits_moved() -> Proof:
    """The change of a logit is a form in Δ and Z plus one in X and Δ."""
    x, y, u, v = (
        np.array([sympy.symbols(f"{name}_1:3", real=True)], dtype=object) for name in "xyuv"
    )
    M = np.array([sympy.symbols("m_11 m_12"), sympy.symbols("m_21 m_22")], dtype=object)
    change = ((x + u) @ M @ (y + v).T - x @ M @ y.T)[0, 0]
    parts = (u @ M @ (y + v).T + x @ M @ v.T)[0, 0]
    text = r"With $z_i = x_i + \Delta_i$, for any tokens and any $M$,"
    confirm(text, Eq(sympy.expand(change - parts), 0))
    left = Symbol(r"{z_iMz_j^\top - x_iMx_j^\top}")
    right = Symbol(r"{\Delta_iMz_j^\top + x_iM\Delta_j^\top}")
    return Proof("attention-lipschitz", (Step(text, Eq(left, right)),))


@proves("attention-lipschitz", "attention_lipschitz")
def attained_by_shifts() -> Proof:
    """On the witness of a common shift the package's bound holds with equality."""
    X, shift, shifted, before, after = _outputs()
    # Expanded, so that sympy sees their signs.
    D, delta = sympy.expand(X[1, 0] - X[0, 0]), sympy.expand(shift[0, 0])
    weight = np.array([[ETA]], dtype=object)
    sizes = Sizes(weight, weight[:, 0], weight * ETA)
    phi = sympy.expand(shifted[1, 0])
    closed = 2 * C * ETA + 2 * C * (ETA + 2) * tanh(C**2 * ETA * (ETA + 2))
    bound = attention_lipschitz(sizes, 0, State(phi, D, delta, _ZERO), X[1, 0], D)
    return Proof(
        "attention-lipschitz",
        (
            _equal("The tokens are apart by", D, 2 * C + 4 * C / ETA, r"\mathrm{diam}(X)"),
            _equal(
                "The package's bound:",
                bound,
                closed,
                r"\mathrm{bound}",
            ),
            _equal(
                "Row 1 of the attention output moves by as much:",
                (after - before)[0, 0],
                closed,
                r"A(Z)_1 - A(X)_1",
            ),
        ),
    )


@proves("eps-counterexample", "width_missing")
def width_counts() -> Proof:
    """The residual of one attention output for several widths, and the values that refute ε₁."""
    steps = []
    for width, heads, key_width in ((1, 1, 1), (2, 1, 2), (3, 1, 1), (3, 2, 1)):
        network, X, equal = width_missing(ETA, PHI, width, heads, key_width)
        first = network.replace(skip=0)(X)[0, 0]
        angle = width**2 * key_width * ETA**2 * PHI**2
        steps += [
            _equal(
                f"$d = {width}$, $H = {heads}$, $d_k = {key_width}$: the outputs are $\\pm$",
                first,
                heads * width * ETA * PHI * tanh(angle),
                r"\rho(A_1)",
            ),
            _equal(
                "and equal tokens grow to",
                network(equal)[0, 0],
                (1 + heads * width * ETA) * PHI,
                r"\lVert X_1\rVert_\infty",
            ),
        ]
    small, large = Rational(1, 10), Integer(10)
    network, X, _ = width_missing(small, large, 3)
    observed, claimed = network.replace(skip=0)(X)[0, 0], reported_epsilon(small, large, 1, 1)
    text = "At $\\eta = 1/10$, $\\varphi = 10$, $d = 3$ the residual exceeds $\\varepsilon_1$ by"
    confirm(text, Gt((observed - claimed).rewrite(exp), 0))
    excess = Eq(Symbol(r"{\rho(A_1) - \varepsilon_1}"), 3 * tanh(9) - claimed, evaluate=False)
    confirm(text, Eq((observed - 3 * tanh(Integer(9))).rewrite(exp).simplify(), 0))
    return Proof("eps-counterexample", (*steps, Step(text, excess)))


@proves("as25-eps", "head_epsilon")
def width_in_the_recursion() -> Proof:
    """The corrected bound starts at dηφ₀ and grows by 1 + Hdη a layer, as the tokens do."""
    d, H = sympy.symbols("d H", positive=True, integer=True)
    layer = Symbol("ell", positive=True, integer=True)
    bound = head_epsilon(ETA, PHI, H, d, layer)
    following = head_epsilon(ETA, PHI, H, d, layer + 1)
    tokens = bound / (d * ETA)
    return Proof(
        "as25-eps",
        (
            _equal(
                "In layer 1 the package's bound is $d\\eta$ times the tokens' bound:",
                head_epsilon(ETA, PHI, H, d, 1),
                d * ETA * PHI,
                r"\mathrm{bound}_1",
            ),
            _equal(
                "If the tokens before layer $\\ell$ are bounded by the package's bound over"
                " $d\\eta$, those after it, $H$ head outputs later, are bounded by as much for"
                " $\\ell + 1$:",
                sympy.powsimp((tokens + H * bound) / (following / (d * ETA))).simplify(),
                Integer(1),
                r"\frac{\varphi_{\ell-1} + H\,\mathrm{bound}_\ell}{\varphi_\ell}",
            ),
        ),
    )


@proves("rank-survives", "contraction_factor")
def equality() -> Proof:
    """Opposing values shrink the diameter by exactly 1 − K."""
    network, X = opposing_values(NU, BETA, R)
    first, second = network(X)[:, 0]
    nu, beta = (np.array([[x]], dtype=object) for x in (NU, BETA))
    K = contraction_factor(Sizes(nu, nu[:, 0], beta), 0, R, 2 * R)
    return Proof(
        "rank-survives",
        (
            _equal(
                "The package's factor at $\\mathrm{diam} = 2r$:", K, NU * tanh(BETA * R**2), "K"
            ),
            _equal("The tokens stay opposite:", first + second, _ZERO, "x_1 + x_2"),
            _equal("and their distance becomes", second - first, (1 - K) * 2 * R, "x_2 - x_1"),
        ),
    )


@proves("as25-skip", "ladder", "contraction_factor")
def layers_collapse_and_rank_does_not() -> Proof:
    """Two layers with entries up to η: the package's bounds on the errors and on what is lost."""
    H, d, k = sympy.symbols("H d d_k", positive=True)
    # One head of H times the value stands for H equal heads: the bounds add them up.
    value, logit = H * d * ETA, d**2 * k * ETA**2
    values, logits = (np.array([[x]] * 2, dtype=object) for x in (value, logit))
    sizes = Sizes(values, values[:, 0], logits)
    one_head, one_layer = (ladder(sizes, PHI, 2 * PHI, rung) for rung in (2, 3))
    share = contraction_factor(sizes, 0, PHI, 2 * PHI)
    steps = []
    for text, bound, power, coefficient in (
        ("One head misses two layers by at most", one_head, 3, 2 * H * d**3 * k * PHI**3),
        ("one layer by at most", one_layer, 4, 3 * H**2 * d**4 * k * PHI**3),
        ("and a layer takes from the diameter at most the share", share, 3, H * d**3 * k * PHI**2),
    ):
        limit = sympy.limit(bound / ETA**power, ETA, 0)
        name = rf"\lim_{{\eta\to0}}\mathrm{{bound}}/\eta^{power}"
        steps.append(_equal(text, limit, coefficient, name))
    return Proof("as25-skip", tuple(steps))


@proves("causal-floor", "causal_floor")
def swapped_tokens() -> Proof:
    """Half the gap between the two outputs is the package's floor; its form for any tokens."""
    network, X, swapped = causal_swap(ETA, T)
    gap = (network(X) - network(swapped))[2, 0]
    x1, x2, x3, v1, v2 = sympy.symbols("x_1 x_2 x_3 V_1 V_2")
    weights = np.array([[[[v1]]], [[[v2]]]], dtype=object)
    stack = mean_field(network.replace(query=0 * weights, key=0 * weights, value=weights))
    rows = [np.array([[x] for x in order], dtype=object) for order in ((x1, x2, x3), (x2, x1, x3))]
    moved = (stack(rows[0]) - stack(rows[1]))[2, 0]
    return Proof(
        "causal-floor",
        (
            _equal(
                "Swapping two tokens moves row 3 of two uniform layers by",
                moved,
                (x1 - x2) * v1 * v2 / 3,
                r"S(X)_3 - S(\tilde X)_3",
            ),
            _equal(
                "On the package's inputs half of that is the package's floor:",
                gap / 2,
                causal_floor(ETA, T),
                r"\mathrm{floor}",
            ),
        ),
    )


@proves("preln-floor", "preln_floor")
def unseen_length() -> Proof:
    """Half the gap between the two outputs is the package's floor; its limits."""
    short, long = LENGTHS
    network, X, longer = preln_lengths(ETA, short, long)
    gap = (network(X) - network(longer))[0, 0]
    a = ETA / sqrt(2)
    floor = preln_floor(ETA, short, long)
    closed = (a**2 / 2) * (1 / sqrt(a**2 + (short + a) ** 2) - 1 / sqrt(a**2 + (long + a) ** 2))
    text = "The package's floor, written as a difference:"
    confirm(text, Eq(_squares(floor - closed), 0))
    halved = "Half the gap of the first row is the same:"
    confirm(halved, Eq(_squares(gap / 2 - closed), 0))
    return Proof(
        "preln-floor",
        (
            Step(text, Eq(Symbol(r"\mathrm{floor}"), closed, evaluate=False)),
            Step(
                halved,
                Eq(Symbol(r"{\tfrac12(S(X) - S(\tilde X))_{11}}"), Symbol(r"\mathrm{floor}")),
            ),
            _equal(
                "To leading order:",
                sympy.limit(closed / ETA**2, ETA, 0),
                (1 / short - 1 / long) / 4,
                r"\lim_{\eta\to0}\mathrm{floor}/\eta^2",
            ),
            _equal(
                "For $s' \\to \\infty$ and then $s \\to 0$ it tends to",
                sympy.limit(sympy.limit(closed, long, sympy.oo), short, 0),
                ETA / 4,
                r"\lim\mathrm{floor}",
            ),
        ),
    )


def _squares(expression: Expr) -> Expr:
    """The expression with its two roots as symbols, reduced by their squares."""
    near, far = sympy.symbols("near far", positive=True)
    short, long = LENGTHS
    a = ETA / sqrt(2)
    roots = {near: a**2 + (short + a) ** 2, far: a**2 + (long + a) ** 2}
    result = expression
    for symbol, square in roots.items():
        result = result.replace(
            lambda e, square=square: (
                e.is_Pow and abs(e.exp) == Rational(1, 2) and sympy.expand(e.base - square) == 0
            ),
            lambda e, symbol=symbol: symbol ** (2 * e.exp),
        )
    numerator, _ = sympy.fraction(sympy.together(result))
    reduced = sympy.expand(numerator)
    for symbol, square in roots.items():
        reduced = sympy.rem(reduced, symbol**2 - sympy.expand(square), symbol)
    return sympy.expand(reduced)

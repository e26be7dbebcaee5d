"""Proofs about layers without skips: the reported forms, the choice of a norm, paths."""

from __future__ import annotations

import math

import numpy as np
import sympy
from sympy import Eq, Expr, Integer, Rational, Symbol, exp, tanh

from collapse.attention import Network
from collapse.bounds.contraction import contraction_factor, double_exponential
from collapse.bounds.ladder import Sizes
from collapse.exact import ExactNetwork
from collapse.norms import diameter, query_key_norm, residual_norm
from collapse.paths import path_decomposition
from collapse.softmax import tv_bounds
from collapse.symbolic.proof import Proof, Step, confirm, proves
from collapse.witnesses.contraction import extremal

BETA, NU, RHO, THETA = sympy.symbols("beta nu rho theta", positive=True)


def _equal(text: str, left: Expr, right: Expr, name: str) -> Step:
    """A confirmed equation, its left side shown by a name."""
    confirm(text, Eq((left - right).rewrite(exp).expand(), 0))
    return Step(text, Eq(Symbol(name), right, evaluate=False))


def _factor(D: Expr) -> Expr:
    """The package's K of one head with sizes ν and β."""
    nu, beta = (np.array([[x]], dtype=object) for x in (NU, BETA))
    return contraction_factor(Sizes(nu, nu[:, 0], beta), 0, Integer(0), D)


@proves("as25-lem-5.1", "contraction_factor", "residual_norm", "tv_bounds")
def repaired_factor() -> Proof:
    """The factor of the repaired lemma, where it is attained, beside the form as reported."""
    network, X = extremal(BETA, NU, RHO)
    after = network(X)
    bounds = tv_bounds(THETA)
    reported = bounds["as25"].rewrite(exp)
    return Proof(
        "as25-lem-5.1",
        (
            _equal("The tokens $\\pm\\rho$ have", residual_norm(X), RHO, r"\rho(X)"),
            _equal("and the package's factor is", _factor(2 * RHO), NU * tanh(BETA * RHO**2), "K"),
            _equal(
                "One layer of width one attains it:",
                (after[1, 0] - after[0, 0]) / 2,
                _factor(2 * RHO) * RHO,
                r"\rho(A(X))",
            ),
            _equal(
                "The rows' distance that it rests on, at $\\theta = 4\\beta\\rho^2$:",
                bounds["sharp"],
                tanh(THETA / 4),
                r"\mathrm{TV}",
            ),
            _equal(
                "The reported form of it exceeds twice that to first order:",
                sympy.limit(reported / bounds["sharp"], THETA, 0),
                Integer(2),
                r"\lim_{\theta\to0}\frac{(e^\theta - 1)/2}{\tanh(\theta/4)}",
            ),
        ),
    )


@proves("as25-eq-1", "double_exponential")
def what_is_lost() -> Proof:
    """The input's size and the absence of skips: without either the restated order is false."""
    network, X = extremal(BETA, NU, RHO)
    D, c = 2 * RHO, NU * BETA / 4
    after = network(X)[1, 0] - network(X)[0, 0]
    skipping = network.replace(skip=Integer(1))(X)
    bound = double_exponential(c, D, 1)
    return Proof(
        "as25-eq-1",
        (
            _equal(
                "One layer without skip, with tokens $\\pm\\rho$ of width one:",
                after,
                2 * NU * RHO * tanh(BETA * RHO**2),
                "D_1",
            ),
            _equal(
                "For small tokens that is the closed form, so its constant is right:",
                sympy.limit(after / bound, RHO, 0),
                Integer(1),
                r"\lim_{\rho\to0} D_1 / (c D_0^3)",
            ),
            _equal(
                "But of large tokens the part $\\nu$ is left, however small $\\beta$ makes $c$:",
                sympy.limit(after / D, RHO, sympy.oo),
                NU,
                r"\lim_{\rho\to\infty} D_1 / D_0",
            ),
            _equal(
                "so the order $c$ without the size of the input is exceeded by any factor:",
                sympy.limit(after / D, RHO, sympy.oo) / double_exponential(c, Integer(1), 1),
                4 / BETA,
                r"\lim_{\rho\to\infty} D_1 / (c D_0)",
            ),
            _equal(
                "With a skip the same layer moves the tokens apart:",
                skipping[1, 0] - skipping[0, 0],
                D * (1 + NU * tanh(BETA * RHO**2)),
                "D_1'",
            ),
        ),
    )


def _spectral(M: np.ndarray) -> Expr:
    """The spectral norm of a symmetric matrix of rationals."""
    return sympy.Max(*(abs(x) for x in sympy.Matrix(M.tolist()).eigenvals()))


def _strengths(M: np.ndarray, X: np.ndarray) -> list[Expr]:
    """β_p diam_p², which the factor follows while logits are weak, for p = 1, 2, ∞."""
    beta = (query_key_norm(M, 1), _spectral(M), query_key_norm(M))
    return [b * diameter(X, p) ** 2 for b, p in zip(beta, (1, 2, math.inf), strict=True)]


def _layers_of_choice(root: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Matrices M and tokens of width root², one for each norm that is the best there."""
    width, one = root * root, Integer(1)
    eye = np.array([[one * (i == j) for j in range(width)] for i in range(width)], dtype=object)
    ones = eye * 0 + one
    first, nothing = eye[0], 0 * eye[0]
    return [
        (ones, np.stack([nothing, first])),
        (eye, np.stack([nothing, first, ones[0] / root])),
        (np.outer(first, first), np.stack([nothing, ones[0]])),
    ]


@proves("norm-choice", "query_key_norm", "diameter")
def each_is_somewhere_the_least() -> Proof:
    """Three weak layers of width d = r², on each of which another norm has the least factor."""
    r = Symbol("r", integer=True, positive=True)
    far = (r**2 + r - 2) / r
    expected = [
        (Integer(1), r**2, r**4),
        (far**2, 2 - 2 / r, r**2),
        (r**4, r**2, Integer(1)),
    ]
    for root in (2, 3, 4):
        for (M, X), forms in zip(_layers_of_choice(root), expected, strict=True):
            for value, form in zip(_strengths(M, X), forms, strict=True):
                confirm(f"r = {root}:", Eq(value, form.subs(r, root)))
    texts = (
        "$d = r^2$; the factors of weak layers are proportional to $\\beta_p\\mathrm{diam}_p^2$."
        " All entries of $M$ equal, tokens $0$ and $e_1$: $p = 1$ gains over $p = 2$ the factor",
        "$M = I$, tokens $0$, $e_1$ and $\\mathbf 1/r$: $p = 2$ gains over $p = \\infty$",
        "$M = e_1e_1^\\top$, tokens $0$ and $\\mathbf 1$: $p = \\infty$ gains over $p = 2$",
    )
    pairs = ((1, 0), (2, 1), (1, 2))
    steps = []
    for text, (more, less), forms in zip(texts, pairs, expected, strict=True):
        name = rf"\beta\,\mathrm{{diam}}^2 \text{{ of }} {_NAMES[more]} \div {_NAMES[less]}"
        gain = sympy.cancel(forms[more] / forms[less])
        steps.append(_equal(text, forms[more] / forms[less], gain, name))
    steps.append(
        _equal(
            "the second of which grows as $d/2$, and against $p = 1$ no slower:",
            sympy.limit(far**2 / (2 - 2 / r) / r**2, r, sympy.oo),
            Rational(1, 2),
            r"\lim_{d\to\infty} \text{gain}/d",
        )
    )
    return Proof("norm-choice", tuple(steps))


_NAMES = ("1", "2", r"\infty")


def _sum_of_paths(network: Network, X: np.ndarray) -> np.ndarray:
    """The tokens that all paths through a network add up to."""
    return path_decomposition(network, X).terms.sum(-3)


@proves("path-decomposition", "_sum_of_paths")
def paths_add_up() -> Proof:
    """Two layers on two tokens, with a symbol for every weight and for the skip."""
    heads = {"one head": 1, "two heads, the first layer with even attention": 2}
    steps = []
    for name, count in heads.items():
        x, v, m = (
            sympy.symbols(f"{letter}_1:{1 + size}", real=True)
            for letter, size in (("x", 2), ("v", 2 * count), ("m", 2 * count))
        )
        query, value = (np.array(w, dtype=object).reshape(2, count, 1, 1) for w in (m, v))
        if count > 1:
            query[0] = query[0] * 0  # else the exponentials of exponentials take minutes
        network = ExactNetwork(query, query * 0 + 1, value, skip=Symbol("lambda", real=True))
        X = np.array([[entry] for entry in x], dtype=object)
        left = network(X) - _sum_of_paths(network, X)
        steps += [
            _equal(
                f"{name.capitalize()}: of token {i} is left, once its paths are taken off,",
                left[i - 1, 0],
                Integer(0),
                rf"S_{i} - \textstyle\sum_{{\mathrm{{paths}}}}",
            )
            for i in (1, 2)
        ]
        number = len(path_decomposition(network, X).choices)
        steps.append(_equal("Its paths:", Integer(number), Integer((count + 1) ** 2), "(H + 1)^L"))
    return Proof("path-decomposition", tuple(steps))

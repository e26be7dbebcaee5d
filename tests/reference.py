"""Slow twins: every formula of the ground floors once more, in plain loops over lists.

Nothing here imports the package, torch or numpy, so an error would have to be made twice to go
unseen. A matrix is a list of rows. Entries may be ``Fraction`` (rational formulas are then exact)
or ``mpmath.mpf``; importing this module sets mpmath to 50 digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import inf
from typing import Any

import mpmath

mpmath.mp.dps = 50

Matrix = list[list[Any]]


def exactly(nested: Any, number: Any = mpmath.mpf) -> Any:
    """Nested lists of floats as nested lists of ``number``; every float converts exactly."""
    if isinstance(nested, list | tuple):
        return [exactly(part, number) for part in nested]
    return number(nested)


# --- matrices ------------------------------------------------------------------------------------


def transpose(X: Matrix) -> Matrix:
    return [list(column) for column in zip(*X, strict=True)]


def matmul(X: Matrix, Y: Matrix) -> Matrix:
    columns = len(Y[0]) if Y else 0
    result = []
    for row in X:
        line = []
        for b in range(columns):
            total = row[0] * 0 if row else 0
            for a, entry in enumerate(row):
                total = total + entry * Y[a][b]
            line.append(total)
        result.append(line)
    return result


def add(X: Matrix, Y: Matrix, factor: Any = 1) -> Matrix:
    return [[x + factor * y for x, y in zip(r, s, strict=True)] for r, s in zip(X, Y, strict=True)]


def vector_norm(x: list[Any], p: float) -> Any:
    if p == 1:
        return sum(abs(entry) for entry in x)
    if p == 2:
        return mpmath.sqrt(sum(_mpf(entry) ** 2 for entry in x))
    return max(abs(entry) for entry in x)


def _mpf(value: Any) -> Any:
    if isinstance(value, Fraction):
        return mpmath.mpf(value.numerator) / value.denominator
    return mpmath.mpf(value)


def spectral_norm(M: Matrix) -> Any:
    """Largest singular value: root of the largest eigenvalue of the smaller Gram matrix."""
    if len(M) > len(M[0]):
        M = transpose(M)
    gram = matmul(M, transpose(M))
    values = mpmath.eigsy(mpmath.matrix(exactly(gram, _mpf)), eigvals_only=True)
    return mpmath.sqrt(max(max(values), mpmath.mpf(0)))


# --- norms ---------------------------------------------------------------------------------------


def midrange(X: Matrix) -> list[Any]:
    return [(max(column) + min(column)) / 2 for column in transpose(X)]


def residual(X: Matrix) -> Matrix:
    centre = midrange(X)
    return [[entry - c for entry, c in zip(row, centre, strict=True)] for row in X]


def largest_entry(X: Matrix) -> Any:
    return max(abs(entry) for row in X for entry in row)


def residual_norm(X: Matrix) -> Any:
    return largest_entry(residual(X))


def diameter(X: Matrix, p: float = inf) -> Any:
    return max(vector_norm([a - b for a, b in zip(r, s, strict=True)], p) for r in X for s in X)


def value_norm(V: Matrix, p: float = inf) -> Any:
    if p == 1:
        return max(vector_norm(row, 1) for row in V)
    if p == 2:
        return spectral_norm(V)
    return max(vector_norm(column, 1) for column in transpose(V))


def query_key_norm(M: Matrix, p: float = inf) -> Any:
    """The largest u M vᵀ over two unit balls; p = inf tries every pair of sign vectors."""
    if p == 1:
        return largest_entry(M)
    if p == 2:
        return spectral_norm(M)
    best = None
    for u in product((1, -1), repeat=len(M)):
        for v in product((1, -1), repeat=len(M[0])):
            value = sum(
                u[a] * entry * v[b] for a, row in enumerate(M) for b, entry in enumerate(row)
            )
            best = value if best is None or value > best else best
    return best


def dobrushin(P: Matrix) -> Any:
    return max(total_variation(r, s) for r in P for s in P)


def mean_residual_norm(X: Matrix) -> Any:
    mean = [sum(column) / len(X) for column in transpose(X)]
    return mpmath.sqrt(
        sum(_mpf(entry - m) ** 2 for row in X for entry, m in zip(row, mean, strict=True))
    )


def composite_residual_norm(X: Matrix, centre: str = "mean") -> Any:
    """The root of the largest column sum times the largest row sum of the centred |X|."""
    columns = transpose(X)
    middle = midrange(X) if centre == "midrange" else [sum(c) / len(X) for c in columns]
    R = [[abs(entry - m) for entry, m in zip(row, middle, strict=True)] for row in X]
    return mpmath.sqrt(
        _mpf(max(sum(row) for row in R)) * _mpf(max(sum(column) for column in transpose(R)))
    )


def stable_rank(X: Matrix) -> Any:
    return sum(_mpf(entry) ** 2 for row in X for entry in row) / spectral_norm(X) ** 2


# --- softmax -------------------------------------------------------------------------------------


def oscillation(row: list[Any]) -> Any:
    return max(row) - min(row)


def total_variation(a: list[Any], b: list[Any]) -> Any:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / 2


def softmax_row(row: list[Any], visible: list[bool] | None = None) -> list[Any]:
    """exp without any shift: mpmath has no overflow to dodge."""
    seen = [True] * len(row) if visible is None else visible
    weights = [mpmath.exp(_mpf(x)) if v else mpmath.mpf(0) for x, v in zip(row, seen, strict=True)]
    total = sum(weights)
    return [w / total for w in weights]


def softmax(A: Matrix, mask: list[list[bool]] | None = None) -> Matrix:
    return [softmax_row(row, None if mask is None else mask[i]) for i, row in enumerate(A)]


def two_level_shift(q: Any, theta: Any) -> Any:
    """Total variation when mass q gains theta against the rest: q(1-q)(e^t-1)/(1+q(e^t-1))."""
    gain = mpmath.exp(theta) - 1
    return q * (1 - q) * gain / (1 + q * gain)


def tv_bound(theta: Any) -> Any:
    """The best mass on the larger value, 1/(1+e^(t/2)), put into the two-level formula."""
    return two_level_shift(1 / (1 + mpmath.exp(_mpf(theta) / 2)), _mpf(theta))


def uniform_tv_bound(theta: Any, n: int) -> Any:
    return max(two_level_shift(mpmath.mpf(k) / n, _mpf(theta)) for k in range(n + 1))


def retrieval_threshold(m: int, delta: Any, s: int = 1) -> Any:
    """The oscillation at which s of m tokens, all others at the bottom, get mass 1 - delta."""
    delta = _mpf(delta)
    return mpmath.log((m - s) * (1 - delta)) - mpmath.log(s * delta)


# --- attention -----------------------------------------------------------------------------------


@dataclass
class Head:
    """One head: query, key d×k; value d×d, or d×k with output k×d."""

    query: Matrix
    key: Matrix
    value: Matrix
    output: Matrix | None = None

    def full_value(self) -> Matrix:
        return self.value if self.output is None else matmul(self.value, self.output)


@dataclass
class Options:
    """What a network may carry besides its weights."""

    skip: Any = 1
    mask: list[list[bool]] | None = None
    rope: float | None = None
    norm: str | None = None
    mixer_scale: Any = None


def rotate(x: list[Any], position: int, base: float) -> list[Any]:
    """Rotary embedding: coordinates 2a and 2a + 1 turn by position · base^(-2a/k)."""
    turned = list(x)
    for c in range(0, len(x), 2):
        angle = position * _mpf(base) ** (-mpmath.mpf(c) / len(x))
        cosine, sine = mpmath.cos(angle), mpmath.sin(angle)
        turned[c] = x[c] * cosine - x[c + 1] * sine
        turned[c + 1] = x[c] * sine + x[c + 1] * cosine
    return turned


def logits(X: Matrix, head: Head, rope: float | None = None) -> Matrix:
    queries, keys = matmul(X, head.query), matmul(X, head.key)
    if rope is not None:
        queries = [rotate(row, i, rope) for i, row in enumerate(queries)]
        keys = [rotate(row, j, rope) for j, row in enumerate(keys)]
    return matmul(queries, transpose(keys))


def attend(X: Matrix, heads: list[Head], options: Options) -> Matrix:
    """The sum over the heads of P_h X V_h."""
    total = [[0 * entry for entry in row] for row in X]
    for head in heads:
        P = softmax(logits(X, head, options.rope), options.mask)
        total = add(total, matmul(P, matmul(X, head.full_value())))
    return total


def normalise_rows(X: Matrix, length: Any) -> Matrix:
    """Rows scaled to a length; a zero row stays zero."""
    return [[entry * length / (vector_norm(row, 2) or 1) for entry in row] for row in X]


def trace(X: Matrix, layers: list[list[Head]], options: Options | None = None) -> list[Matrix]:
    """The tokens before the first and after every layer."""
    options = options or Options()
    states = [X]
    scale = 1 if options.mixer_scale is None else options.mixer_scale
    for heads in layers:
        X = states[-1]
        length = mpmath.sqrt(len(X[0]))
        seen = normalise_rows(X, length) if options.norm == "pre" else X
        mixed = attend(seen, heads, options)
        after = [
            [options.skip * x + scale * a for x, a in zip(r, s, strict=True)]
            for r, s in zip(X, mixed, strict=True)
        ]
        if options.norm == "row":
            after = normalise_rows(after, 1)
        states.append(after)
    return states


def residual_norms(
    X: Matrix, layers: list[list[Head]], options: Options, digits: int = 600
) -> list[Any]:
    """ρ before the first and after every layer, in so many digits that collapse eats none of it."""
    with mpmath.workdps(digits):
        return [residual_norm(state) for state in trace(X, layers, options)]

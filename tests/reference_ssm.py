"""Slow twins of the mixers: plain loops over lists and floats, nothing imported from the package.

A mixer's parameters are a dict of nested lists; X is a list of tokens.
"""

from __future__ import annotations

import math
from typing import Any

from reference import Matrix, matmul


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def write_factor(rate: float, step: float, rule: str) -> float:
    return (1 - math.exp(-rate * step)) / rate if rule == "zoh" else step


def softmax_matrix(X: Matrix, query: Matrix, key: Matrix, causal: bool) -> Matrix:
    Q, K = matmul(X, query), matmul(X, key)
    rows = []
    for i, q in enumerate(Q):
        seen = i + 1 if causal else len(X)
        weights = [math.exp(sum(a * b for a, b in zip(q, K[j], strict=True))) for j in range(seen)]
        rows.append([w / sum(weights) for w in weights] + [0.0] * (len(X) - seen))
    return rows


def linear_matrix(X: Matrix, query: Matrix, key: Matrix, phi: Any) -> Matrix:
    Q, K = matmul(X, query), matmul(X, key)
    n = len(X)
    return [
        [
            sum(phi(a) * phi(b) for a, b in zip(Q[i], K[j], strict=True)) if j <= i else 0.0
            for j in range(n)
        ]
        for i in range(n)
    ]


def fixed_matrix(
    n: int, rate: list[float], step: float, write: list[float], read: list[float], rule: str
) -> Matrix:
    """One feature's matrix of a fixed model, a sum of exponentials."""
    M = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            for a, b, c in zip(rate, write, read, strict=True):
                M[i][j] += c * math.exp(-a * step * (i - j)) * write_factor(a, step, rule) * b
    return M


def selective_matrix(
    X: Matrix, rate: list[float], step: Matrix, step_bias: float, write: Matrix,
    write_bias: list[float], read: Matrix, read_bias: list[float], rule: str,
) -> Matrix:  # fmt: skip
    """One feature's matrix of a selective model; ``step`` is a column."""
    n = len(X)
    steps = [softplus(row[0] + step_bias) for row in matmul(X, step)]
    B = [[x + b for x, b in zip(row, write_bias, strict=True)] for row in matmul(X, write)]
    C = [[x + b for x, b in zip(row, read_bias, strict=True)] for row in matmul(X, read)]
    M = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            for s, a in enumerate(rate):
                kept = 1.0
                for k in range(j + 1, i + 1):
                    kept *= math.exp(-a * steps[k])
                M[i][j] += C[i][s] * kept * write_factor(a, steps[j], rule) * B[j][s]
    return M


def output(
    X: Matrix, matrices: list[Matrix], value: Matrix, gate: Matrix | None, normalise: bool
) -> Matrix:
    """Each feature mixed by its matrix, or all by the only one."""
    V, d = matmul(X, value), len(X[0])
    G = None if gate is None else matmul(X, gate)
    result = [[0.0] * d for _ in X]
    for c in range(d):
        M = matrices[c % len(matrices)]
        for i, row in enumerate(M):
            total = sum(w * V[j][c] for j, w in enumerate(row))
            if normalise:
                total /= sum(row)
            if G is not None:
                total *= G[i][c] / (1 + math.exp(-G[i][c]))
            result[i][c] = total
    return result


def delta_rule(X: Matrix) -> Matrix:
    """A mixer whose decays do not commute: S becomes (I − k kᵀ/2)S + k xᵀ, read by the last k."""
    d = len(X[0])
    S = [[0.0] * d for _ in range(d)]
    rows = []
    for x in X:
        length = math.sqrt(sum(a * a for a in x)) or 1.0
        k = [a / length for a in x]
        seen = [sum(k[a] * S[a][b] for a in range(d)) for b in range(d)]
        S = [[S[a][b] + k[a] * (x[b] - seen[b] / 2) for b in range(d)] for a in range(d)]
        rows.append([sum(k[a] * S[a][b] for a in range(d)) for b in range(d)])
    return rows

"""Every number of a collapse report in plain loops, from what a model itself shows."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from inspected import Seen


def distance(x: Any, y: Any, p: int) -> float:
    gaps = [abs(float(a) - float(b)) for a, b in zip(x, y, strict=True)]
    return sum(gaps) if p == 1 else math.sqrt(sum(g * g for g in gaps))


def spread(X: Any, p: int) -> float:
    return max(distance(x, y, p) for x, y in itertools.product(X, X))


def quantile(values: list[float], q: float) -> float:
    """Linear interpolation between order statistics."""
    values = sorted(values)
    place = q * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def beta(layer: Seen, h: int, p: int) -> float:
    if layer.M is not None:
        return float(abs(layer.M[h]).max() if p == 1 else np.linalg.norm(layer.M[h], 2))
    if p == 2:
        return float(np.linalg.norm(layer.query[h], 2) * np.linalg.norm(layer.key[h], 2))
    rows, columns = layer.query[h], layer.key[h]
    return max(
        sum(math.hypot(u[a], u[b]) * math.hypot(v[a], v[b]) for a, b in layer.pairs)
        for u, v in itertools.product(rows, columns)
    )


def nu(layer: Seen, h: int, p: int) -> float:
    V = layer.V[h]
    return float(max(abs(row).sum() for row in V) if p == 1 else np.linalg.norm(V, 2))


def head_numbers(layer: Seen, h: int, kind: str) -> dict[str, Any]:
    """Every number of a head's report, in plain loops."""
    P, n = layer.P[h], len(layer.P[h])
    theta, tv, bound, need, above, focused = [], [], [], [], [], []
    for row in P:
        seen = [float(w) for w in row if w > 0]
        m = len(seen)
        theta.append(math.log(max(seen)) - math.log(min(seen)))
        tv.append(sum(abs(w - 1 / m) for w in seen) / 2)
        bound.append(math.tanh(theta[-1] / 4))
        if m >= 3:
            need.append(math.log(m - 1))
            above.append(theta[-1] > need[-1])
            focused.append(max(seen) >= 0.5)
    tau = max(sum(abs(a - b) for a, b in zip(P[i], P[j], strict=True)) / 2
              for i in range(n) for j in range(n))  # fmt: skip
    numbers: dict[str, Any] = {
        "query_key": {p: beta(layer, h, p) for p in (1, 2)},
        "value": {p: nu(layer, h, p) for p in (1, 2)},
        "oscillation": tuple(quantile(theta, q) for q in (0.05, 0.5, 0.95)),
        "largest_oscillation": max(theta),
        "tv": quantile(tv, 0.5),
        "tv_bound": quantile(bound, 0.5),
        "threshold": quantile(need, 0.5),
        "above": sum(above) / len(above),
        "focused": sum(focused) / len(focused),
        "dobrushin": tau,
    }
    numbers["contraction"] = {p: factor(layer, h, kind, p) for p in (1, 2)}
    numbers["by_dobrushin"] = {p: nu(layer, h, p) * tau for p in (1, 2)}
    out = P @ layer.tokens @ layer.V[h]
    numbers["measured"] = {p: spread(out, p) / spread(layer.tokens, p) for p in (1, 2)}
    return numbers


def factor(layer: Seen, h: int, kind: str, p: int) -> float:
    if kind == "mask":
        return nu(layer, h, p)
    size = max(distance(x, 0 * x, p) for x in layer.tokens)
    argument = spread(layer.tokens, p) ** 2 / 4 if kind == "plain" else size**2
    return nu(layer, h, p) * math.tanh(beta(layer, h, p) * argument)


def layer_numbers(layer: Seen, kind: str) -> dict[str, Any]:
    heads = range(len(layer.P))
    return {
        "diameter": {p: spread(layer.stream, p) for p in (1, 2)},
        "residual_norm": max((c.max() - c.min()) / 2 for c in layer.stream.T),
        "size": max(distance(x, 0 * x, 2) for x in layer.stream),
        "share": math.sqrt((layer.add**2).sum() / (layer.stream**2).sum()),
        "contraction": {p: sum(factor(layer, h, kind, p) for h in heads) for p in (1, 2)},
        "measured": {p: spread(layer.add, p) / spread(layer.tokens, p) for p in (1, 2)},
    }

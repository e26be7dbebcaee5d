"""Slow twins for normalised rows: bounds and the two tokens once more, in plain loops.

Like ``reference``, nothing here imports the package, torch or numpy.
"""

from __future__ import annotations

from typing import Any

import mpmath


def projected_weight(weight: Any, height: Any) -> Any:
    """Least share of a token of height h among others of height 1."""
    return weight * height / (weight * height + (1 - weight) * 1)


def hemisphere(beta: Any, visible: int, height: Any, layers: int, centres: int, steps: int) -> Any:
    least = 1 / (1 + (visible - 1) * mpmath.exp(2 * beta))
    share, factor = projected_weight(least, height), mpmath.mpf(1)
    for _ in range(layers // steps):
        factor *= 1 - centres * share**steps
    return factor


def chord(moved: Any) -> Any:
    """Distance of unit vectors at the largest angle of a vector that was moved."""
    if moved > 1:
        return mpmath.mpf(2)
    return 2 * mpmath.sin(mpmath.asin(moved) / 2)


def before(heads: list[list[tuple[Any, Any]]], width: int, shortest: Any, start: Any) -> Any:
    """The pre-normalised bound; for each layer the pairs ν and β of its heads."""
    error = way = mpmath.mpf(0)
    root = mpmath.sqrt(width)
    for layer in heads:
        kappa = root * chord(way / shortest)
        wide = min(2 * root, start + 2 * kappa)
        for nu, beta in layer:
            error += nu * kappa
            error += start * nu * mpmath.tanh(beta * (kappa * wide + root * 2 * kappa) / 4)
        way += root * sum(nu for nu, _ in layer)
    return error


def after(heads: list[list[tuple[Any, Any]]], start: Any) -> Any:
    """The post-normalised bound."""
    error = way = total = mpmath.mpf(0)
    scale = mpmath.mpf(1)
    for layer in heads:
        shift = min(way, mpmath.mpf(2))
        wide = min(mpmath.mpf(2), start + 2 * shift)
        v = sum(nu for nu, _ in layer)
        error += (scale - 1) * v
        for nu, beta in layer:
            error += nu * shift
            error += start * nu * mpmath.tanh(beta * (shift * wide + 2 * shift) / 4)
        way, scale, total = way + chord(v), scale * (1 + v), total + v
    return chord(error / (1 - total)) if total < 1 else mpmath.mpf(2)


def two_token_angle(w: Any, first: Any, second: Any, layers: int) -> Any:
    """Angle of the second token after some layers, in (−π, π]: sum, shear, normalise."""
    x, y = [(mpmath.cos(angle), mpmath.sin(angle)) for angle in (first, second)]
    for _ in range(layers):
        total = (x[0] + y[0], x[1] + y[1])
        tokens = []
        for u, v in (x, total):
            image = (u, v + w * u)
            length = mpmath.sqrt(image[0] ** 2 + image[1] ** 2)
            tokens.append((image[0] / length, image[1] / length))
        x, y = tokens
    return mpmath.atan2(y[1], y[0])


def second_limit(w: Any) -> Any:
    """Angle of the second limit."""
    return -(mpmath.pi / 2 + mpmath.asin(1 / w))

"""From a point that a search found in floats to rationals that a person can copy."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from collapse.referee.climbing import Objective

LOSS = 1e-4  # relative loss of the ratio that simpler numbers may cost
_SCALES = (1, 2, 3, 4, 6)
_DENOMINATORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 50, 64, 100, 128, 256)
_DENOMINATORS += tuple(2**k for k in range(10, 41, 3))


def simplify(objective: Objective, point: Tensor) -> list[Fraction]:
    """Rationals with small denominators at which the ratio is the same up to 0.01 %.

    First all numbers are rounded to one denominator, as they are and scaled so that the largest
    becomes a small integer; then each alone is replaced by the simplest number that will do.

    Args:
        objective: Logarithm of the ratio, points (points, numbers) to values (points,).
        point: What the search found, shape (numbers,).

    Returns:
        The free numbers as Fractions.

    >>> level = lambda x: -(x[..., 0] / x[..., 1] - 1.5).square()
    >>> simplify(level, torch.tensor([3.00001, 2.0], dtype=torch.float64))
    [Fraction(3, 1), Fraction(2, 1)]
    """

    def values(tried: list[list[Fraction]]) -> list[float]:
        floats = [[float(entry) for entry in entries] for entries in tried]
        with torch.no_grad():
            return objective(point.new_tensor(floats)).tolist()

    numbers = point.tolist()
    exact = [Fraction(x) for x in numbers]
    goal = values([exact])[0] + math.log1p(-LOSS)
    largest = max((abs(x) for x in numbers), default=0.0)
    scales = [1.0] + ([m / largest for m in _SCALES] if largest > 0 else [])
    rounded = [
        [Fraction(round(x * scale * q), q) for x in numbers]
        for scale in scales
        for q in _DENOMINATORS
    ]
    good = [
        entries for entries, value in zip(rounded, values(rounded), strict=True) if value >= goal
    ]
    entries = min([exact, *good], key=_size)
    for i in sorted(range(len(entries)), key=lambda i: -_size([entries[i]])):
        simpler = _simpler(entries[i])
        tried = [[*entries[:i], other, *entries[i + 1 :]] for other in simpler]
        reached = values(tried) if tried else []
        keeps = [other for other, value in zip(simpler, reached, strict=True) if value >= goal]
        if keeps:
            entries[i] = keeps[0]
    return entries


def _simpler(x: Fraction) -> list[Fraction]:
    """Shorter numbers near x, the shortest first."""
    near = {Fraction(sign) for sign in (-1, 0, 1)}
    near |= {Fraction(round(x * q), q) for q in _DENOMINATORS if q <= 2**20}
    return sorted(
        (y for y in near if _size([y]) < _size([x])), key=lambda y: (_size([y]), abs(y - x))
    )


def _size(entries: list[Fraction]) -> int:
    """Bits to write them down; a zero is shorter than a one."""
    return sum(x.numerator.bit_length() + x.denominator.bit_length() for x in entries)

"""Small inequalities whose suprema are known by hand, to referee the referee."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collapse.numeric import exp
from collapse.referee.trial import Trial
from collapse.referee.trials.domain import number

PAIR = {"x": (1,), "y": (1,)}


def two(x: Any, y: Any) -> dict[str, Any]:
    return {"x": number(x), "y": number(y)}


def means(x: Any, y: Any) -> tuple[Any, Any]:
    """2|xy| ≤ x² + y², with equality where |x| = |y|."""
    return 2 * abs(x * y), x * x + y * y


def squares(x: Any, y: Any) -> tuple[Any, Any]:
    """False: (x + y)² ≤ x² + y². The largest ratio is 2, where x = y."""
    return (x + y) * (x + y), x * x + y * y


def decay(x: Any, y: Any) -> tuple[Any, Any]:
    """|x| e^−|x| ≤ 1/e, with equality at |x| = 1 only; y has no part in it."""
    return abs(x) * exp(-abs(x)) + 0 * y, exp(-1 + 0 * x)


def half(x: Any, y: Any) -> tuple[Any, Any]:
    """|xy| ≤ x² + y²: the largest ratio is ½."""
    return abs(x * y), x * x + y * y


def quarter(x: Any, y: Any) -> tuple[Any, Any]:
    """False: |xy| ≤ (x² + y²)/4."""
    observed, bound = half(x, y)
    return observed, bound / 4


SHARP = Trial("toy-sharp", "means", PAIR, two, means, sharp=True)
DECAY = Trial("toy-decay", "exponential", PAIR, two, decay, sharp=True)
LOOSE = Trial("toy-loose", "half", PAIR, two, half, control=quarter, dropped="a factor of four")
FALSE = Trial("toy-false", "squares", PAIR, two, squares, holds=False, limit=2)
TOYS = (SHARP, DECAY, LOOSE, FALSE)

# What the ledger would have wrong, and what a control would not notice.
CALLED_TRUE = replace(FALSE, label="toy-called-true", holds=True, limit=None)
CALLED_FALSE = replace(SHARP, label="toy-called-false", holds=False, sharp=False, limit=3)
CALLED_SHARP = replace(LOOSE, label="toy-called-sharp", sharp=True)
LIMIT_TOO_LOW = replace(FALSE, label="toy-limit-too-low", limit=1)
TRUE_CONTROL = replace(LOOSE, label="toy-true-control", control=means)
FALSE_CONTROL = replace(FALSE, label="toy-false-control", control=squares)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the toys in the place of the claims' own trials."""
    known = {toy.label: (toy,) for toy in TOYS}
    known["toy-both"] = tuple(replace(toy, label="toy-both") for toy in (LOOSE, SHARP))
    known["toy-floats"] = (replace(SHARP, label="toy-floats", kinds=frozenset({"attacked"})),)
    known["toy-balls"] = (replace(SHARP, label="toy-balls", kinds=frozenset({"certified"})),)
    monkeypatch.setattr("collapse.referee.trials.gathered", lambda: known)

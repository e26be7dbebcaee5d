"""The symbolic proofs on skip connections go through, and notice a constant that is 1% off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sympy

from collapse.symbolic import skips as proofs
from collapse.symbolic.proof import Proof


def test_the_recursion_needs_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """With growth 1 + Hη instead of 1 + Hdη the induction breaks."""

    def without(eta: Any, phi0: Any, heads: Any, width: Any, layer: Any) -> Any:
        return width * eta * phi0 * (1 + heads * eta) ** (layer - 1)

    monkeypatch.setattr(proofs, "head_epsilon", without)
    with pytest.raises(AssertionError, match="sympy does not confirm"):
        proofs.width_in_the_recursion()


@pytest.mark.parametrize(
    ("witness", "prove"),
    [
        ("common_shift", proofs.rows_exchanged),
        ("opposing_values", proofs.equality),
    ],
)
def test_a_witness_one_percent_off_is_refused(
    monkeypatch: pytest.MonkeyPatch, witness: str, prove: Callable[[], Proof]
) -> None:
    right = getattr(proofs, witness)

    def wrong(*arguments: Any) -> Any:
        network, X = right(*arguments)
        X[1, 0] = X[1, 0] * sympy.Rational(101, 100)
        return network, X

    monkeypatch.setattr(proofs, witness, wrong)
    with pytest.raises(AssertionError, match="sympy does not confirm"):
        prove()


def test_two_features_do_not_refute_the_reported_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    right = proofs.width_missing
    monkeypatch.setattr(
        proofs, "width_missing", lambda eta, phi, d, *rest: right(eta, phi, d if rest else 2, *rest)
    )
    with pytest.raises(AssertionError, match="sympy does not confirm"):
        proofs.width_counts()


def test_the_roots_are_not_simplified_away() -> None:
    """The helper behind preln-floor sees a difference between the two roots."""
    short, long = proofs.LENGTHS
    a = proofs.ETA / sympy.sqrt(2)
    near, far = (sympy.sqrt(a**2 + (x + a) ** 2) for x in (short, long))
    assert proofs._squares(near * near - a**2 - (short + a) ** 2) == 0
    assert proofs._squares(near - far) != 0
    assert proofs._squares(1 / near - 1 / far) != 0

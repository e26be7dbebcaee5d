"""The symbolic proofs of chapter 3 go through, and fail when a constant is off by 1%."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sympy

from collapse.symbolic import Proof
from collapse.symbolic import contraction as proofs


def shrunk(value: Any) -> Any:
    """A list of bounds 1% too small, a witness or matrix with its first column so."""
    factor = sympy.Rational(99, 100)
    if isinstance(value, list):
        return [value[0], *(entry * factor for entry in value[1:])]
    if isinstance(value, tuple):
        return value[0], value[1] * factor
    tilted = value.copy()
    tilted[..., 0] = tilted[..., 0] * factor
    return tilted


BROKEN = [
    (proofs.equality, "extremal"),
    (proofs.attained, "diameter_recursion"),
    (proofs.attained, "extremal"),
    (proofs.causal_mask, "causal_pair"),
    (proofs.difference_of_rows, "softmax"),
]


@pytest.mark.parametrize(
    ("proof", "name"), BROKEN, ids=[f"{proof.__name__}-{name}" for proof, name in BROKEN]
)
def test_what_a_proof_starts_from_off_by_one_per_cent_is_noticed(
    proof: Callable[[], Proof], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(proofs, name)
    monkeypatch.setattr(proofs, name, lambda *inputs: shrunk(right(*inputs)))
    with pytest.raises(AssertionError, match="does not confirm"):
        proof()


def test_other_weights_in_the_rotary_witness_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = proofs.rope_pair
    monkeypatch.setattr(proofs, "rope_pair", lambda beta, nu, gap: right(2 * beta, nu, gap))
    with pytest.raises(AssertionError, match="does not confirm"):
        proofs.equal_tokens()

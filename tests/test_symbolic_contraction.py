"""The symbolic proofs of chapter 3 go through, and fail when a constant is off by 1%."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy

from collapse.symbolic import PROOFS, Proof
from collapse.symbolic import contraction as proofs

LABELS = ("contraction", "double-exponential", "rope-collapse", "centred-propagation")
OF_THIS_CHAPTER = [(label, proof) for label in LABELS for proof in PROOFS[label]]


@pytest.mark.parametrize(
    ("label", "proof"), OF_THIS_CHAPTER, ids=[f"{k}-{p.__name__}" for k, p in OF_THIS_CHAPTER]
)
def test_the_proof_goes_through(label: str, proof: Callable[[], Proof]) -> None:
    finished = proof()
    assert finished.label == label and finished.steps
    assert all(step.text and step.formula not in (True, False) for step in finished.steps)
    assert finished._repr_markdown_().count("1. ") >= len(finished.steps)


def shrunk(value: Any) -> Any:
    """The same formula, 1% too small; of a witness, its tokens."""
    factor = sympy.Rational(99, 100)
    if isinstance(value, list):
        return [value[0], *(shrunk(entry) for entry in value[1:])]
    if isinstance(value, tuple):
        return value[0], value[1] * factor
    if isinstance(value, np.ndarray):
        tilted = value.copy()
        tilted[..., 0] = tilted[..., 0] * factor
        return tilted
    return value * factor


BROKEN = [
    (proofs.equality, "contraction_factor"),
    (proofs.equality, "extremal"),
    (proofs.iteration, "contraction_factor"),
    (proofs.iteration, "double_exponential"),
    (proofs.attained, "diameter_recursion"),
    (proofs.attained, "extremal"),
    (proofs.causal_mask, "contraction_factor"),
    (proofs.causal_mask, "causal_pair"),
    (proofs.difference_of_rows, "softmax"),
]


@pytest.mark.parametrize(
    ("proof", "name"), BROKEN, ids=[f"{proof.__name__}-{name}" for proof, name in BROKEN]
)
def test_a_constant_off_by_one_per_cent_is_noticed(
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

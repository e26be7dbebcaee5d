"""The symbolic proofs of chapter 2 go through, and fail when a constant is off by 1%."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import pytest
import sympy

from collapse.softmax import entry_bound, extremal_pair, softmax, total_variation, tv_bound
from collapse.symbolic import PROOFS, Proof
from collapse.symbolic import softmax as proofs

LABELS = (
    "softmax-ratio",
    "softmax-tv",
    "softmax-entry",
    "softmax-compare",
    "uniform-tv",
    "retrieval",
)
OF_THIS_CHAPTER = [(label, proof) for label in LABELS for proof in PROOFS[label]]


@pytest.mark.parametrize(
    ("label", "proof"), OF_THIS_CHAPTER, ids=[f"{k}-{p.__name__}" for k, p in OF_THIS_CHAPTER]
)
def test_the_proof_goes_through(label: str, proof: Callable[[], Proof]) -> None:
    finished = proof()
    assert finished.label == label and finished.steps
    assert all(step.text and step.formula != sympy.false for step in finished.steps)
    assert finished._repr_markdown_().count("1. ") >= len(finished.steps)


def shrunk(value: Any) -> Any:
    """The same formula, 1% too small."""
    if isinstance(value, dict):
        return {name: shrunk(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return tuple(shrunk(entry) for entry in value)
    return value * sympy.Rational(99, 100)


BROKEN = [
    ("softmax-ratio", proofs.ratio, "ratio_bound"),
    ("softmax-tv", proofs.optimum, "tv_bounds"),
    ("softmax-tv", proofs.equality, "extremal_pair"),
    ("softmax-tv", proofs.equality, "tv_bounds"),
    ("softmax-entry", proofs.entry, "entry_bound"),
    ("softmax-entry", proofs.entry, "tv_bounds"),
    ("softmax-compare", proofs.order, "tv_bounds"),
    ("softmax-compare", proofs.range_of_d21, "d21_limit"),
    ("uniform-tv", proofs.few_tokens, "uniform_tv_bound"),
    ("retrieval", proofs.threshold, "retrieval_threshold"),
]


@pytest.mark.parametrize(
    ("label", "proof", "name"), BROKEN, ids=[f"{label}-{name}" for label, _, name in BROKEN]
)
def test_a_constant_off_by_one_per_cent_is_noticed(
    label: str, proof: Callable[[], Proof], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(proofs, name)
    monkeypatch.setattr(proofs, name, lambda *inputs: shrunk(right(*inputs)))
    with pytest.raises(AssertionError, match="does not confirm"):
        proof()


@pytest.mark.label("softmax-compare")
def test_the_range_of_d21_is_the_root_and_no_other_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flint.ctx, "prec", 200)
    root = Fraction(str(sympy.N(proofs.d21_limit(), 30)))
    for offset, inside in ((-Fraction(1, 10**20), True), (Fraction(1, 10**20), False)):
        x = flint.arb(flint.fmpq(*(root + offset).as_integer_ratio()))
        slack = 1 + 2 * x - x.exp()
        assert (slack > 0) if inside else (slack < 0)


@pytest.mark.label("softmax-tv")
@pytest.mark.parametrize("theta", [flint.fmpq(1, 1000), 1, flint.fmpq(5, 2), 12])
def test_in_balls_the_extremal_pair_beats_ninety_nine_per_cent(theta: Any) -> None:
    A, E = extremal_pair(flint.arb(theta))
    moved = total_variation(softmax(A), softmax(A + E))[0]
    bound = tv_bound(flint.arb(theta))
    assert moved > bound * 99 / 100
    assert moved.overlaps(bound)
    assert not moved > bound


@pytest.mark.label("softmax-entry")
def test_the_rise_alone_is_refuted_exactly() -> None:
    """At 9/10 and θ = log 9 an entry falls by 2/5, while the rise would allow 18/205."""
    q, theta = sympy.Rational(9, 10), sympy.log(9)
    assert sympy.simplify(entry_bound(q, theta)) == sympy.Rational(2, 5)
    exceeded = proofs.one_sided_form().steps
    assert [step.formula.rhs for step in exceeded[:2]] == [
        sympy.Rational(2, 5),
        sympy.Rational(18, 205),
    ]

"""The symbolic proofs of chapter 2 go through, and fail when a constant is off by 1%."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint
import pytest
import sympy

from collapse.softmax import entry_bound, extremal_pair, softmax, total_variation, tv_bound
from collapse.symbolic import softmax as proofs


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

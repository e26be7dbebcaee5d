"""The symbolic proofs on Res go through, and refuse every constant that is 1% off."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

from collapse.symbolic import res as proofs


@pytest.mark.parametrize("which", [0, 1])
def test_each_constant_of_the_dictionary_is_checked(
    monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    right = proofs.measure_dictionary

    def wrong(n: Any, d: Any) -> Any:
        value = list(right(n, d))
        value[which] *= sympy.Rational(101, 100)
        return tuple(value)

    monkeypatch.setattr(proofs, "measure_dictionary", wrong)
    with pytest.raises(AssertionError, match="sympy does not confirm"):
        proofs.dictionary_constants()


def test_the_refutation_needs_three_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """For two tokens the lemma holds, and the same lines do not refute it."""
    two = proofs.witnesses.lipschitz(2)
    monkeypatch.setattr(proofs.witnesses, "lipschitz", lambda n: two)
    with pytest.raises(AssertionError, match="asks for the opposite"):
        proofs.refutation()


def test_a_slack_that_may_be_negative_is_refused() -> None:
    with pytest.raises(AssertionError, match="does not confirm"):
        proofs._slack("p - q may be negative:", "s", proofs.P - proofs.Q, proofs.P - proofs.Q)

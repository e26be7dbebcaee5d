"""The symbolic proofs on orders and floors go through, and refuse what is 1% off."""

from __future__ import annotations

import pytest
import sympy

from collapse.symbolic import orders as proofs


@pytest.mark.parametrize("rung", [1, 2, 3])
def test_a_lower_rung_is_not_of_the_higher_order(
    rung: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = proofs.surrogate
    monkeypatch.setattr(proofs, "surrogate", lambda network, r: right(network, r - 1))
    with pytest.raises(AssertionError, match="lower orders"):
        proofs.order_of(rung)


def test_taylor_knows_exponentials() -> None:
    eta = proofs.ETA
    quotient = (1 + sympy.exp(eta**2)) / (2 - eta)
    expected = [sympy.Rational(c) for c in ("1", "1/2", "3/4", "3/8", "7/16")]
    assert proofs.taylor(quotient) == expected

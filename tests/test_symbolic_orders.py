"""The symbolic proofs on orders and floors go through, and refuse what is 1% off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sympy

from collapse.symbolic import PROOFS, Proof
from collapse.symbolic import orders as proofs

ALL = [
    proofs.rung_0,
    proofs.rung_1,
    proofs.rung_2,
    proofs.rung_3,
    proofs.one_layer,
    proofs.with_biases,
    proofs.one_head,
    proofs.theorem,
]


@pytest.mark.parametrize("prove", ALL)
def test_the_proof_goes_through_and_can_be_read(prove: Callable[[], Proof]) -> None:
    proof = prove()
    assert prove in PROOFS[proof.label]
    for step in proof.steps:
        assert not isinstance(step.formula, sympy.logic.boolalg.BooleanAtom)
        assert step.formula.lhs != step.formula.rhs
    assert proof._repr_markdown_().count("$\\displaystyle") == len(proof.steps)


def test_every_proof_of_this_module_is_registered() -> None:
    registered = {f for fs in PROOFS.values() for f in fs if f.__module__ == proofs.__name__}
    assert registered == set(ALL)


@pytest.mark.parametrize("factor", [sympy.Rational(99, 100), sympy.Rational(101, 100)])
@pytest.mark.parametrize(
    ("prove", "formula"),
    [
        (proofs.rung_0, "leading_coefficient"),
        (proofs.rung_1, "leading_coefficient"),
        (proofs.rung_2, "leading_coefficient"),
        (proofs.rung_3, "leading_coefficient"),
        (proofs.one_layer, "one_layer_floor"),
        (proofs.with_biases, "one_layer_floor_with_biases"),
        (proofs.one_head, "one_head_floor"),
        (proofs.theorem, "one_layer_floor"),
    ],
)
def test_a_constant_off_by_one_per_cent_is_refused(
    prove: Callable[[], Proof],
    formula: str,
    factor: sympy.Rational,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = getattr(proofs, formula)

    def wrong(*args: Any) -> Any:
        return right(*args) * factor

    monkeypatch.setattr(proofs, formula, wrong)
    with pytest.raises(AssertionError, match="sympy does not confirm"):
        prove()


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

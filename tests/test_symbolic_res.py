"""The symbolic proofs on Res go through, and refuse every constant that is 1% off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sympy

from collapse.symbolic import PROOFS, Proof
from collapse.symbolic import res as proofs

ALL = [
    proofs.midrange_is_best,
    proofs.refutation,
    proofs.midrange_constant,
    proofs.mean_constant,
    proofs.norm_constant,
    proofs.dictionary_constants,
]


@pytest.mark.parametrize("prove", ALL)
def test_the_proof_goes_through_and_can_be_read(prove: Callable[[], Proof]) -> None:
    proof = prove()
    assert prove in PROOFS[proof.label]
    for step in proof.steps:
        assert not isinstance(step.formula, sympy.logic.boolalg.BooleanAtom)  # not a bare "True"
        assert step.formula.lhs != step.formula.rhs
    assert proof._repr_markdown_().count("$\\displaystyle") == len(proof.steps)


def test_every_proof_of_this_module_is_registered() -> None:
    registered = {f for fs in PROOFS.values() for f in fs if f.__module__ == proofs.__name__}
    assert registered == set(ALL)


@pytest.mark.parametrize("factor", [sympy.Rational(99, 100), sympy.Rational(101, 100)])
@pytest.mark.parametrize(
    ("prove", "formula"),
    [
        (proofs.midrange_is_best, "residual"),
        (proofs.midrange_is_best, "residual_norm"),
        (proofs.midrange_is_best, "diameter"),
        (proofs.refutation, "residual"),
        (proofs.refutation, "residual_lipschitz"),
        (proofs.midrange_constant, "residual_lipschitz"),
        (proofs.mean_constant, "residual_lipschitz"),
        (proofs.norm_constant, "residual_norm"),
        (proofs.dictionary_constants, "measure_dictionary"),
        (proofs.dictionary_constants, "mean_residual_norm"),
    ],
)
def test_a_constant_off_by_one_per_cent_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    prove: Callable[[], Proof],
    formula: str,
    factor: sympy.Rational,
) -> None:
    right = getattr(proofs, formula)

    def wrong(*arguments: Any) -> Any:
        value = right(*arguments)
        return tuple(factor * v for v in value) if isinstance(value, tuple) else factor * value

    monkeypatch.setattr(proofs, formula, wrong)
    with pytest.raises(AssertionError, match="sympy does not confirm"):
        prove()


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

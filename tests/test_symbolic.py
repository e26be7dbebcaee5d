"""Every symbolic proof goes through, can be read, and fails when a constant is off by 1%."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sympy

import collapse.symbolic
from collapse.symbolic import PROOFS, Proof
from collapse.symbolic.proof import RESTS_ON, confirm, notices

EVERY = [(label, prove) for label, proofs in PROOFS.items() for prove in proofs]
PROVED = """
    as25-eps as25-eq-1 as25-lem-4.1 as25-lem-5.1
    as25-lem-5.2 as25-lem-c.1 as25-res as25-skip
    as25-thm-5.3 attention-lipschitz causal-floor centred-propagation
    contraction double-exponential eps-counterexample j24-lower-bound
    lambda-rescaling lambda-skip lambda-threshold large-weights-suffice
    ln-contraction ln-equilibria ln-orthogonal ln-two-token
    masked-collapse masked-rate masked-walk metric-dictionary
    norm-choice one-head-floor one-layer-floor path-decomposition
    postln-collapse postln-floor preln-collapse preln-floor
    rank-survives res-any-centre res-formula res-left
    res-lipschitz res-norm-lipschitz res-right res-seminorm
    retrieval rope-collapse rung-0 rung-1
    rung-2 rung-3 shift-matters skip-drift
    softmax-compare softmax-entry softmax-ratio softmax-tv
    ssm-lti-exact ssm-normalised-collapse ssm-selective-order ssm-state-ladder
    taylor-attention uniform-tv
""".split()
LESS, MORE = sympy.Rational(99, 100), sympy.Rational(101, 100)
# A proof rests on no constant where it is an identity of polynomials, or a strict inequality that
# one per cent does not touch.
WITHOUT_CONSTANTS = {"logits_moved", "one_sided_form"}
BROKEN = [
    (prove, name, off) for _, prove in EVERY for name in RESTS_ON[prove] for off in (LESS, MORE)
]


@pytest.mark.parametrize(
    ("label", "prove"), EVERY, ids=[f"{label}-{prove.__name__}" for label, prove in EVERY]
)
def test_the_proof_goes_through_and_can_be_read(label: str, prove: Callable[[], Proof]) -> None:
    proof = prove()
    assert proof.label == label and proof.steps
    for step in proof.steps:
        assert step.text
        assert not isinstance(step.formula, sympy.logic.boolalg.BooleanAtom)  # not a bare "True"
        assert not isinstance(step.formula, sympy.Eq) or step.formula.lhs != step.formula.rhs
    assert proof._repr_markdown_().count("$\\displaystyle") == len(proof.steps)


def test_these_results_are_proved() -> None:
    assert sorted(PROOFS) == PROVED


def test_every_module_of_proofs_is_in_the_library() -> None:
    folder = Path(collapse.symbolic.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "library", "proof"}
    assert {prove.__module__.rpartition(".")[2] for _, prove in EVERY} == modules


@pytest.mark.parametrize(
    ("prove", "formula", "factor"),
    BROKEN,
    ids=[f"{prove.__module__}.{prove.__name__}-{name}-{off}" for prove, name, off in BROKEN],
)
def test_a_constant_off_by_one_per_cent_is_noticed(
    prove: Callable[[], Proof], formula: str, factor: sympy.Rational
) -> None:
    module = sys.modules[prove.__module__]
    right = getattr(module, formula)
    assert notices(prove, formula, factor)
    assert getattr(module, formula) is right


def test_a_right_constant_is_not_refused() -> None:
    (prove, *_) = PROOFS["softmax-tv"]
    assert not notices(prove, "tv_bounds", sympy.Integer(1))


def test_a_proof_without_constants_is_the_exception() -> None:
    assert {prove.__name__ for _, prove in EVERY if not RESTS_ON[prove]} == WITHOUT_CONSTANTS
    assert all(any(RESTS_ON[prove] for prove in proofs) for proofs in PROOFS.values())


def test_what_is_no_identity_is_refused_at_once() -> None:
    x, y = sympy.symbols("x y", positive=True)
    n = sympy.Symbol("n", integer=True, positive=True)
    confirm("true", sympy.Eq(sympy.log(x * y), sympy.log(x) + sympy.log(y)))
    confirm("true of integers", sympy.Eq(sympy.cos(sympy.pi * n), (-1) ** n))
    for claim in (
        sympy.Eq(sympy.tanh(x) ** 100, sympy.tanh(x * sympy.Rational(101, 100)) ** 100),
        sympy.Eq(sympy.cos(sympy.pi * n), 1),
        sympy.Gt(x, y),
    ):
        with pytest.raises(AssertionError, match="does not confirm"):
            confirm("false", claim)

"""Random testing finds violations, shrinks them, prints them as code, and repeats itself."""

from __future__ import annotations

import builtins
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from toy_trials import (
    CALLED_FALSE,
    CALLED_TRUE,
    DECAY,
    FALSE,
    FALSE_CONTROL,
    LOOSE,
    PAIR,
    SHARP,
    TRUE_CONTROL,
    toys,
    two,
)

from collapse.numeric import Evidence
from collapse.referee import hypothesis_check
from collapse.referee.properties import property_outcome
from collapse.referee.trial import Trial

__all__ = ["toys"]


@pytest.mark.label("as25-lem-4.1")
def test_lemma_4_1_falls_with_a_counterexample_of_small_integers() -> None:
    (check, *_) = hypothesis_check("as25-lem-4.1", "three tokens")
    assert check.violated and check.counterexample is not None
    entries = [Fraction(row[0]) for name in ("A", "B") for row in check.counterexample[name]]
    assert all(abs(x) <= 1 for x in entries) and 0 in entries
    names: dict[str, Any] = {}
    exec(str(check), names)
    assert names["case"].refuted and names["case"].arithmetic == "exact"


@pytest.mark.usefixtures("toys")
def test_a_counterexample_is_minimal() -> None:
    """No violation has smaller numbers than x = y = 1, up to the sign."""
    (check,) = hypothesis_check("toy-false")
    assert check.counterexample in ({"x": ["1"], "y": ["1"]}, {"x": ["-1"], "y": ["-1"]})


@pytest.mark.usefixtures("toys")
def test_the_code_reproduces_the_violation_and_no_code_a_true_claim() -> None:
    (check,) = hypothesis_check("toy-false")
    exec(str(check), names := {})
    assert names["case"].refuted
    tampered = str(check).replace("'1'", "'0'", 1).replace("'-1'", "'0'", 1)
    with pytest.raises(AssertionError):
        exec(tampered, {})
    (true,) = hypothesis_check("toy-sharp")
    assert str(true) == "no violation of toy-sharp (means) in 100 cases"


@pytest.mark.usefixtures("toys")
def test_the_same_seed_draws_the_same_cases() -> None:
    first, again = (hypothesis_check("toy-loose", seed=5) for _ in range(2))
    assert first == again
    tightest = {hypothesis_check("toy-loose", seed=s, examples=3)[0].tightest for s in range(6)}
    assert len(tightest) > 1


@pytest.mark.parametrize("trial", [SHARP, DECAY, LOOSE, FALSE])
def test_claim_and_control_come_out_as_they_must(trial: Trial) -> None:
    outcome = property_outcome(trial)
    assert (outcome.evidence, outcome.noticed) == (Evidence.PASSED, True)
    assert outcome.ratio is not None and 0 < outcome.ratio <= (1 if trial.holds else 2)
    assert bool(outcome.code) == bool(outcome.witness) == (not trial.holds)


@pytest.mark.parametrize("trial", [CALLED_TRUE, CALLED_FALSE])
def test_it_contradicts_a_wrong_ledger(trial: Trial) -> None:
    assert property_outcome(trial).evidence is Evidence.FAILED


@pytest.mark.parametrize("trial", [TRUE_CONTROL, FALSE_CONTROL])
def test_it_says_when_a_control_went_unnoticed(trial: Trial) -> None:
    assert not property_outcome(trial).noticed


def test_a_violation_in_floats_alone_is_none() -> None:
    """A number divided and multiplied by 49 comes back larger: rounding is not evidence."""

    def around(x: Any, y: Any) -> tuple[Any, Any]:
        return x * x / 49 * 49 + 0 * y, x * x

    squares = [Fraction(k, 8) ** 2 for k in range(97)]
    assert any(float(q) / 49 * 49 > float(q) for q in squares)
    outcome = property_outcome(Trial("toy", "around", PAIR, two, around, sharp=True))
    assert outcome.evidence is Evidence.PASSED


def test_an_identity_broken_by_little_is_noticed() -> None:
    """Floats cannot see 10⁻¹⁸, so the decision is left to exact numbers."""

    def nearly(x: Any, y: Any) -> tuple[Any, Any]:
        observed, bound = SHARP.sides(x, y)
        return observed, bound * (10**18 - 1) / 10**18

    assert property_outcome(replace(SHARP, sides=nearly)).evidence is Evidence.FAILED


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown label": ({"label": "toy-shar"}, "label: .*near it: toy-sharp"),
    "unknown trial": ({"trial": "x"}, "trial: expected one of 'means'"),
    "not tested": ({"label": "toy-floats"}, "trial: expected one of toy-floats for random testing"),
    "no example": ({"examples": 0}, "examples: expected an integer >= 1"),
    "bad seed": ({"seed": -1}, "seed: expected an integer >= 0"),
}


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("name", REFUSED)
def test_bad_input(name: str) -> None:
    options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        hypothesis_check(**{"label": "toy-sharp", **options})


@pytest.mark.usefixtures("toys")
def test_a_missing_hypothesis_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "hypothesis":
            raise ImportError(name)
        return genuine(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'collapse-companion\[referee\]'"):
        hypothesis_check("toy-sharp")

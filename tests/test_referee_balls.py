"""Certificates: decided at exact inputs, kept, decided again, and refused once tampered with."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import flint
import pytest
from toy_trials import (
    CALLED_FALSE,
    CALLED_TRUE,
    DECAY,
    FALSE,
    FALSE_CONTROL,
    LOOSE,
    SHARP,
    TRUE_CONTROL,
    toys,
)

import collapse
from collapse.numeric import Evidence
from collapse.referee import certify, recheck
from collapse.referee.balls import ball_outcome
from collapse.referee.cases import read
from collapse.referee.deciding import Certificate, decide
from collapse.referee.trial import Trial
from collapse.referee.trials import trials

__all__ = ["toys"]
EQUAL = {"x": ["1"], "y": ["-1"]}
BESIDE = {"x": ["1"], "y": ["-99/100"]}


def outcome_at(label: str, case: dict[str, Any], **options: Any) -> Certificate:
    (certificate,) = certify(label, trials(label)[0].name, cases=0, witnesses=[case], **options)
    return certificate


# --- deciding ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toys")
def test_rationals_decide_equality_and_balls_do_not() -> None:
    exact = outcome_at("toy-sharp", EQUAL)
    assert (exact.outcome, exact.arithmetic, exact.precision) == ("proved", "exact", None)
    assert (exact.observed, exact.bound) == ("2", "2")
    balls = outcome_at("toy-decay", EQUAL)
    assert (balls.outcome, balls.arithmetic, balls.precision) == ("undecided", "balls", 848)


@pytest.mark.usefixtures("toys")
def test_the_precision_rises_until_the_balls_part() -> None:
    """The gap is about (10^-k)²/2 of the bound, so it takes about 6.6k bits to see it."""
    bits = {}
    for k in (2, 12, 24, 60):
        near = {"x": [str(1 + Fraction(1, 10**k))], "y": ["0"]}
        certificate = outcome_at("toy-decay", near)
        assert certificate.outcome == "proved"
        bits[k] = certificate.precision
        assert certificate.observed != certificate.bound  # the gap shows in what is written down
    assert bits == {2: 53, 12: 106, 24: 212, 60: 424}
    limited = outcome_at(
        "toy-decay", {"x": [str(1 + Fraction(1, 10**24))], "y": [0]}, max_precision=100
    )
    assert (limited.outcome, limited.precision) == ("undecided", 100)


@pytest.mark.usefixtures("toys")
def test_enclosures_contain_the_sides() -> None:
    certificate = outcome_at("toy-decay", {"x": ["1/2"], "y": ["0"]})
    with flint.ctx.workprec(300):
        truth = flint.arb(flint.fmpq(1, 2)) * flint.arb(flint.fmpq(-1, 2)).exp()
        assert flint.arb(certificate.observed).contains(truth)
        assert not flint.arb(certificate.bound).overlaps(truth)


@pytest.mark.usefixtures("toys")
def test_false_claims_are_refuted_and_random_cases_repeat() -> None:
    first, again, other = (certify("toy-false", seed=seed, cases=8) for seed in (0, 0, 1))
    assert first == again and first != other
    assert {c.outcome for c in first} == {"proved", "refuted"}  # about half have xy > 0
    for certificate in first:
        x, y = (Fraction(certificate.inputs[name][0]) for name in ("x", "y"))
        assert (certificate.outcome == "refuted") == (x * y > 0)


@pytest.mark.label("as25-lem-4.1")
def test_lemma_4_1_is_refuted_exactly() -> None:
    case = {"A": [[2], [0], [-2]], "B": [[1], [1], [-3]]}
    certificate = outcome_at("as25-lem-4.1", case)
    assert (certificate.outcome, certificate.arithmetic) == ("refuted", "exact")
    assert (certificate.observed, certificate.bound) == ("2", "1")


@pytest.mark.label("rung-0", "rung-1", "rung-2", "rung-3")
@pytest.mark.parametrize("label", ["rung-0", "rung-1", "rung-2", "rung-3"])
def test_whole_networks_are_certified(label: str) -> None:
    """Six layers of two heads on four tokens of width three, forward pass and bound in balls."""
    shapes = {name: (6, 2, 3) for name in ("query", "key", "value")}
    (deep, *_) = (
        trial
        for trial in trials(label)
        if all(trial.free.get(name, ())[:3] == shape for name, shape in shapes.items())
    )
    assert deep.free["X"] == (4, 3)
    (certificate,) = certify(label, deep.name, cases=1)
    assert (certificate.outcome, certificate.arithmetic) == ("proved", "balls")
    assert recheck(certificate) == certificate


def test_the_working_precision_is_put_back() -> None:
    before = flint.ctx.prec
    certify("softmax-tv", cases=1, precision=300, max_precision=300)
    assert flint.ctx.prec == before


# --- certificates --------------------------------------------------------------------------------


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("label", ["toy-sharp", "toy-decay", "toy-false"])
def test_a_certificate_survives_json_and_is_decided_again(label: str, tmp_path: Path) -> None:
    for certificate in certify(label, cases=3):
        text = certificate.to_json()
        assert Certificate.from_json(text) == certificate == recheck(json.loads(text))
        path = tmp_path / "certificate.json"
        path.write_text(text, "utf-8")
        assert recheck(path) == recheck(str(path)) == certificate


TAMPERED: dict[str, tuple[dict[str, Any], str]] = {
    "outcome": ({"outcome": "refuted"}, "outcome: expected proved, as just computed"),
    "no outcome": ({"outcome": "likely"}, "outcome: expected one of"),
    "label": ({"label": "toy-shar"}, "label: expected a claim that has trials"),
    "another claim": ({"label": "toy-sharp"}, "trial: expected one of 'means' for toy-sharp"),
    "trial": ({"trial": "means"}, "trial: expected one of 'exponential'"),
    "input": ({"inputs": {"x": ["3"], "y": ["0"]}}, "observed: expected"),
    "shape": ({"inputs": {"x": ["3", "1"], "y": ["0"]}}, "shape of x"),
    "names": ({"inputs": {"x": ["3"]}}, "free: expected the arrays"),
    "a list for a label": ({"label": ["toy-decay"]}, "label: expected a name"),
    "no trial": ({"trial": None}, "trial: expected a name, received None"),
    "a number for an array": ({"inputs": {"x": 3, "y": ["0"]}}, "shape of x: expected"),
    "no array": ({"inputs": {"x": None, "y": ["0"]}}, "x: expected rationals"),
    "infinite": ({"inputs": {"x": [float("inf")], "y": ["0"]}}, "x: expected rationals"),
    "no finite time": ({"inputs": {"x": ["1e999999999"], "y": ["0"]}}, "x: .* no power of ten"),
    "no inputs": ({"inputs": "3"}, "inputs: expected arrays by name"),
    "no number": ({"inputs": {"x": ["3"], "y": ["zero"]}}, "y: expected rationals"),
    "precision": ({"precision": 54}, "observed|precision|outcome"),
    "no precision": (
        {"precision": None},
        "precision: expected 53.*received None",
    ),
    "impossible precision": ({"precision": 1}, "precision: expected an integer from 2"),
    "endless precision": ({"precision": 10**9}, "precision: expected an integer from 2"),
    "precision in words": ({"precision": "106"}, "precision: expected an integer from 2"),
    "arithmetic": ({"arithmetic": "exact"}, "arithmetic: expected balls"),
    "observed": ({"observed": "[0.4 +/- 1e-9]"}, "observed: expected"),
    "vague": ({"observed": "[0 +/- 1e9]"}, "observed: expected"),
    "no ball": ({"bound": "small"}, "bound: expected"),
    "nothing": ({"bound": None}, "bound: expected"),
    "schema": ({"schema": "collapse-certificate/2"}, "schema: expected collapse-certificate/1"),
    "more fields": ({"author": "me"}, "fields: expected"),
}


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_certificate_is_refused(name: str) -> None:
    genuine = outcome_at("toy-decay", {"x": ["1000001/1000000"], "y": ["0"]}, precision=106)
    content = json.loads(genuine.to_json())
    assert recheck(content) == genuine
    changes, message = TAMPERED[name]
    if name == "precision":  # a claim of fewer bits than the decision took
        genuine = outcome_at("toy-decay", {"x": [str(1 + Fraction(1, 10**12))], "y": ["0"]})
        content, changes = json.loads(genuine.to_json()), {"precision": 53}
    with pytest.raises(ValueError, match=message):
        recheck({**content, **changes})


@pytest.mark.usefixtures("toys")
def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="certificate: expected a readable file"):
        recheck(tmp_path / "missing.json")
    path = tmp_path / "text.json"
    for text, message in (
        ("no JSON", "expected JSON"),
        ("[1]", "expected a mapping"),
        ("{}", "fields"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(ValueError, match=message):
            recheck(path)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown label": ({"label": "toy-shar"}, "label: .*near it: toy-sharp"),
    "unknown trial": ({"trial": "x"}, "trial: expected one of 'means'"),
    "not for balls": ({"label": "toy-floats"}, "trial: .*that balls can evaluate"),
    "one bit": ({"precision": 1}, "precision: expected an integer from 2 to 65536, received 1"),
    "falling": ({"precision": 99, "max_precision": 98}, "max_precision: .*>= precision = 99"),
    "endless": ({"max_precision": 10**9}, "max_precision: expected an integer from 2"),
    "half a bit": ({"precision": 53.5}, "precision: expected an integer"),
    "no case": ({"cases": 0}, "cases: expected at least one case or witness"),
    "fewer than none": ({"cases": -1}, "cases: expected an integer >= 0"),
    "bad seed": ({"seed": -1}, "seed: expected an integer >= 0"),
    "witness of what": ({"label": "toy-both", "witnesses": [EQUAL]}, "trial: expected a name"),
    "bad witness": ({"witnesses": [{"x": [1]}]}, "free: expected the arrays"),
}


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("name", REFUSED)
def test_bad_input(name: str) -> None:
    options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        certify(**{"label": "toy-sharp", **options})


def test_it_is_a_public_name() -> None:
    assert collapse.certify is certify


# --- a claim and its control ---------------------------------------------------------------------


@pytest.mark.parametrize("trial", [SHARP, DECAY, LOOSE, FALSE])
def test_claim_and_control_come_out_as_they_must(trial: Trial) -> None:
    outcome = ball_outcome(trial, witnesses=[EQUAL])
    assert (outcome.evidence, outcome.noticed) == (Evidence.PASSED, True)
    assert ("beside" in outcome.detail) == (trial is DECAY)


def test_without_a_tight_case_one_per_cent_goes_unnoticed() -> None:
    """So a search must hand over what it found; the run does."""
    assert not ball_outcome(SHARP).noticed
    assert not ball_outcome(SHARP, witnesses=[{"x": ["1"], "y": ["4/5"]}]).noticed
    assert ball_outcome(SHARP, witnesses=[BESIDE]).noticed


@pytest.mark.parametrize("trial", [CALLED_TRUE, CALLED_FALSE])
def test_it_contradicts_a_wrong_ledger(trial: Trial) -> None:
    assert ball_outcome(trial, witnesses=[{"x": ["1"], "y": ["1"]}]).evidence is Evidence.FAILED


@pytest.mark.parametrize("trial", [TRUE_CONTROL, FALSE_CONTROL])
def test_it_says_when_a_control_went_unnoticed(trial: Trial) -> None:
    assert not ball_outcome(trial, witnesses=[{"x": ["1"], "y": ["1"]}]).noticed


def test_what_balls_cannot_decide_is_undecided_and_not_false() -> None:
    def twice(x: Any, y: Any) -> tuple[Any, Any]:
        observed, _ = DECAY.sides(x, y)
        return observed, observed

    outcome = ball_outcome(replace(DECAY, sides=twice))
    assert outcome.evidence is Evidence.UNDECIDED


def test_balls_too_wide_for_a_function_are_undecided() -> None:
    """A ball that straddles the edge of a domain is refused by the formula, not by the truth."""

    def root(x: Any, y: Any) -> tuple[Any, Any]:
        if hasattr(x, "rad"):
            raise ValueError("x: expected x >= 0")
        return DECAY.sides(x, y)

    certificate, measured = decide(replace(DECAY, sides=root), read(DECAY, BESIDE))
    assert (certificate.outcome, certificate.observed, measured) == ("undecided", None, None)

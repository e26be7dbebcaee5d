"""The trials of state space models: the same in every number type, with controls that notice."""

from __future__ import annotations

import pytest
from trial_cases import agree_in_balls, allowed, points, rationals, sides

from collapse.ledger.state_spaces import CLAIMS
from collapse.referee.cases import measure
from collapse.referee.controls import control_sides
from collapse.referee.trial import Trial
from collapse.referee.trials.ssm import TRIALS

EVERY = [
    pytest.param(trial, id=f"{trial.label}: {trial.name}", marks=pytest.mark.label(trial.label))
    for trial in TRIALS
]


def test_every_claim_is_tried_in_each_way_that_applies() -> None:
    for claim in CLAIMS:
        kinds = {kind for trial in TRIALS if trial.label == claim.label for kind in trial.kinds}
        assert kinds == {"certified", "attacked", "property"} - set(claim.inapplicable), claim.label
    names = [(trial.label, trial.name) for trial in TRIALS]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize("trial", EVERY)
def test_floats_and_balls_see_the_same(trial: Trial) -> None:
    agree_in_balls(trial, 1000)  # quotients of poles, scores


@pytest.mark.parametrize("trial", EVERY)
def test_what_holds_holds_and_what_is_refuted_does_not(trial: Trial) -> None:
    if "attacked" not in trial.kinds:  # an identity, which floats meet up to rounding only
        cases = [rationals(trial, point) for point in points(trial, 6, seed=2)]
        assert all(measure(trial, free, 400).proved for free in cases)
        return
    observed, bound = sides(trial, points(trial, 400, seed=2))
    excess = observed - bound - allowed(observed, bound)
    assert (excess <= 0).all() if trial.holds else (excess > 0).all()


@pytest.mark.parametrize("trial", EVERY)
def test_the_control_is_noticed(trial: Trial) -> None:
    cases = [rationals(trial, point) for point in points(trial, 12, seed=3)]
    found = [measure(trial, free, 400, control_sides(trial)) for free in cases]
    if trial.holds:
        assert any(outcome.refuted for outcome in found)
    else:
        assert all(outcome.proved for outcome in found)

"""The trials of masks and components: the same in every number type, controls noticed."""

from __future__ import annotations

import pytest
from trial_cases import agree_in_balls, control_is_refuted, holds, points, sides

from collapse.ledger import get
from collapse.referee.trial import Trial
from collapse.referee.trials.masks import TRIALS

EVERY = [
    pytest.param(trial, id=f"{trial.label}: {trial.name}", marks=pytest.mark.label(trial.label))
    for trial in TRIALS
]


def test_every_claim_is_tried_in_all_ways_that_apply() -> None:
    for label in {trial.label for trial in TRIALS}:
        kinds = {kind for trial in TRIALS if trial.label == label for kind in trial.kinds}
        want = {"certified", "attacked", "property"} - set(get(label).inapplicable)
        assert kinds == want, label
    names = [(trial.label, trial.name) for trial in TRIALS]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize("trial", EVERY)
def test_floats_and_balls_see_the_same(trial: Trial) -> None:
    agree_in_balls(trial)


@pytest.mark.parametrize("trial", EVERY)
def test_what_holds_holds(trial: Trial) -> None:
    assert holds(trial, 2000)


@pytest.mark.parametrize("trial", [param for param in EVERY if param.values[0].control])
def test_the_control_is_refuted(trial: Trial) -> None:
    assert control_is_refuted(trial, 12)


@pytest.mark.parametrize("trial", [param for param in EVERY if param.values[0].sharp])
def test_what_is_sharp_comes_near_to_attained_at_random(trial: Trial) -> None:
    observed, bound = sides(trial, points(trial, 4000, seed=4))
    assert 0.9 < (observed / bound)[bound > 0].max() <= 1 + 1e-9

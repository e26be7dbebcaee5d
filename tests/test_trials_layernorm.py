"""The trials on normalised rows: the same in every number type, attained where they are sharp."""

from __future__ import annotations

import pytest
from trial_cases import agree_in_balls, control_is_refuted, holds

from collapse.ledger.layernorm import CLAIMS
from collapse.numeric import Verdict, exact
from collapse.referee.cases import measure
from collapse.referee.controls import control_sides
from collapse.referee.trial import Trial
from collapse.referee.trials.layernorm import TRIALS

EVERY = [
    pytest.param(trial, id=f"{trial.label}: {trial.name}", marks=pytest.mark.label(trial.label))
    for trial in TRIALS
]


def test_every_claim_is_tried_in_three_ways() -> None:
    for claim in CLAIMS:
        kinds = {kind for trial in TRIALS if trial.label == claim.label for kind in trial.kinds}
        wanted = set() if claim.verdict is Verdict.CITED else {"certified", "attacked", "property"}
        assert kinds == wanted, claim.label
    names = [(trial.label, trial.name) for trial in TRIALS]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize(
    "trial", [param for param in EVERY if "certified" in param.values[0].kinds]
)
def test_floats_and_balls_see_the_same(trial: Trial) -> None:
    agree_in_balls(trial)


@pytest.mark.parametrize("trial", [param for param in EVERY if "property" in param.values[0].kinds])
def test_what_holds_holds(trial: Trial) -> None:
    assert holds(trial, 400)


@pytest.mark.parametrize("trial", [param for param in EVERY if param.values[0].control])
def test_the_control_is_refuted(trial: Trial) -> None:
    assert control_is_refuted(trial, 40)


WITNESSES = {
    "two tokens": {"b": [1], "stretch": [1], "before": [1], "after": [0], "Y": [[1], [-1]]},
    "three groups approach for good, b > 0": {"b": [1], "s": [0]},
    "three groups approach for good, b < 0": {"b": [1], "s": [0]},
}


@pytest.mark.parametrize("trial", [param for param in EVERY if not param.values[0].control])
def test_what_is_sharp_is_attained(trial: Trial) -> None:
    """So that one per cent less is refuted, the control of these trials."""
    assert trial.sharp
    free = {name: exact(entries) for name, entries in WITNESSES[trial.name].items()}
    assert measure(trial, free, 400, control_sides(trial)).refuted
    assert not measure(trial, free, 400).refuted

"""The trials of chapter 6: the same in every number type, attained where they are sharp."""

from __future__ import annotations

import pytest
from trial_cases import agree_in_balls, control_is_refuted, holds

from collapse.ledger import claims
from collapse.numeric import exact
from collapse.referee.cases import measure
from collapse.referee.controls import control_sides
from collapse.referee.trial import Trial
from collapse.referee.trials.cost import TRIALS

EVERY = [
    pytest.param(trial, id=f"{trial.label}: {trial.name}", marks=pytest.mark.label(trial.label))
    for trial in TRIALS
]


def test_every_claim_of_the_chapter_is_tried_in_three_ways() -> None:
    for claim in claims():
        if claim.chapter == 6 and not claim.label.startswith("as25"):
            kinds = {kind for trial in TRIALS if trial.label == claim.label for kind in trial.kinds}
            assert kinds == {"certified", "attacked", "property"}, claim.label
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
    assert control_is_refuted(trial, 12)


WITNESSES = {
    "diameter, p = 1": {"X": [[1, 0], [-1, 0], [0, 0]]},
    "diameter, p = 2": {"X": [[1, 0], [-1, 0], [0, 0]]},
    "diameter, p = inf": {"X": [[1, 0], [-1, 0], [0, 0]]},
    "the oscillation of a row": {
        "query": [[[[1], [0]]]],
        "key": [[[[1], [0]]]],
        "value": [[[[0, 0], [0, 0]]]],
        "X": [[1, 0], [-1, 0], [-1, 0]],
    },
    "factors between 1 − r and 1 + r": {"P": [1, 1, 0], "e": [1, -1, 0], "r": ["1/1000"]},
}


@pytest.mark.parametrize("trial", [param for param in EVERY if not param.values[0].control])
def test_what_is_sharp_is_attained(trial: Trial) -> None:
    """So that one per cent less is refuted, the control of these trials."""
    assert trial.sharp
    free = {name: exact(entries) for name, entries in WITNESSES[trial.name].items()}
    found = measure(trial, free, 400)
    assert 0.999 < found.least <= 1 + 1e-12
    assert measure(trial, free, 400, control_sides(trial)).refuted

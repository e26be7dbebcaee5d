"""Cases of the referee's trials: the same free numbers as floats in a batch and as rationals."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np
import torch
from strategies import generator

from collapse.exact import lift
from collapse.numeric import rounding_allowance
from collapse.referee.cases import join, measure, numbers, split
from collapse.referee.controls import control_sides
from collapse.referee.trial import Trial

OPERATIONS = 1000  # on the longest chain of six layers and their bounds


def points(trial: Trial, cases: int, seed: int) -> torch.Tensor:
    """Gaussian free numbers, rounded to multiples of 1/64 so that they are short rationals."""
    drawn = torch.randn(cases, numbers(trial), generator=generator(seed), dtype=torch.float64)
    return (64 * trial.spread * drawn).round() / 64


def rationals(trial: Trial, point: torch.Tensor) -> dict[str, np.ndarray]:
    return join(trial, [Fraction(x) for x in point.tolist()])


def sides(trial: Trial, point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return trial.sides(**trial.build(**split(trial, point)))


def allowed(observed: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    size = torch.stack((torch.ones_like(bound), abs(observed), bound)).amax(0)
    return rounding_allowance(size, OPERATIONS)


def agree_in_balls(trial: Trial, factor: int = 1) -> None:
    """A batch in torch against one case after another in balls, both sides.

    ``factor`` widens the allowance where a trial divides by small differences.
    """
    point = points(trial, 3, seed=1)
    measured = sides(trial, point)
    assert [tuple(side.shape) for side in measured] == [(3,), (3,)]
    for i in range(3):
        free = {name: lift(x, "arb") for name, x in rationals(trial, point[i]).items()}
        found = [float(flint.arb(np.asarray(x).item())) for x in trial.sides(**trial.build(**free))]
        slack = factor * allowed(*(side[i] for side in measured))
        for side, truth in zip(measured, found, strict=True):
            assert abs(side[i] - truth) <= slack


def holds(trial: Trial, cases: int) -> bool:
    observed, bound = sides(trial, points(trial, cases, seed=2))
    return bool(((observed - bound - allowed(observed, bound)) <= 0).all())


def control_is_refuted(trial: Trial, cases: int) -> bool:
    drawn = [rationals(trial, point) for point in points(trial, cases, seed=3)]
    return any(measure(trial, free, 400, control_sides(trial)).refuted for free in drawn)

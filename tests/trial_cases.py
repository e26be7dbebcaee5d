"""Cases of the referee's trials: the same free numbers as floats in a batch and as rationals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from strategies import generator

from collapse.numeric import rounding_allowance
from collapse.referee.cases import join, numbers, split
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

"""The search itself: random starts, gradient ascent, a second ascent near the best, a polish."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from collapse.adversary import ascend
from collapse.referee.cases import numbers, split
from collapse.referee.trial import Trial

Objective = Callable[[Tensor], Tensor]

# Added to the bound, so that the search does not climb on the rounding errors of tiny cases.
_FLOOR = 1e-10
_NEGATIVE = -1e3  # below every log ratio of a positive observation
_REACH = 1e6  # size of the free numbers that a polish may reach
_KEPT, _COPIES = 6, 6  # how many of the best climb again, and how many shaken copies of each
_POLISHED, _DIRECTIONS, _PASSES = 3, 48, 60


def log_ratio(trial: Trial) -> Objective:
    """The logarithm of observed ÷ bound as a function of the free numbers laid end to end.

    Its logarithm, because the gradient of a tiny ratio would be too small to follow. Where
    nothing is observed there is no logarithm; there the ratio itself shows the way up.

    >>> from collapse.referee.trials import trials
    >>> objective = log_ratio(trials("as25-lem-4.1")[0])
    >>> round(objective(torch.tensor([[2.0, 0, -2, 1, 1, -3]])).exp().item(), 4)
    2.0
    """

    def objective(point: Tensor) -> Tensor:
        if point.requires_grad:
            point = point * 1
            # A root at zero has no finite slope; the other coordinates go on climbing.
            point.register_hook(lambda slope: torch.nan_to_num(slope, 0.0, 0.0, 0.0))
        observed, bound = trial.sides(**trial.build(**split(trial, point)))
        observed, bound = (
            torch.as_tensor(side, dtype=point.dtype, device=point.device).expand(point.shape[:-1])
            for side in (observed, bound)
        )
        bound = bound.clamp_min(0) + _FLOOR
        positive = observed > 0
        logarithm = torch.where(positive, observed, 1).log() - bound.log()
        value = torch.where(positive, logarithm, _NEGATIVE + observed / bound)
        return torch.nan_to_num(value, 2 * _NEGATIVE, 2 * _NEGATIVE, 2 * _NEGATIVE)

    return objective


def draw_starts(trial: Trial, count: int, generator: torch.Generator) -> Tensor:
    """Gaussian free numbers; for half of the starts each array has a scale of its own, 0.03 to 3.

    >>> from collapse.referee.trials import trials
    >>> draw_starts(trials("as25-lem-4.1")[0], 5, torch.Generator().manual_seed(0)).shape
    torch.Size([5, 6])
    """
    start = torch.randn(count, numbers(trial), generator=generator, dtype=torch.float64)
    parts = list(split(trial, start).values())
    scales = 10 ** (
        2 * torch.rand(count, len(parts), generator=generator, dtype=torch.float64) - 1.5
    )
    scales[::2] = 1
    wide = [
        part.flatten(1) * scale[:, None]
        for part, scale in zip(parts, scales.unbind(1), strict=True)
    ]
    return trial.spread * torch.cat(wide, 1)


def climb(
    objective: Objective, starts: Tensor, steps: int, generator: torch.Generator, stop: float
) -> tuple[Tensor, Tensor]:
    """The best points found from these starts, the very best first.

    Args:
        objective: What to maximise, points (points, numbers) to values (points,).
        starts: Shape (starts, numbers).
        steps: Gradient steps of the first ascent; the second takes as many.
        generator: Source of the shaking, on the CPU.
        stop: A value at which to stop.

    Returns:
        Values, shape (points,), and points, shape (points, numbers).

    >>> hill = lambda x: -x.square().sum(-1)
    >>> climb(hill, torch.ones(8, 2), 50, torch.Generator(), 0.0)[0][0] > -1e-6
    tensor(True)
    """
    with torch.no_grad():
        value = objective(starts)
    if value.max() > stop:
        return _best(value, starts)
    value, point = _best(*ascend(objective, starts, steps, 0.1))
    if value[0] <= stop:
        shaken = point[:_KEPT].repeat(_COPIES, 1)
        noise = torch.randn(shaken.shape, generator=generator, dtype=torch.float64).to(shaken)
        size = torch.logspace(-1, -4, _COPIES).repeat_interleave(min(_KEPT, len(point)))
        shaken = shaken * (1 + noise * size.to(shaken)[:, None])
        again, there = ascend(objective, shaken, steps, 0.01)
        value, point = _best(torch.cat((again, value)), torch.cat((there, point)))
    if value[0] <= stop:
        top, where = polish(objective, point[:_POLISHED], generator)
        value, point = _best(torch.cat((top, value)), torch.cat((where, point)))
    return value, point


def _best(value: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
    order = value.argsort(descending=True, stable=True)
    return value[order], point[order]


def polish(
    objective: Objective, points: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Climb without gradients: random steps that grow on success and shrink on failure.

    At the edges of a maximum of maxima the gradient changes its mind at every step; random
    directions, some of them along single coordinates, do not.

    Args:
        objective: As for :func:`climb`.
        points: Where to begin, shape (points, numbers).
        generator: Source of the directions, on the CPU.

    Returns:
        Values, shape (points,), and points of the same shape.

    >>> value, _ = polish(lambda x: -x.abs().amax(-1), torch.ones(2, 3), torch.Generator())
    >>> value > -1e-2
    tensor([True, True])
    """
    count, size = points.shape
    best, point = torch.no_grad()(objective)(points), points.clone()
    radius = torch.full((count, 1, 1), 0.1, dtype=points.dtype, device=points.device)
    shape = (_PASSES, 1, _DIRECTIONS, size)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    # From all coordinates at once to one.
    share = torch.linspace(1, 0, _DIRECTIONS).clamp_min(1 / size)[:, None]
    keep = torch.rand(shape, generator=generator) < share
    reach = 10 ** (-3 * torch.rand((*shape[:3], 1), generator=generator))
    moves = (noise * keep * reach).to(points)
    each = torch.arange(count, device=points.device)
    for move in moves:
        steps = radius * move * (point.abs() + point.abs().mean(-1, keepdim=True))[:, None]
        tried = point[:, None] + steps
        with torch.no_grad():
            value = objective(tried.flatten(0, 1)).unflatten(0, (count, _DIRECTIONS))
        # A ratio without limit would send the numbers beyond what a person can copy.
        value = torch.where(tried.abs().amax(-1) <= _REACH, value, -torch.inf)
        top, which = value.max(1)
        better = top > best
        radius *= torch.where(better, 1.5, 0.7)[:, None, None]
        best = torch.where(better, top, best)
        point = torch.where(better[:, None], tried[each, which], point)
    return best, point

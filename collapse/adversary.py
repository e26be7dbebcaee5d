"""Floor 7. Search for the worst case by gradient ascent from many starts at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from collapse.numeric import require

Objective = Callable[[Tensor, Tensor], Tensor]


def ascend(
    objective: Callable[[Tensor], Tensor],
    starts: Tensor,
    steps: int = 300,
    learning_rate: float = 0.05,
) -> tuple[Tensor, Tensor]:
    r"""Maximise an objective from a batch of starts by Adam, keeping the best point of each.

    The learning rate falls to zero along a cosine, so that the last steps polish.

    Args:
        objective: Maps points (starts, \*shape) to values (starts,), differentiably.
        starts: Where to begin, shape (starts, \*shape), starts ≥ 1.
        steps: Number of steps, ≥ 1.
        learning_rate: First step size, > 0.

    Returns:
        The largest value seen from each start, shape (starts,), and the points where it was seen,
        shape (starts, \*shape).

    Raises:
        ValueError: On bad sizes, or if the objective is NaN somewhere along the way.

    Source:
        softmax-compare

    >>> value, point = ascend(lambda x: -((x - 3) ** 2).sum(-1), torch.zeros(4, 1))
    >>> bool((point - 3).abs().max() < 1e-2)
    True
    """
    require(starts.ndim >= 1 and len(starts) >= 1, "starts", "at least one start", starts.shape)
    require(steps >= 1, "steps", "an integer >= 1", steps)
    require(learning_rate > 0, "learning_rate", "a number > 0", learning_rate)
    point = starts.detach().clone().requires_grad_()
    best, where = torch.full_like(point.flatten(1)[:, 0].detach(), -torch.inf), starts.clone()
    optimiser = torch.optim.Adam([point], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps + 1):
        optimiser.zero_grad()
        value = objective(point)
        require(~torch.isnan(value), "objective", "no NaN", "NaN")
        with torch.no_grad():
            better = value > best
            best = torch.where(better, value, best)
            where[better] = point[better]
        (-value.sum()).backward()
        optimiser.step()
        schedule.step()
    return best, where


def worst_balanced(
    objective: Objective,
    theta: Tensor,
    tokens: int,
    generator: torch.Generator,
    starts: int = 8,
    steps: int = 400,
    learning_rate: float = 0.3,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Search logits A and θ-balanced perturbations E of one row for the worst case.

    .. math:: \max_{A, E} f(A, E), \qquad E = \theta \cdot \mathrm{sigmoid}(z),

    with A and z free: every E met on the way is θ-balanced, and nothing else is known about it.
    All values of θ are searched at once, each from random Gaussian starts.

    Args:
        objective: Maps logits and perturbations, both (values, starts, 1, tokens), to numbers
            (values, starts), differentiably.
        theta: The values of θ, shape (values,), > 0.
        tokens: Length of the row, ≥ 1.
        generator: Source of the starts.
        starts: Number of starts for each θ, ≥ 1.
        steps: Number of gradient steps, ≥ 1.
        learning_rate: First step size, > 0.

    Returns:
        The largest value for each θ, shape (values,), and the A and E that give it, each of shape
        (values, 1, tokens).

    Raises:
        ValueError: On bad sizes, a θ that is not positive, or an objective that is NaN.

    Source:
        softmax-compare

    >>> theta = torch.tensor([1.0], dtype=torch.float64)
    >>> gain = lambda A, E: (E.amax(-1) - E.amin(-1))[..., 0]
    >>> value, A, E = worst_balanced(gain, theta, 3, torch.Generator().manual_seed(0))
    >>> bool(0.999 < value < 1), E.shape
    (True, torch.Size([1, 1, 3]))
    """
    require(theta.ndim == 1 and len(theta) >= 1, "theta", "shape (values,)", tuple(theta.shape))
    require(theta > 0, "theta", "theta > 0", theta)
    require(tokens >= 1, "tokens", "an integer >= 1", tokens)
    require(starts >= 1, "starts", "an integer >= 1", starts)
    shape = (len(theta), starts, 2, tokens)
    # A common offset for each start: some begin with most tokens raised, some with few.
    noise, offset = (
        torch.randn(size, generator=generator, dtype=torch.float64)
        for size in (shape, (*shape[:3], 1))
    )
    begin = 2 * (noise + offset).to(theta)

    def split(point: Tensor) -> tuple[Tensor, Tensor]:
        A, z = point.unflatten(0, shape[:2]).split(1, dim=-2)
        return A, theta[:, None, None, None] * torch.sigmoid(z)

    values, points = ascend(
        lambda point: objective(*split(point)).flatten(), begin.flatten(0, 1), steps, learning_rate
    )
    best, where = values.unflatten(0, shape[:2]).max(1)
    each = torch.arange(len(theta), device=theta.device)
    A, E = (part[each, where] for part in split(points))
    return best, A, E

"""Attack: search for the case in which a bound is tightest, or broken.

Many random starts climb at once along the gradient of observed ÷ bound; the best are shaken and
climb again, are polished without gradients, and are rounded to simple rationals, at which the
ratio is evaluated again in exact arithmetic. The starts are Gaussian and know nothing of the
witnesses that the book gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collapse.attention import default_device
from collapse.numeric import Evidence, require
from collapse.referee.cases import (
    Measured,
    code,
    join,
    judge,
    objects,
    read,
    write,
)
from collapse.referee.climbing import Objective, climb, draw_starts, log_ratio
from collapse.referee.controls import control_sides, dropped, scaled
from collapse.referee.outcome import Outcome
from collapse.referee.rounding import simplify
from collapse.referee.trial import Case, Trial
from collapse.referee.trials import trials

STARTS, STEPS, ROUNDS = 64, 150, 4
LARGEST_SEED = 2**64 - 1  # that a generator of torch takes
SHARP = 0.999  # what a search must reach where a claim is sharp
_SETTLED = 4  # points that may be judged exactly
_ENOUGH = 1 - 1e-4  # of a sharp bound: more climbing could add no more than the rest


@dataclass(frozen=True)
class Attack:
    """The tightest case that a search found.

    Attributes:
        label: The claim's label.
        trial: Name of the trial.
        ratio: Observed ÷ bound at the witness.
        measured: Both sides there, in the strictest arithmetic that can evaluate them.
        witness: The free numbers, as nested lists of "p/q".
        starts: Number of random starts, all rounds together.
        steps: Gradient steps of each start.
        seed: Seed of the starts.
        device: Where the search ran; its way, unlike its starts, may depend on it.
        seconds: Wall time.
    """

    label: str
    trial: str
    ratio: float
    measured: Measured
    witness: Mapping[str, Any]
    starts: int
    steps: int
    seed: int
    device: str
    seconds: float

    @property
    def violated(self) -> bool:
        """Whether observed > bound for certain."""
        return self.measured.refuted

    def objects(self) -> Case:
        """The case itself, in exact rationals: tokens, weights, whatever the claim is about."""
        return objects(self.label, self.trial, self.witness)

    def __str__(self) -> str:
        """Python that evaluates the case again."""
        (trial,) = trials(self.label, self.trial)
        return code(trial, self.witness, self.violated)


def attack(
    label: str,
    trial: str | None = None,
    *,
    seed: int = 0,
    starts: int = STARTS,
    steps: int = STEPS,
    seconds: float | None = None,
    device: torch.device | str | None = None,
) -> Attack:
    r"""Search the case that maximises observed ÷ bound.

    .. math:: \max_z \frac{\text{observed}(z)}{\text{bound}(z)}

    over the free numbers z of the claim's trials. The same seed finds the same case on the same
    device.

    Args:
        label: A claim that has trials.
        trial: Name of one of them; None searches those that hold, or fail, like the first, and
            returns the tightest.
        seed: Seed of the random starts, from 0 to 2⁶⁴ − 1.
        starts: Number of starts of a round, ≥ 1.
        steps: Gradient steps of each, ≥ 1.
        seconds: None for one search; else the seeds seed, seed + 1, … are tried until this time
            is spent, > 0.
        device: Where to search; the GPU by default where there is one.

    Returns:
        The tightest case found.

    Raises:
        ValueError: On an unknown label or trial, one that cannot be searched, or bad sizes.

    Source:
        as25-lem-4.1

    >>> attack("as25-lem-4.1").ratio
    2.0
    """
    chosen = trials(label, trial)
    searched = [one for one in chosen if "attacked" in one.kinds]
    names = ", ".join(one.name for one in chosen)
    require(searched, "trial", f"one of {label} that a search can evaluate", names)
    if trial is None:
        # A claim that holds is also tried with a hypothesis dropped, where any ratio can be met.
        searched = [one for one in searched if one.holds == searched[0].holds]
    options = {"starts": starts, "steps": steps, "device": device}
    found = [_repeat(one, seed, seconds, len(searched), **options) for one in searched]
    return max(found, key=lambda each: each.ratio)


def search_outcome(
    trial: Trial,
    seed: int = 0,
    seconds: float | None = None,
    device: torch.device | str | None = None,
) -> Outcome:
    """Search a trial and its negative control.

    Args:
        trial: What to search; "attacked" must be among its kinds.
        seed: Seed of the starts.
        seconds: As for :func:`attack`.
        device: As for :func:`attack`.

    Returns:
        PASSED if the claim holds, no violation was found, and 0.999 was reached where it is sharp;
        or if it is refuted and a violation was found (0.999 of the supremum where that is known).

    Raises:
        ValueError: If the trial cannot be searched.
    """
    require("attacked" in trial.kinds, "trial", "one that a search can evaluate", trial.name)
    begin = time.perf_counter()
    found = _repeat(trial, seed, seconds, 1, device=device)
    control = _search_control(trial, found, seed, device)
    goal = SHARP if trial.sharp else 0.0 if trial.holds else SHARP * float(trial.limit or 0)
    if found.violated == trial.holds or _above(trial, found):
        evidence = Evidence.FAILED
    else:
        evidence = Evidence.PASSED if found.ratio >= goal else Evidence.UNDECIDED
    return Outcome(
        kind="attacked",
        label=trial.label,
        trial=trial.name,
        evidence=evidence,
        noticed=control.violated == trial.holds,
        control=dropped(trial),
        ratio=found.ratio,
        detail=f"ratio {found.ratio:.6g} ({found.measured.arithmetic}) from {found.starts} starts;"
        f" {control.ratio:.6g} in the control",
        code=code(trial, found.witness, found.violated),
        witness=found.witness,
        control_witness=control.witness,
        seconds=time.perf_counter() - begin,
    )


def _search_control(
    trial: Trial, found: Attack, seed: int, device: torch.device | str | None
) -> Attack:
    """The search of the negative control, ended by the first violation of what should hold."""
    sides = control_sides(trial)
    if trial.control is None:
        # The same search with the bound times a constant finds the same case.
        measured = judge(trial, read(trial, found.witness), sides=sides)
        return replace(found, measured=measured, ratio=measured.least)
    other = replace(trial, sides=sides, sharp=False)
    return _search(other, seed, device=device, stop=1e-4 if trial.holds else math.inf)


def _above(trial: Trial, found: Attack) -> bool:
    """Whether a refuted claim is violated by more than the supremum that the trial states."""
    if trial.holds or trial.limit is None:
        return False
    above = scaled(trial, trial.limit)
    return judge(trial, read(trial, found.witness), sides=above).refuted


def _repeat(trial: Trial, seed: int, seconds: float | None, shares: int, **options: Any) -> Attack:
    if seconds is None:
        return _search(trial, seed, **options)
    require(0 < seconds < math.inf, "seconds", "a time > 0", seconds)
    begin, best = time.perf_counter(), None
    while best is None or time.perf_counter() - begin < seconds / shares:
        found = _search(trial, seed, **options)
        best = found if best is None or found.ratio > best.ratio else best
        seed += 1
    return replace(best, seconds=time.perf_counter() - begin)


def require_seed(seed: int) -> None:
    """Refuse what torch would not take as a seed, by ValueError."""
    fine = isinstance(seed, int) and 0 <= seed <= LARGEST_SEED
    require(fine, "seed", f"an integer from 0 to {LARGEST_SEED}", seed)


def _search(
    trial: Trial,
    seed: int,
    starts: int = STARTS,
    steps: int = STEPS,
    device: torch.device | str | None = None,
    stop: float = math.inf,
) -> Attack:
    """One search; it ends early where log(observed ÷ bound) exceeds ``stop``."""
    require_seed(seed)
    require(isinstance(starts, int) and starts >= 1, "starts", "an integer >= 1", starts)
    require(isinstance(steps, int) and steps >= 1, "steps", "an integer >= 1", steps)
    begin = time.perf_counter()
    place = default_device() if device is None else torch.device(device)
    generator = torch.Generator().manual_seed(seed)
    objective = log_ratio(trial)
    stop = min(stop, math.log(_ENOUGH)) if trial.sharp else stop
    rounds = 0
    found: list[tuple[float, Tensor]] = []
    for _ in range(ROUNDS if trial.sharp else 1):
        rounds += 1
        begin_at = draw_starts(trial, starts, generator).to(place)
        values, points = climb(objective, begin_at, steps, generator, stop)
        found += zip(values[:_SETTLED].tolist(), points[:_SETTLED], strict=True)
        if values[0] > stop:
            break
    found.sort(key=lambda pair: -pair[0])
    witness, measured = _settle(trial, objective, [point for _, point in found[:_SETTLED]])
    return Attack(
        label=trial.label,
        trial=trial.name,
        ratio=measured.least,
        measured=measured,
        witness=write(witness),
        starts=rounds * starts,
        steps=steps,
        seed=seed,
        device=str(place),
        seconds=time.perf_counter() - begin,
    )


def _settle(
    trial: Trial, objective: Objective, points: Sequence[Tensor]
) -> tuple[dict[str, np.ndarray], Measured]:
    """The best of the points after rounding, judged where floats have no say.

    The first is taken unless exact arithmetic finds less there than the floats did.
    """
    best: tuple[float, dict[str, np.ndarray], Measured] | None = None
    for point in points:
        free = join(trial, simplify(objective, point))
        measured = judge(trial, free)
        if best is None or measured.least > best[0]:
            best = measured.least, free, measured
        with torch.no_grad():
            seen = objective(point[None]).item()
        if measured.least > 0 and math.log(measured.least) >= seen - 1e-3:
            break
    assert best is not None  # there is at least one point
    return best[1:]

"""One run from its first step to its last, with a way back after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from collapse.tasks import Batch
from collapse.training.checkpoint import load, save
from collapse.training.ensemble import Ensemble, assemble, stream
from collapse.training.model import Model, Parameters
from collapse.training.plan import Plan

HELD_OUT_SEED = 10**9  # far from the seeds that people give to members


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        plan: What was trained.
        looks: The steps at which the held-out loss was measured.
        losses: These losses, shape (looks, E); a finished member keeps its last.
        stopped: The step after which each member stopped, shape (E,).
        kept: All weights after the steps of ``plan.keep`` and after the last one.
    """

    plan: Plan
    looks: list[int]
    losses: Tensor
    stopped: Tensor
    kept: dict[int, Parameters]

    @property
    def final(self) -> Tensor:
        """The held-out loss of each member at its end, shape (E,)."""
        return self.losses[-1]

    def where(self, **settings: Any) -> list[int]:
        """The members with these settings, by their index.

        >>> from collapse.training.plan import Member
        >>> plan = Plan("recall", 1, (Member(0.1, 0), Member(0.2, 0)), steps=1, batch=2)
        >>> train(plan).where(eta=0.2)
        [1]
        """
        return [
            i
            for i, member in enumerate(self.plan.members)
            if all(getattr(member, name) == value for name, value in settings.items())
        ]

    def model(self, step: int | None = None) -> Model:
        """All members in float64, after the last step or a step of ``plan.keep``."""
        weights = self.kept[max(self.kept) if step is None else step]
        double = {name: w.double() for name, w in weights.items()}
        return assemble(self.plan, list(self.plan.members), double)


def train(
    plan: Plan,
    checkpoint: str | Path | None = None,
    every: int = 500,
    tick: Callable[[], object] | None = None,
) -> Trained:
    """Train the members of a plan, on one thread, so that the same plan gives the same bits.

    Args:
        plan: What to train.
        checkpoint: A file to resume from if it exists, and to write to; none by default.
        every: Steps between two writings of it.
        tick: Called after every step, for a progress bar.

    Returns:
        A Trained.

    Raises:
        ValueError: If the checkpoint is no such file or belongs to another plan; it is left alone.

    >>> from collapse.training.plan import Member
    >>> plan = Plan("recall", 1, (Member(0.1, 0),), steps=2, batch=2, check=1)
    >>> train(plan).looks
    [0, 1, 2]
    """
    with _one_thread():
        ensemble, log = Ensemble(plan), _Log(plan)
        if checkpoint is not None and Path(checkpoint).exists():
            state = load(checkpoint, plan)
            ensemble.load(state["ensemble"])
            log.__dict__.update(state["log"])
        else:
            log.look(ensemble)
        while ensemble.steps < plan.steps and len(ensemble.active):
            ensemble.step()
            log.look(ensemble)
            if checkpoint is not None and ensemble.steps % every == 0:
                save(checkpoint, plan, {"ensemble": ensemble.state(), "log": log.__dict__})
            if tick is not None:
                tick()
        return log.trained(plan, ensemble)


class _Log:
    """What a run remembers of its way: losses, and the weights at the steps to keep."""

    def __init__(self, plan: Plan) -> None:
        members = len(plan.members)
        self.looks: list[int] = []
        self.losses: list[Tensor] = []
        self.last = torch.zeros(members)
        self.stopped = torch.full((members,), plan.steps)
        self.kept: dict[int, Parameters] = {}

    def look(self, ensemble: Ensemble) -> None:
        plan, step = ensemble.plan, ensemble.steps
        if step in plan.keep:
            self.kept[step] = ensemble.everyone()
        if step % plan.check and step < plan.steps:
            return
        losses = ensemble.losses(held_out(plan))
        self.last = self.last.clone()
        self.last[ensemble.active] = losses
        self.looks.append(step)
        self.losses.append(self.last)
        finished = losses < plan.done
        if finished.any():
            self.stopped[ensemble.active[finished]] = step
            ensemble.retain(~finished)

    def trained(self, plan: Plan, ensemble: Ensemble) -> Trained:
        everyone = ensemble.everyone()
        kept = {step: self.kept.get(step, everyone) for step in (*plan.keep, plan.steps)}
        return Trained(plan, self.looks, torch.stack(self.losses), self.stopped, kept)


def held_out(plan: Plan) -> Batch:
    """The sequences on which a plan's losses are measured: the same for all of its members.

    >>> from collapse.training.plan import Member
    >>> held_out(Plan("recall", 1, (Member(0.1, 0),), held_out=10)).tokens.shape
    torch.Size([10, 11])
    """
    return plan.source.held_out(plan.held_out, stream(HELD_OUT_SEED, 0))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

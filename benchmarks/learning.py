"""How fast networks are trained and worst cases are searched."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.record import Case, Figure, Ratio, figure, ratio
from benchmarks.timing import compare, fastest, threads
from collapse.adversary import worst_balanced
from collapse.softmax import softmax, total_variation
from collapse.training import Member, Plan
from collapse.training.ensemble import Ensemble

TRAINING, ADVERSARY = "training", "adversary"
ETAS = (0.025, 0.05, 0.07, 0.1, 0.14, 0.2, 0.4)
SEEDS, STEPS = 3, 3
TRAINING_GAIN = 3.0


def training(device: str) -> Iterator[Case]:
    """An ensemble of the size of the chapter on training against its members by themselves."""
    if device == "cpu":  # the trainer runs there: its networks are tiny
        for depth in (1, 2, 4):
            yield partial(against_members, depth)


def against_members(depth: int, together: bool = True) -> Ratio:
    """A few steps of Adam, on one thread as in every run."""
    members = tuple(Member(eta, seed) for eta in ETAS for seed in range(SEEDS))
    whole = Ensemble(_plan(depth, members))
    singles = [Ensemble(_plan(depth, (member,))) for member in members]

    def one_by_one() -> None:
        for single in singles:
            for _ in range(STEPS):
                single.step()

    def ensemble() -> None:
        for _ in range(STEPS):
            whole.step()

    with threads(1):
        rivals = {"one after another": one_by_one}
        times = compare(ensemble if together else one_by_one, rivals, 2.0)
        case = f"{len(members)} networks, batch {whole.plan.batch}, L = {depth}"
        return ratio(TRAINING, case, "ensemble", times, ">=", TRAINING_GAIN)


def _plan(depth: int, members: tuple[Member, ...]) -> Plan:
    return Plan("recall", depth, members, width=16, key_width=8, batch=32, steps=10**6)


def adversary(device: str) -> Iterator[Case]:
    """How many starts of the search for the worst case end in a second."""
    yield partial(starts_a_second, device)


def starts_a_second(device: str, starts: int = 64, steps: int = 100) -> Figure:
    """The worst case of the total variation of one row of eight logits."""
    theta = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64, device=device)

    def search() -> object:
        generator = torch.Generator().manual_seed(0)
        return worst_balanced(_moved, theta, 8, generator, starts, steps)

    with threads(1):
        rate = len(theta) * starts / fastest(search, 2)
    return figure(ADVERSARY, f"{steps} steps, 8 logits", "starts a second", rate, "1/s", ">=")


def _moved(A: torch.Tensor, E: torch.Tensor) -> torch.Tensor:
    return total_variation(softmax(A), softmax(A + E))[..., 0]

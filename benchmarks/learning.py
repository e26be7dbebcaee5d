"""How fast networks are trained and worst cases are searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks.record import Case, Figure, Ratio, figure, ratio
from benchmarks.timing import Side, compare, fastest, threads
from collapse.adversary import worst_balanced
from collapse.softmax import softmax, total_variation
from collapse.training import Member, Plan
from collapse.training.ensemble import Ensemble, assemble
from collapse.training.model import Model

TRAINING, ADVERSARY = "training", "adversary"
ETAS = (0.025, 0.05, 0.07, 0.1, 0.14, 0.2, 0.4)
SEEDS, STEPS = 3, 3
MEMBERS = tuple(Member(eta, seed) for eta in ETAS for seed in range(SEEDS))
TRAINING_GAIN = 3.0


def training(device: str) -> Iterator[Case]:
    """An ensemble of the size of the chapter on training against its members by themselves."""
    if device == "cpu":  # the trainer runs there: its networks are tiny
        for depth in (1, 2, 4):
            yield partial(against_members, depth)
        yield partial(against_fused, 4)


def against_members(depth: int, together: bool = True) -> Ratio:
    """A few steps of Adam, on one thread as in every run."""
    whole = Ensemble(plan_of(depth, MEMBERS))
    singles = [Ensemble(plan_of(depth, (member,))) for member in MEMBERS]

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
        case = f"{len(MEMBERS)} networks, batch {whole.plan.batch}, L = {depth}"
        return ratio(TRAINING, case, "ensemble", times, ">=", TRAINING_GAIN)


def against_fused(depth: int) -> Ratio:
    """Loss and gradients by the products of training against those by a call of the Network."""
    with threads(1):
        rivals = {"fused attention": gradients(depth, Model.loss)}
        times = compare(gradients(depth, Model.training_loss), rivals, 1.0)
        case = f"gradients of {len(MEMBERS)} networks, batch 32, L = {depth}"
        return ratio(TRAINING, case, "plain products", times, ">=", 1.0)


def gradients(depth: int, loss: Callable[..., torch.Tensor]) -> Side:
    """What a step of Adam asks for, by one of the ways to a loss."""
    plan = plan_of(depth, MEMBERS)
    weights = Ensemble(plan).parameters
    batch = plan.source.sample(plan.batch, torch.Generator().manual_seed(0))

    def side() -> object:
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        found = loss(assemble(plan, list(MEMBERS), leaves), *batch).sum()
        return torch.autograd.grad(found, list(leaves.values()))

    return side


def plan_of(depth: int, members: tuple[Member, ...]) -> Plan:
    """The sizes of the chapter, for some members."""
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

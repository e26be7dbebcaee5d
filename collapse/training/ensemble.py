"""Training many small networks as one: Adam on all of them, each within its bounds.

The members of an ensemble never see each other: a member's weights depend on its own settings
alone, up to rounding, whatever is trained beside it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from collapse.attention import Network
from collapse.rescaling import unit_skip
from collapse.tasks import Batch
from collapse.training.init import INITS, uniform
from collapse.training.model import WEIGHTS, Model, Parameters
from collapse.training.plan import Member, Plan

BETAS, EPSILON = (0.9, 0.99), 1e-8
STREAM = 1_000_003  # seed s draws its weights from stream s · STREAM, step t from the t-th behind


class Ensemble:
    """The networks of a plan between two steps.

    A member that is finished is dropped: ``final`` keeps its weights, and the others go on in a
    smaller batch.

    Args:
        plan: What to train.

    >>> ensemble = Ensemble(Plan("recall", 1, (Member(0.1, 0),), steps=5, batch=4))
    >>> ensemble.step()
    >>> ensemble.steps
    1
    """

    def __init__(self, plan: Plan) -> None:
        """First weights of all members."""
        self.plan = plan
        self.steps = 0
        self.active = torch.arange(len(plan.members))
        first = [first_weights(plan, member) for member in plan.members]
        self.final = {name: torch.stack([each[name] for each in first]) for name in first[0]}
        self.parameters = dict(self.final)
        self.moments = [{n: torch.zeros_like(w) for n, w in self.final.items()} for _ in BETAS]

    @property
    def members(self) -> list[Member]:
        """The members that are still trained."""
        return [self.plan.members[i] for i in self.active.tolist()]

    def step(self) -> None:
        """One step of Adam for every active member, with weight decay and projection."""
        leaves = {name: w.clone().requires_grad_() for name, w in self.parameters.items()}
        batch = self._sequences()
        loss = assemble(self.plan, self.members, leaves).training_loss(*batch).sum()
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        self.steps += 1
        for name, gradient in zip(leaves, gradients, strict=True):
            self.parameters[name] = self._moved(name, gradient)

    def losses(self, batch: Batch) -> Tensor:
        """The loss of every active member on given sequences."""
        with torch.no_grad():
            return assemble(self.plan, self.members, self.parameters).loss(*batch)

    def everyone(self) -> Parameters:
        """The weights of all members, finished ones as they were when they finished."""
        whole = {name: w.clone() for name, w in self.final.items()}
        for name, weight in self.parameters.items():
            whole[name][self.active] = weight
        return whole

    def retain(self, keep: Tensor) -> None:
        """Go on with some of the active members only.

        Args:
            keep: Booleans, one an active member.
        """
        self.final = self.everyone()
        self.active = self.active[keep]
        self.parameters = {name: w[keep] for name, w in self.parameters.items()}
        self.moments = [{name: m[keep] for name, m in each.items()} for each in self.moments]

    def state(self) -> dict[str, Any]:
        """Everything that the next steps depend on; ``load`` takes it back."""
        return {name: getattr(self, name) for name in _STATE}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same plan."""
        for name in _STATE:
            setattr(self, name, state[name])

    def _moved(self, name: str, gradient: Tensor) -> Tensor:
        weight, (first, second) = self.parameters[name], (m[name] for m in self.moments)
        first = first.lerp(gradient, 1 - BETAS[0])
        second = second * BETAS[1] + (1 - BETAS[1]) * gradient**2
        self.moments[0][name], self.moments[1][name] = first, second
        mean, square = first / (1 - BETAS[0] ** self.steps), second / (1 - BETAS[1] ** self.steps)
        rules = torch.tensor([rule(self.plan, member, name) for member in self.members])
        bound, rate, decay = rules.T.reshape(3, -1, *[1] * (weight.ndim - 1))
        weight = weight * (1 - rate * decay) - rate * mean / (square.sqrt() + EPSILON)
        return weight.clamp(-bound, bound)

    def _sequences(self) -> Batch:
        seeds = sorted({member.seed for member in self.members})
        task = self.plan.source
        drawn = [task.sample(self.plan.batch, stream(seed, self.steps + 1)) for seed in seeds]
        rows = [seeds.index(member.seed) for member in self.members]
        return Batch(*(torch.stack(part)[rows] for part in zip(*drawn, strict=True)))


_STATE = ("steps", "active", "parameters", "moments", "final")


def stream(seed: int, step: int) -> Generator:
    """The source of randomness of a seed at a step; step 0 draws the first weights."""
    return Generator().manual_seed(seed * STREAM + step)


def rule(plan: Plan, member: Member, name: str) -> tuple[float, float, float]:
    """Bound, learning rate and decay of one kind of weight of a member.

    >>> rule(Plan("recall", 1, (Member(0.1, 0),), phi=4.0), Member(0.1, 0), "position")
    (2.0, 0.005, 0.0)
    """
    if name in WEIGHTS:
        return member.eta, min(plan.rate, member.eta / 10), member.decay
    if name == "skip":
        return math.inf, plan.rate, 0.0
    return plan.readout if name == "readout" else plan.phi / 2, plan.rate, 0.0


def first_weights(plan: Plan, member: Member) -> Parameters:
    """The first weights of a member, in float32; the same whatever stands beside it."""
    generator, task = stream(member.seed, 0), plan.source
    d, k, L, H = plan.width, plan.key_width, plan.depth, plan.heads
    narrow, square = (min(member.eta, INITS[member.init](d, columns)) for columns in (k, d))
    sizes = {
        "embedding": ((task.vocabulary, d), plan.phi / 2),
        "position": ((task.tokens, d), plan.phi / 2),
        "query": ((1, L, H, d, k), narrow),
        "key": ((1, L, H, d, k), narrow),
        "value": ((1, L, H, d, d), square),
        "readout": ((d, task.vocabulary), min(plan.readout, d**-0.5)),
    }
    drawn = {n: uniform(shape, bound, generator).float() for n, (shape, bound) in sizes.items()}
    return drawn | ({"skip": torch.full((L,), member.skip)} if plan.trained_skip else {})


def assemble(plan: Plan, members: list[Member], parameters: Parameters) -> Model:
    """The model of some members of a plan with given weights."""
    task, dtype = plan.source, parameters["query"].dtype
    mask = torch.ones(task.tokens, task.tokens).tril().bool() if task.causal else None
    skip = torch.tensor([[member.skip] for member in members], dtype=dtype)
    query, key, value = (parameters[name] for name in WEIGHTS)
    network, readout = Network(query, key, value, skip=skip, mask=mask), parameters["readout"]
    if plan.trained_skip:
        # The same function with skip 1; what is left of λ is a factor of the output.
        network, scale = unit_skip(network, parameters["skip"][:, None])
        network = network.replace(skip=torch.ones_like(skip))
        readout = readout * scale[..., None]
    return Model(network, parameters["embedding"], parameters["position"], readout, task.positions)

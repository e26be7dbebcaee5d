"""Training: an ensemble against networks trained alone in a plain loop, bounds, restarts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from collapse.tasks import make_task
from collapse.training import Member, Plan, Trained, train
from collapse.training.ensemble import Ensemble, assemble, first_weights, stream
from collapse.training.run import held_out

Weights = dict[str, torch.Tensor]
MEMBERS = (
    Member(0.3, 0),
    Member(0.05, 1, skip=0.0),
    Member(math.inf, 0, init="kaiming", decay=2.0),
    Member(math.inf, 2, init="xavier"),
)
PLAN = Plan("recall", 2, MEMBERS, {"pairs": 2, "keys": 3, "values": 3}, width=6, key_width=4,
            steps=30, batch=8, check=10, held_out=10, rate=0.01)  # fmt: skip
# Bounded: four layers of unbounded weights have logits of such a size that eight steps in float32
# are not those in float64, whoever takes them.
DEEP = replace(PLAN, depth=4, members=tuple(replace(m, eta=min(m.eta, 0.3)) for m in MEMBERS))


def attention(
    x: torch.Tensor, w: dict[str, torch.Tensor], layer: int, causal: bool
) -> torch.Tensor:
    """One sequence, one layer, head by head and row by row."""
    total = torch.zeros_like(x)
    for head in range(w["query"].shape[2]):
        q, k, v = (x @ w[name][0, layer, head] for name in ("query", "key", "value"))
        rows = []
        for i in range(len(x)):
            seen = i + 1 if causal else len(x)
            logits = torch.stack([q[i] @ k[j] for j in range(seen)])
            weight = torch.exp(logits - logits.max())
            rows.append(sum(weight[j] * v[j] for j in range(seen)) / weight.sum())
        total = total + torch.stack(rows)
    return total


def alone(plan: Plan, member: Member, steps: int) -> Weights:
    """The slow twin: one network, one sequence at a time, torch's own Adam, plain projections."""
    task = make_task(plan.task, **plan.options)
    weights = {n: w.double().requires_grad_() for n, w in first_weights(plan, member).items()}
    stack = [weights[n] for n in ("query", "key", "value")]
    rest = [weights[n] for n in ("embedding", "position", "readout")]
    slow = min(plan.rate, member.eta / 10)
    groups = [{"params": stack, "lr": slow}, {"params": rest, "lr": plan.rate}]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-8)
    for step in range(1, steps + 1):
        tokens, targets = task.sample(plan.batch, stream(member.seed, step))
        loss = torch.zeros((), dtype=torch.float64)
        for row, answers in zip(tokens, targets, strict=True):
            x = weights["embedding"][row] + weights["position"]
            for layer in range(plan.depth):
                x = member.skip * x + attention(x, weights, layer, task.causal)
            for place, answer in zip(task.positions, answers, strict=True):
                logits = x[place] @ weights["readout"]
                loss = loss + torch.logsumexp(logits, 0) - logits[answer]
        adam.zero_grad()
        (loss / targets.numel()).backward()
        with torch.no_grad():
            for w in stack:
                w.mul_(1 - slow * member.decay)
        adam.step()
        with torch.no_grad():
            for w in stack:
                w.clamp_(-member.eta, member.eta)
            for name in ("embedding", "position"):
                weights[name].clamp_(-plan.phi / 2, plan.phi / 2)
            weights["readout"].clamp_(-plan.readout, plan.readout)
    return {name: w.detach() for name, w in weights.items()}


def distance(ensemble: Ensemble, i: int, twin: Weights) -> float:
    found = ensemble.everyone()
    return max(float((found[name][i].double() - w).abs().max()) for name, w in twin.items())


@pytest.mark.parametrize("i", range(len(MEMBERS)))
@pytest.mark.parametrize("plan", [PLAN, DEEP], ids=["L = 2", "L = 4"])
def test_a_member_of_an_ensemble_is_the_network_trained_alone(plan: Plan, i: int) -> None:
    ensemble, member = Ensemble(plan), plan.members[i]
    for _ in range(8):
        ensemble.step()
    twin = alone(plan, member, 8)
    # Eight steps in float32 against float64, each entry moved by up to the learning rate.
    assert distance(ensemble, i, twin) < 0.02 * plan.rate
    # The control: without its skip, or with one, a network is farther than a tenth of a step.
    other = replace(member, skip=1 - member.skip)
    assert distance(ensemble, i, alone(plan, other, 8)) > 0.1 * plan.rate


@pytest.mark.parametrize("task", ["sorting", "text"])
def test_other_tasks_and_masks_are_trained_alike(task: str) -> None:
    options = {"length": 4} if task == "sorting" else {"window": 4}
    plan = Plan(task, 1, MEMBERS[:1], options, width=4, key_width=2, steps=4, batch=3, held_out=4)
    ensemble = Ensemble(plan)
    for _ in range(4):
        ensemble.step()
    assert distance(ensemble, 0, alone(plan, MEMBERS[0], 4)) < 0.02 * plan.rate


def test_weights_stay_within_their_bounds_and_reach_them() -> None:
    members = (Member(0.05, 0), Member(0.2, 0), Member(math.inf, 0))
    plan = replace(PLAN, members=members, steps=60, phi=0.5, readout=0.3)
    weights = train(plan).kept[60]
    for name in ("query", "key", "value"):
        largest = weights[name].abs().flatten(1).amax(1)
        assert largest[0] == torch.tensor(0.05) and largest[1] <= torch.tensor(0.2)
    for name, bound in (("embedding", 0.25), ("position", 0.25), ("readout", 0.3)):
        assert float(weights[name].abs().max()) == pytest.approx(bound, rel=1e-6)


def test_decay_makes_weights_smaller() -> None:
    members = tuple(Member(math.inf, 0, decay=decay) for decay in (0.0, 5.0, 50.0))
    weights = train(replace(PLAN, members=members, steps=100)).kept[100]
    norms = sum(weights[name].square().flatten(1).sum(1) for name in ("query", "key", "value"))
    assert norms[0] > 1.1 * norms[1] > 2 * norms[2]


def equal(one: Trained, other: Trained) -> bool:
    same = torch.equal(one.losses, other.losses) and torch.equal(one.stopped, other.stopped)
    same = same and one.looks == other.looks and set(one.kept) == set(other.kept)
    return same and all(
        torch.equal(w, other.kept[step][name])
        for step, weights in one.kept.items()
        for name, w in weights.items()
    )


EARLY = replace(PLAN, done=1.28, check=2, keep=(0, 5, 25))  # some members are finished on the way


def test_a_run_repeats_itself_bit_for_bit_and_another_seed_does_not() -> None:
    first = train(EARLY)
    assert equal(first, train(EARLY))
    moved = replace(EARLY, members=(*EARLY.members[:-1], replace(EARLY.members[-1], seed=3)))
    assert not equal(first, train(moved))


@pytest.mark.parametrize("interrupted_after", [7, 10, 24])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    interrupted_after: int, tmp_path: Path
) -> None:
    whole, path, ticks = train(EARLY), tmp_path / "half.pt", iter(range(10**6))
    assert len(set(whole.stopped.tolist())) > 1, "members should finish at several steps"

    class Interrupted(Exception):
        """What a cluster does to a run."""

    def interrupt() -> None:
        if next(ticks) + 1 == interrupted_after:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(EARLY, path, every=5, tick=interrupt)
    counted: list[int] = []
    resumed = train(EARLY, path, every=5, tick=lambda: counted.append(1))
    assert equal(whole, resumed)
    assert len(counted) < EARLY.steps, "nothing was resumed"


def test_a_finished_member_keeps_its_weights_and_the_others_go_on() -> None:
    whole, early = train(replace(EARLY, done=0.0)), train(EARLY)
    stopped = early.stopped.tolist()
    assert min(stopped) < EARLY.steps == max(stopped)
    for i, step in enumerate(stopped):
        final = early.final[i]
        assert (final < EARLY.done) == (step < EARLY.steps) or step == EARLY.steps
        torch.testing.assert_close(final, whole.losses[whole.looks.index(step), i])


def test_losses_are_those_of_the_weights_that_were_kept() -> None:
    run = train(EARLY)
    loss = run.model().loss(*held_out(EARLY))
    torch.testing.assert_close(loss.float(), run.final)
    start = run.model(0).loss(*held_out(EARLY))
    torch.testing.assert_close(start.float(), run.losses[0])
    subset = run.model().members([2, 0])
    torch.testing.assert_close(subset.loss(*held_out(EARLY)), loss[[2, 0]])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"eta": 0.0}, "eta"),
        ({"eta": -0.1}, "eta"),
        ({"eta": math.nan}, "eta"),
        ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"skip": math.inf}, "skip"),
        ({"init": "zeros"}, "init"),
        ({"decay": -1.0}, "decay"),
    ],
)
def test_bad_members_are_named(change: dict[str, float], word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word}: expected"):
        Member(**{"eta": 0.1, "seed": 0, **change})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"depth": 0}, "depth"),
        ({"task": "copying"}, "task"),
        ({"members": ()}, "members"),
        ({"steps": 0}, "steps"),
        ({"batch": 1.5}, "batch"),
        ({"phi": 0.0}, "phi"),
        ({"rate": math.inf}, "rate"),
        ({"done": -0.1}, "done"),
        ({"keep": (31,)}, "keep"),
    ],
)
def test_bad_plans_are_named(change: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word}: expected"):
        replace(PLAN, **change)


def test_trained_skips_are_the_skips_of_the_layers() -> None:
    """The rescaled network that is trained is the one with a weight in front of every skip."""
    members = (Member(0.3, 0, skip=-0.8), Member(0.3, 1, skip=1.3))
    plan = Plan("recall", 2, members, {"pairs": 2}, width=4, key_width=2, steps=20, batch=8,
                check=20, held_out=10, trained_skip=True)  # fmt: skip
    run = train(plan)
    weights = {name: w.double() for name, w in run.kept[20].items()}
    assert (weights["skip"] - torch.tensor([[-0.8], [1.3]]) != 0).all()
    tokens = held_out(plan).tokens
    model = run.model()
    logits = model.logits(model.network(model.inputs(tokens)))
    plain = assemble(replace(plan, trained_skip=False), list(members), weights)
    for e in range(2):
        X = plain.inputs(tokens)[e]
        for layer in range(2):
            network = plain.network.layers(layer, layer + 1)
            one = network.replace(
                **{name: getattr(network, name)[e, 0] for name in ("query", "key", "value")},
                skip=float(weights["skip"][e, layer]),
            )
            X = one(X)
        expected = X[..., list(plain.read), :] @ weights["readout"][e]
        assert torch.allclose(logits[e], expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="skip: expected a number other than 0"):
        replace(plan, members=(Member(0.1, 0, skip=0.0),))

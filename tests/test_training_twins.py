"""Margins, slack and first weights of trained networks once more, one network at a time.

Inequalities alone would let a margin pass that is too small, or a bound that is too large.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from collapse.attention import Network
from collapse.bounds import collapse_bound
from collapse.rungs import surrogate
from collapse.tasks import Batch
from collapse.training import Member, Plan, Trained, train
from collapse.training.ensemble import first_weights
from collapse.training.measures import certified_margin, gradient_slack, observed_margin, solved
from collapse.training.run import held_out

MEMBERS = (Member(0.1, 0), Member(0.5, 1))
PLAN = Plan("recall", 2, MEMBERS, {"pairs": 3, "keys": 3, "values": 4}, width=6, key_width=4,
            steps=30, batch=16, check=30, held_out=12, phi=2.0)  # fmt: skip


@pytest.fixture(scope="module")
def run() -> Trained:
    return train(PLAN)


def member(run: Trained, i: int) -> tuple[Network, torch.Tensor, torch.Tensor]:
    """One network, its inputs (sequences, n, d) and its readout, without an ensemble."""
    model, batch = run.model(), held_out(PLAN)
    weights = (getattr(model.network, name)[i, 0] for name in ("query", "key", "value"))
    return Network(*weights), model.inputs(batch.tokens)[i], model.readout[i]


def turns_of(batch: Batch) -> list[list[int]]:
    """The sequences that differ by a turn of their values: same keys, same query, same values."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, tokens in enumerate(batch.tokens.tolist()):
        values = tokens[1::2]
        first = values.index(min(values))
        circle = tuple(values[first:] + values[:first])
        groups.setdefault((tuple(tokens[0::2]), circle), []).append(place)
    return list(groups.values())


@pytest.mark.label("loss-floor")
@pytest.mark.parametrize("i", [0, 1])
def test_a_margin_is_the_largest_over_the_turns_of_a_sequence(run: Trained, i: int) -> None:
    batch, (network, X, readout) = held_out(PLAN), member(run, i)
    spans = []
    for tokens in X:
        change = ((network(tokens) - surrogate(network, 2)(tokens))[-1] @ readout).tolist()
        spans.append(max(change) - min(change))
    groups = turns_of(batch)
    assert all(len(group) % 3 == 0 for group in groups)
    # Equal sequences may have been drawn twice; each counts with its turns.
    total = sum(len(g) / 3 * max(spans[place] for place in g) for g in groups)
    found = float(observed_margin(run.model(), batch, 3)[i])
    assert found == pytest.approx(total / (len(spans) / 3), rel=1e-9)
    neighbours = [max(spans[j : j + 3]) for j in range(0, len(spans), 3)]
    assert found != pytest.approx(sum(neighbours) / len(neighbours), rel=1e-3)  # other groups


@pytest.mark.label("loss-floor", "rung-2")
@pytest.mark.parametrize("i", [0, 1])
def test_a_certified_margin_is_error_times_distance_of_readouts(run: Trained, i: int) -> None:
    network, X, readout = member(run, i)
    error = max(float(collapse_bound(network, tokens, 2).value) for tokens in X)
    columns = readout.T.tolist()
    apart = max(
        sum(abs(a - b) for a, b in zip(one, other, strict=True))
        for one in columns
        for other in columns
    )
    assert float(certified_margin(run.model(), held_out(PLAN))[i]) == pytest.approx(error * apart)


@pytest.mark.label("gradient-order")
@pytest.mark.parametrize("i", [0, 1])
def test_gradient_slack_is_gradient_over_bound(run: Trained, i: int) -> None:
    batch, (network, X, readout) = held_out(PLAN), member(run, i)
    leaves = {name: getattr(network, name).clone().requires_grad_() for name in ("query", "key")}
    live = network.replace(**leaves)
    loss: torch.Tensor | float = 0.0
    entered, added = [], []
    for tokens, (answer,) in zip(X, batch.targets.tolist(), strict=True):
        Z, states = tokens, []
        for layer in range(2):
            A = live.attention(Z, layer)
            states.append((Z, A))
            Z = Z + A
        entered.append([Z.detach() for Z, _ in states])
        added.append([A for _, A in states])
        logits = Z[-1] @ readout
        loss = loss + (torch.logsumexp(logits, 0) - logits[answer]) / len(X)
    assert isinstance(loss, torch.Tensor)
    flat = [A for layers in added for A in layers]
    query, key, *upstream = torch.autograd.grad(loss, [leaves["query"], leaves["key"], *flat])
    slack = gradient_slack(run.model(), batch)[i]
    for layer in range(2):
        for head in range(PLAN.heads):
            nu = network.value[layer, head].abs().sum(0).max()
            total = 0.0
            for place, layers in enumerate(entered):
                Z, u = layers[layer], upstream[2 * place + layer]
                D = (Z.amax(0) - Z.amin(0)).max()
                total += float(Z.abs().max() * D**2 * u.abs().sum() * nu / 4)
            norms = [w[layer, head].abs().sum(0).max() for w in (network.key, network.query)]
            ratios = [
                float(g[layer, head].abs().max() / (total * norm))
                for g, norm in zip((query, key), norms, strict=True)
            ]
            assert float(slack[layer, head]) == pytest.approx(max(ratios), rel=1e-9)


def test_first_weights_fill_their_boxes_and_no_more() -> None:
    plan = replace(PLAN, width=16, readout=4.0, phi=3.0)
    drawn = first_weights(plan, Member(0.1, 7))
    bounds = {"embedding": 1.5, "position": 1.5, "query": 0.1, "key": 0.1, "value": 0.1,
              "readout": 0.25}  # fmt: skip
    assert drawn.keys() == bounds.keys()
    for name, bound in bounds.items():
        largest = float(drawn[name].abs().max())
        assert 0.9 * bound < largest <= bound, name
    narrow = first_weights(replace(plan, readout=0.1), Member(0.1, 7))["readout"]
    assert 0.09 < float(narrow.abs().max()) <= 0.1


def test_a_trained_skip_has_no_bound() -> None:
    """The weight of a skip may be larger than any bound on the other weights."""
    member = Member(0.1, 0, skip=5.0)
    run = train(replace(PLAN, members=(member,), steps=3, check=3, trained_skip=True))
    (skips,) = run.kept[3]["skip"].tolist()
    assert all(abs(skip - 5.0) <= 4 * PLAN.rate and skip != 5.0 for skip in skips)
    assert PLAN.phi / 2 < 4 and PLAN.readout < 4


def test_who_ends_at_half_the_loss_of_guessing_has_not_learnt_yet(run: Trained) -> None:
    limit = math.log(3) / 2  # who cannot tell the three values apart has the loss log 3
    ends = replace(run, losses=torch.tensor([[limit, 0.999 * limit]], dtype=torch.float64))
    assert solved(ends) == [False, True]


@pytest.mark.parametrize(("steps", "looks"), [(30, [0, 20, 30]), (40, [0, 20, 40]), (7, [0, 7])])
def test_the_last_look_is_at_the_last_step(steps: int, looks: list[int]) -> None:
    run = train(replace(PLAN, steps=steps, check=20))
    assert run.looks == looks and run.losses.shape == (len(looks), 2)
    losses = run.model().loss(*held_out(PLAN))
    torch.testing.assert_close(run.final.double(), losses, rtol=1e-4, atol=1e-4)

"""What is measured on trained networks, against definitions worked out one sequence at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from collapse.attention import Network
from collapse.bounds.learning import loss_floor
from collapse.norms import diameter, residual_norm
from collapse.rungs import surrogate
from collapse.training import Member, Plan, Trained, train
from collapse.training.measures import (
    ablated_losses,
    certified_margin,
    gradient_norms,
    gradient_slack,
    layer_measures,
    leading,
    observed_margin,
    rung_errors,
    rung_losses,
    scaled,
    solved,
)
from collapse.training.model import Model
from collapse.training.run import held_out

MEMBERS = tuple(Member(eta, seed) for eta in (0.05, 0.4) for seed in (0, 1))
SIZES = {"pairs": 3, "keys": 3, "values": 4}
PLAN = Plan("recall", 2, MEMBERS, SIZES, width=6, key_width=4, steps=40, batch=16, check=20,
            held_out=12, phi=2.0)  # fmt: skip


@pytest.fixture(scope="module")
def run() -> Trained:
    return train(PLAN)


def single(model: Model, i: int) -> Network:
    """Member i as a network without batch."""
    weights = (getattr(model.network, name)[i, 0] for name in ("query", "key", "value"))
    return Network(*weights)


def test_layer_measures_are_means_over_sequences(run: Trained) -> None:
    model, tokens = run.model(), held_out(PLAN).tokens
    measures = layer_measures(model, tokens)
    for i in range(4):
        inputs = [model.embedding[i][row] + model.position[i] for row in tokens]
        traces = [single(model, i).trace(X) for X in inputs]
        for layer in range(3):
            rho = sum(residual_norm(t[layer]) for t in traces) / len(traces)
            D = sum(diameter(t[layer], 2) for t in traces) / len(traces)
            torch.testing.assert_close(measures.residual[i, layer], rho)
            torch.testing.assert_close(measures.diameter[i, layer], D)
        attention = single(model, i).layers(0, 1).replace(skip=0.0)
        for X, row in zip(inputs, tokens, strict=True):
            K = layer_measures(model.members([i]), row[None]).contraction[0, 0]
            assert diameter(attention(X), 2) <= K * diameter(X, 2) * (1 + 1e-12)


def test_rungs_are_compared_with_the_stack_one_sequence_at_a_time(run: Trained) -> None:
    model, batch = run.model(), held_out(PLAN)
    errors, losses = rung_errors(model, batch.tokens), rung_losses(model, batch)
    for i in range(4):
        network = single(model, i)
        inputs = [model.embedding[i][row] + model.position[i] for row in batch.tokens]
        for rung in range(4):
            one_layer, error, loss = surrogate(network, rung), 0.0, 0.0
            for X, (answer,) in zip(inputs, batch.targets.tolist(), strict=True):
                exact, near = network(X), one_layer(X)
                error += float((exact - near).abs().max() / exact.abs().max())
                logits = near[-1] @ model.readout[i]
                loss += float(torch.logsumexp(logits, 0) - logits[answer])
            assert float(errors[i, rung]) == pytest.approx(error / len(inputs), rel=1e-9)
            assert float(losses[i, rung]) == pytest.approx(loss / len(inputs), rel=1e-9)
    # Small weights are near their rungs, in the order of the ladder; large ones are not.
    assert (errors[:2, 0] > errors[:2, 2]).all() and (errors[:2, 2] < errors[2:, 2]).all()


def test_a_removed_layer_is_a_network_of_the_others(run: Trained) -> None:
    model, batch = run.model(), held_out(PLAN)
    losses = ablated_losses(model, batch)
    without_first = replace(model, network=model.network.layers(1, 2))
    without_second = replace(model, network=model.network.layers(0, 1))
    torch.testing.assert_close(losses[:, 0], without_first.loss(*batch))
    torch.testing.assert_close(losses[:, 1], without_second.loss(*batch))
    assert not torch.allclose(losses[:, 0], losses[:, 1])


def test_gradient_norms_are_those_of_finite_differences(run: Trained) -> None:
    model, batch = run.model().members([0, 3]), held_out(PLAN)
    norms = gradient_norms(model, batch)
    step = 1e-5
    for name in ("query", "key", "value"):
        weight = getattr(model.network, name)
        total = torch.zeros(2, dtype=torch.float64)
        for place in range(weight[0, 0, 1].numel()):
            shift = torch.zeros_like(weight)
            shift[:, 0, 1].flatten(1)[:, place] = step
            ends = []
            for sign in (1, -1):
                moved = model.network.replace(**{name: weight + sign * shift})
                ends.append(replace(model, network=moved).loss(*batch))
            total += ((ends[0] - ends[1]) / (2 * step)) ** 2
        torch.testing.assert_close(norms[name][:, 1], total.sqrt(), rtol=1e-5, atol=1e-9)


@pytest.mark.label("gradient-order")
def test_gradients_of_trained_networks_stay_below_the_bound(run: Trained) -> None:
    slack = gradient_slack(run.model(), held_out(PLAN))
    assert slack.shape == (4, 2, 2) and (slack <= 1).all() and (slack > 0).all()


@pytest.mark.label("gradient-order")
def test_scaled_networks_show_the_power_two() -> None:
    run = train(replace(PLAN, steps=1, keep=(0,)))
    start = run.model(0)
    eta = torch.tensor([1e-4, 1e-3])
    copies = {n: getattr(start, n).repeat(2, 1, 1) for n in ("embedding", "position", "readout")}
    norms = gradient_norms(
        replace(start, network=scaled(start.network, eta), **copies), held_out(PLAN)
    )
    for name, power in (("query", 2), ("key", 2), ("value", 0)):
        small, large = norms[name].reshape(2, 4, 2)
        slope = (large / small).log10()
        torch.testing.assert_close(slope, torch.full_like(slope, power), atol=0.02, rtol=0)


@pytest.mark.label("loss-floor")
def test_every_network_is_above_its_floor_and_below_its_certificate(run: Trained) -> None:
    model, batch = run.model(), held_out(PLAN)
    margin, loss = observed_margin(model, batch, 3), model.loss(*batch)
    assert (loss >= loss_floor(3, margin)).all()
    assert (margin <= certified_margin(model, batch)).all() and (margin > 0).all()
    # The control: rung 2 itself has no margin, and sits above log m.
    flat = replace(model, network=surrogate(model.network, 2))
    torch.testing.assert_close(
        observed_margin(flat, batch, 3), torch.zeros(4, dtype=torch.float64), atol=1e-9, rtol=0
    )
    assert (flat.loss(*batch) >= math.log(3)).all()
    # With the turns of another task the margin would not be a margin: a count that does not fit.
    with pytest.raises(ValueError, match="^sequences: expected a multiple of 5"):
        observed_margin(model, batch, 5)


def test_masks_and_other_skips_are_refused() -> None:
    causal = train(replace(PLAN, options={"pairs": 3, "causal": True}, steps=1))
    with pytest.raises(ValueError, match="mask"):
        rung_errors(causal.model(), held_out(causal.plan).tokens)
    skipless = train(replace(PLAN, members=(Member(0.1, 0, skip=0.0),), steps=1))
    with pytest.raises(ValueError, match="^skip"):
        observed_margin(skipless.model(), held_out(PLAN), 3)


def test_the_first_values_are_taken_as_long_as_all_their_members_pass(run: Trained) -> None:
    etas = (0.1, 0.2, 0.3, 0.4)
    plan = replace(
        run.plan, task="recall", members=tuple(Member(e, s) for e in etas for s in (0, 1))
    )
    limit = plan.source.guess / 2
    losses = torch.tensor([[2.0, 2.0, 0.99, 2.0, 0.99, 0.5, 1.01, 0.5]]) * limit
    ends = replace(run, plan=plan, losses=losses)
    assert solved(ends, eta=0.2) == [True, False] and solved(ends, seed=1)[2:] == [True, True]
    assert leading(ends, "eta", etas, lambda each: not any(each)) == [0.1]
    assert leading(ends, "eta", etas[::-1], any, seed=1) == [0.4, 0.3]
    assert leading(ends, "eta", etas[2:], all) == [0.3]
    with pytest.raises(ValueError, match="run on recall, received sorting"):
        solved(replace(ends, plan=replace(plan, task="sorting", options={})))

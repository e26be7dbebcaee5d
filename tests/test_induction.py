"""The induction network: slow twin, exact threshold, every input of a small task, controls."""

from __future__ import annotations

import itertools
import math

import flint
import pytest
import torch
from networks import twin_trace
from strategies import assert_agrees, generator, size

from collapse.attention import Network
from collapse.bounds.needs import induction_contraction, induction_gap
from collapse.exact import lift
from collapse.norms import dobrushin
from collapse.softmax import oscillation
from collapse.tasks import Batch, Recall
from collapse.tasks.induction import (
    answer,
    embed,
    induction_network,
    induction_threshold,
    labelled,
    misleading,
)

SMALL = Recall(4, 4, 4)


def right(task: Recall, network: Network, batch: Batch) -> torch.Tensor:
    said = answer(task, network(embed(task, batch.tokens))).argmax(-1) + task.keys
    return said == batch.targets[:, 0]


def every_input(task: Recall) -> Batch:
    """All orders of the keys, all values with repetition, all queries."""
    tokens, targets = [], []
    values = range(task.keys, task.vocabulary)
    for keys in itertools.permutations(range(task.keys), task.pairs):
        for drawn in itertools.product(values, repeat=task.pairs):
            for key, value in zip(keys, drawn, strict=True):
                row = [x for pair in zip(keys, drawn, strict=True) for x in pair]
                tokens.append([*row, key])
                targets.append([value])
    return Batch(torch.tensor(tokens), torch.tensor(targets))


@pytest.mark.label("large-weights-suffice")
def test_the_network_agrees_with_its_slow_twin() -> None:
    task = Recall(2, 2, 2)
    X = embed(task, torch.tensor([1, 2, 0, 3, 0]))
    for scale in (0.5, 2.0):
        network = induction_network(task, scale)
        trace = twin_trace(network, X)
        assert_agrees(network(X), trace[-1], 8 * size(network(X)) * (1 + scale) ** 4, 80)


@pytest.mark.label("large-weights-suffice")
def test_all_weights_are_zero_or_s() -> None:
    network = induction_network(SMALL, 1.7)
    for weights in (network.query, network.key, network.value):
        assert set(weights.flatten().tolist()) == {0.0, 1.7}
    assert network.depth == 2
    assert network.heads == 1


@pytest.mark.label("large-weights-suffice")
def test_above_the_threshold_every_input_is_answered_and_below_some_are_not() -> None:
    batch = every_input(Recall(3, 3, 3))
    task = Recall(3, 3, 3)
    star = induction_threshold(task)
    assert len(batch.tokens) == 6 * 27 * 3
    assert bool(right(task, induction_network(task, 1.0001 * star), batch).all())
    below = right(task, induction_network(task, 0.9999 * star), batch)
    assert 0 < int(below.sum()) < len(below)


@pytest.mark.label("large-weights-suffice")
@pytest.mark.parametrize("pairs", [3, 8, 16])
def test_the_threshold_is_where_it_was_predicted(pairs: int) -> None:
    task = Recall(pairs, pairs, pairs)
    star, worst = induction_threshold(task), misleading(task, 20, generator(0))
    assert bool(right(task, induction_network(task, 1.0001 * star), worst).all())
    assert not bool(right(task, induction_network(task, 0.9999 * star), worst).any())
    some = labelled(task, 2, 100, generator(1))
    assert bool(right(task, induction_network(task, 1.0001 * star), some).all())


@pytest.mark.label("large-weights-suffice")
@pytest.mark.parametrize("layer", [0, 1])
def test_without_either_head_the_network_only_counts(layer: int) -> None:
    """Control: no scale helps once a head has lost its logits."""
    silent = torch.ones(2, 1, 1, 1, dtype=torch.float64)
    silent[layer] = 0
    network = induction_network(SMALL, 4.0)
    worst = misleading(SMALL, 20, generator(0))
    assert bool(right(SMALL, network, worst).all())
    assert not bool(right(SMALL, network.replace(query=network.query * silent), worst).any())


@pytest.mark.label("large-weights-suffice")
def test_balls_decide_both_sides_of_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flint.ctx, "prec", 128)
    task = Recall(3, 3, 3)
    star = induction_threshold(task)
    worst = misleading(task, 1, generator(3))
    X = embed(task, worst.tokens[0])
    for factor, enough in ((1001, True), (999, False)):
        s = flint.arb(star) * factor / 1000
        network = induction_network(task, s)
        said = answer(task, network(lift(X, "arb")))
        target = int(worst.targets[0, 0]) - task.keys
        others = [x for i, x in enumerate(said) if i != target]
        assert all(said[target] > x for x in others) == enough
        assert any(x > said[target] for x in others) != enough


@pytest.mark.label("large-weights-suffice")
@pytest.mark.parametrize("scale", [0.3, 1.0, 1.6, 2.5])
def test_the_closed_forms_are_what_the_network_does(scale: float) -> None:
    task = Recall(6, 6, 6)
    n, network = task.tokens, induction_network(task, scale)
    batch = labelled(task, 3, 1, generator(5))
    trace = network.trace(embed(task, batch.tokens[0]))
    tau = float(dobrushin(network.attention_matrices(trace[0], 0)))
    assert tau == pytest.approx(induction_contraction(n, scale), abs=1e-14)
    values = torch.arange(1, n - 1, 2)
    logits = (trace[1, -1] @ network.query[1, 0]) @ (trace[1, values] @ network.key[1, 0]).T
    gap = float(oscillation(logits[None]))
    assert gap == pytest.approx(induction_gap(n, scale), abs=1e-12)
    keys = batch.tokens[0, 0:-1:2].tolist()
    assert int(logits.argmax()) == keys.index(int(batch.tokens[0, -1]))


@pytest.mark.label("large-weights-suffice")
def test_a_scale_of_the_root_of_log_n_is_enough_and_of_that_order_needed() -> None:
    for pairs in (3, 4, 5, 6, 8, 10, 16, 33, 100, 10**3, 10**4, 10**6):
        task = Recall(pairs, pairs, pairs)
        star, root = induction_threshold(task), math.sqrt(math.log(task.tokens))
        assert star <= root
        assert star >= 0.75 * root
    # Control: nine tenths of the root are too little for long sequences.
    long = Recall(10**6, 10**6, 10**6)
    assert induction_threshold(long) > 0.9 * math.sqrt(math.log(long.tokens))


@pytest.mark.label("large-weights-suffice")
def test_half_of_the_contraction_stands_at_the_root_of_log() -> None:
    for n in (5, 33, 1001):
        assert induction_contraction(n, math.sqrt(math.log(n + 1))) == pytest.approx(0.5)
    scales = torch.linspace(0, 40, 2000, dtype=torch.float64)
    gaps = induction_gap(33, scales)
    assert bool((gaps.diff() > 0).all())
    assert torch.isfinite(gaps).all()


def test_worst_cases_and_labels_are_what_they_are_called() -> None:
    worst, labels = misleading(SMALL, 30, generator(0)), labelled(SMALL, 2, 200, generator(0))
    for batch in (worst, labels):
        keys, values, query = batch.tokens[:, 0:-1:2], batch.tokens[:, 1::2], batch.tokens[:, -1]
        place = (keys == query[:, None]).int()
        assert bool((place.sum(-1) == 1).all())
        assert torch.equal((values * place).sum(-1), batch.targets[:, 0])
        assert bool((keys.sort(-1).values == torch.arange(4)).all())
    assert bool(((worst.tokens == worst.targets).sum(-1) == 1).all())
    assert set(labels.tokens[:, 1::2].flatten().tolist()) == {4, 5}


def test_a_batch_of_scales_is_a_batch_of_networks() -> None:
    scales = torch.tensor([0.5, 2.0], dtype=torch.float64)
    batch = induction_network(SMALL, scales)
    assert batch.batch == (2,)
    X = embed(SMALL, misleading(SMALL, 1, generator(1)).tokens[0])
    for i, s in enumerate(scales.tolist()):
        assert torch.allclose(batch(X)[i], induction_network(SMALL, s)(X))


BAD = {
    "scale": lambda: induction_network(SMALL, -1.0),
    "scale: expected s": lambda: induction_gap(5, -1.0),
    "tokens": lambda: embed(SMALL, torch.zeros(3, dtype=torch.int64)),
    "symbols": lambda: embed(SMALL, torch.full((9,), 8)),
    "pairs": lambda: induction_threshold(Recall(2, 2, 2)),
    "labels": lambda: labelled(SMALL, 5, 1, generator(0)),
    "values": lambda: misleading(Recall(1, 1, 1), 1, generator(0)),
}


@pytest.mark.parametrize("quantity", BAD)
def test_bad_input_is_named(quantity: str) -> None:
    with pytest.raises(ValueError, match=quantity):
        BAD[quantity]()

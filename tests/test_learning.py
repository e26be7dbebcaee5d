"""Bounds on what can be learnt: the loss near rung 2, and gradients of queries and keys."""

from __future__ import annotations

import math

import pytest
import torch
from strategies import CASES, assert_below, generator, rough, size

from collapse.attention import Network
from collapse.bounds.learning import (
    least_margin,
    loss_floor,
    margin_bound,
    query_gradient_bound,
)
from collapse.rungs import surrogate
from collapse.softmax import retrieval_threshold


def turned_loss(scores: list[float], changes: list[list[float]], answers: list[int]) -> float:
    """The slow twin: mean cross-entropy over the turns, by its definition."""
    total = 0.0
    for change, answer in zip(changes, answers, strict=True):
        logits = [s + c for s, c in zip(scores, change, strict=True)]
        top = max(logits)
        total += top + math.log(sum(math.exp(z - top) for z in logits)) - logits[answer]
    return total / len(answers)


def random_logits(m: int, classes: int, seed: int, cases: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities on m turns of one sequence, and the oscillation of what tells them apart.

    Half of the cases are near the extremal one: even scores, and a push towards the right answer.
    """
    source = generator(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(cases, *shape, generator=source, dtype=torch.float64)

    helpful = uniform(1, 1) < 0.5
    scores = 6 * (uniform(1, classes) - 0.5) * uniform(1, 1)
    even = torch.where(torch.arange(classes) < m, 0.0, -5.0)
    right = torch.eye(m, classes, dtype=torch.float64)
    changes = torch.where(helpful, right + uniform(m, classes) / 10, uniform(m, classes))
    changes = changes * 10 ** (3 * uniform(1, 1) - 2)
    logits = torch.where(helpful, even + scores / 20, scores) + changes
    return logits.log_softmax(-1), (changes.amax(-1) - changes.amin(-1)).amax(-1)


@pytest.mark.label("loss-floor")
@pytest.mark.parametrize(("m", "classes"), [(2, 2), (3, 7), (5, 12)])
def test_no_random_case_is_below_the_floor(m: int, classes: int) -> None:
    logits, margin = random_logits(m, classes, m, CASES // (2 * m))
    floor = loss_floor(m, margin)
    loss = -logits.diagonal(dim1=-2, dim2=-1).mean(-1)
    assert_below(floor, loss, 1 + size(margin), 200)
    # The control: where one value is the answer on all turns, a guess can be right.
    assert (-logits[..., 0].mean(-1) < floor).any()


@pytest.mark.label("loss-floor")
@pytest.mark.parametrize("m", [2, 5, 11])
@pytest.mark.parametrize("margin", [0.0, 1e-3, 1.0, 20.0])
def test_the_floor_is_attained_and_a_larger_one_is_false(m: int, margin: float) -> None:
    scores = [0.0] * m + [-800.0]  # one token that is no value of the sequence
    changes = [[margin * (c == turn) for c in range(m + 1)] for turn in range(m)]
    loss = turned_loss(scores, changes, list(range(m)))
    assert loss == pytest.approx(loss_floor(m, margin), rel=1e-12)
    assert loss < loss_floor(m, 0.99 * margin) or margin == 0


@pytest.mark.label("loss-floor")
def test_the_margin_that_a_loss_takes_is_the_retrieval_threshold() -> None:
    for m in (2, 5, 100):
        for loss in (1e-6, 0.1, math.log(m) * 0.9):
            margin = least_margin(m, loss)
            assert loss_floor(m, margin) == pytest.approx(loss, rel=1e-9)
            assert margin == pytest.approx(retrieval_threshold(m, -math.expm1(-loss)), rel=1e-9)


@pytest.mark.label("loss-floor", "rung-2")
@pytest.mark.parametrize("eta", [0.003, 0.02, 0.2])
def test_no_network_within_the_bounds_has_a_larger_margin(eta: float) -> None:
    L, H, d, k, phi, r = 2, 2, 3, 2, 1.5, 0.7
    bound = margin_bound(eta, L, H, d, k, phi, r)
    largest = 0.0
    for signs in (False, True):
        drawn = Network.random(L, H, d, k, torch.full((2000,), eta), generator(1))
        weights = [getattr(drawn, name) for name in ("query", "key", "value")]
        if signs:
            weights = [eta * torch.ones_like(w) for w in weights]
        network = Network(*weights)
        X = phi * torch.randn(2000, 4, d, generator=generator(2), dtype=torch.float64).sign()
        readout = r * torch.randn(2000, d, 5, generator=generator(3), dtype=torch.float64).sign()
        change = (network(X) - surrogate(network, 2)(X)) @ readout
        span = change.amax(-1) - change.amin(-1)
        assert_below(span, torch.tensor(bound), size(change) + phi, 500)
        largest = max(largest, float(span.max()))
    assert largest > 0.02 * bound  # far lower would make the region that it proves worthless


def gradients(
    network: Network, X: torch.Tensor, upstream: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest entries of the gradients of ⟨A(X), u⟩ by W_Q and W_K, by torch."""
    query, key = network.query.clone().requires_grad_(), network.key.clone().requires_grad_()
    out = network.replace(query=query, key=key).attention(X, 0)
    found = torch.autograd.grad((out * upstream).sum(), (query, key))
    return tuple(g[..., 0, :, :, :].abs().amax((-2, -1)) for g in found)


@pytest.mark.label("gradient-order")
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_stay_below_their_bounds(masked: bool) -> None:
    cases, n, d, k = 20_000, 4, 3, 2
    eta = 10 ** (4 * torch.rand(cases, generator=generator(0), dtype=torch.float64) - 3)
    network = Network.random(1, 2, d, k, eta, generator(1))
    network = network.replace(mask=torch.ones(n, n).tril().bool() if masked else None)
    X = rough(cases, n, d, seed=2).clamp(-30, 30)
    u = rough(cases, n, d, seed=3).clamp(-30, 30)
    ratios = []
    for found, bound in zip(
        gradients(network, X, u), query_gradient_bound(network, X, u, 0), strict=True
    ):
        scale = X.abs().amax((-2, -1)) ** 3 * eta**2 * u.abs().sum((-2, -1)) * d * d
        assert_below(found, bound, scale[:, None], 2000)
        ratios.append((found / bound.clamp(min=1e-300)).max())
    assert max(ratios) > 0.2  # so a bound five times lower would have been noticed


@pytest.mark.label("gradient-order")
@pytest.mark.parametrize("r", [0.1, 1.0, 30.0])
def test_the_gradient_bound_is_attained(r: float) -> None:
    zero, some = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.7)
    X, u = torch.tensor([[-r], [r]]), torch.tensor([[-1.0], [1.0]])
    network = Network(zero, some, some)
    found, bound = gradients(network, X, u)[0], query_gradient_bound(network, X, u, 0)[0]
    assert found.item() == pytest.approx(bound.item(), rel=1e-5)
    assert found.item() > 0.99 * bound.item()  # a bound lower by one per cent would be false


@pytest.mark.label("gradient-order")
def test_the_powers_of_eta_are_two_and_zero() -> None:
    sizes = torch.tensor([1e-4, 1e-3], dtype=torch.float64)
    network = Network.random(1, 1, 3, 2, sizes, generator(4))
    X, u = (torch.randn(4, 3, generator=generator(s), dtype=torch.float64) for s in (5, 6))
    for found in gradients(network, X, u):
        assert math.log10(found[1, 0] / found[0, 0]) == pytest.approx(2, abs=1e-4)
    value = network.value.clone().requires_grad_()
    out = network.replace(value=value).attention(X, 0)
    (g,) = torch.autograd.grad((out * u).sum(), value)
    a, b = g.abs().flatten(1).amax(1)
    assert math.log10(b / a) == pytest.approx(0, abs=1e-4)


def test_rope_and_norms_have_no_gradient_bound() -> None:
    network = Network.random(1, 1, 2, 2, 0.1, generator(0))
    X = torch.eye(2, dtype=torch.float64)
    for option in ({"rope": 100.0}, {"norm": "pre"}):
        with pytest.raises(ValueError, match=f"^{next(iter(option))}: expected None"):
            query_gradient_bound(network.replace(**option), X, X, 0)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: loss_floor(0, 1.0), "pairs"),
        (lambda: loss_floor(5, -1.0), "margin"),
        (lambda: least_margin(1, 0.1), "pairs"),
        (lambda: least_margin(5, 0.0), "loss"),
        (lambda: least_margin(5, 2.0), "loss"),
        (lambda: margin_bound(-0.1, 1, 1, 2, 2, 1.0, 1.0), "eta"),
    ],
)
def test_bad_numbers_are_named(call, word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word}: expected"):
        call()

"""The search for the worst case: it climbs, stays within its constraint, finds what is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from strategies import generator, normal
from torch import Tensor

from collapse.adversary import ascend, worst_balanced
from collapse.numeric import rounding_allowance
from collapse.softmax import balance, softmax, total_variation, tv_bound, uniform_tv_bound

THETA = torch.tensor([0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 7.0, 12.0], dtype=torch.float64)


def distance(A: Tensor, E: Tensor) -> Tensor:
    return total_variation(softmax(A), softmax(A + E))[..., 0]


def search(objective: Callable[[Tensor, Tensor], Tensor] = distance, **options: Any) -> Any:
    settings: dict[str, Any] = {"theta": THETA, "tokens": 5, "generator": generator(0)} | options
    return worst_balanced(objective, **settings)


# --- ascend --------------------------------------------------------------------------------------


def test_every_start_reaches_the_top_of_a_hill() -> None:
    top = torch.tensor([3.0, -1.0], dtype=torch.float64)
    value, point = ascend(lambda x: 5 - ((x - top) ** 2).sum(-1), normal(7, 2, seed=1), 600, 0.1)
    assert value.shape == (7,) and point.shape == (7, 2)
    assert bool((value > 5 - 1e-4).all() and (value <= 5).all())
    assert bool(((point - top).abs() < 1e-2).all())


def test_the_best_point_on_the_way_is_kept() -> None:
    """A step size that overshoots must not lose the start, here the maximum itself."""
    value, point = ascend(lambda x: -x.abs().sum(-1), torch.zeros(1, 2), 50, 10.0)
    assert value.item() == 0 and point.tolist() == [[0.0, 0.0]]


def test_value_and_point_belong_together() -> None:
    def objective(x: Tensor) -> Tensor:
        return torch.sin(3 * x).sum(-1) - 0.1 * (x**2).sum(-1)

    value, point = ascend(objective, normal(20, 3, seed=2))
    assert torch.equal(value, objective(point))


def test_the_starts_are_left_alone_and_climb_alone() -> None:
    starts = normal(6, 2, seed=3)
    before = starts.clone()
    together = ascend(lambda x: -((x - 1) ** 4).sum(-1), starts)[0]
    assert torch.equal(starts, before)
    alone = ascend(lambda x: -((x - 1) ** 4).sum(-1), starts[2:3])[0]
    assert torch.equal(together[2:3], alone)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no start": (lambda: ascend(lambda x: x.sum(-1), torch.zeros(0, 2)), "starts"),
    "no step": (lambda: ascend(lambda x: x.sum(-1), torch.zeros(1, 2), 0), "steps"),
    "no rate": (lambda: ascend(lambda x: x.sum(-1), torch.zeros(1, 2), 5, 0.0), "learning_rate"),
    "nan": (lambda: ascend(lambda x: torch.log(x).sum(-1), -torch.ones(1, 2)), "objective"),
    "theta 0": (lambda: search(theta=torch.zeros(1)), "theta"),
    "theta a number": (lambda: search(theta=torch.tensor(1.0)), "theta"),
    "theta nan": (lambda: search(theta=torch.tensor([math.nan])), "theta"),
    "no token": (lambda: search(tokens=0), "tokens"),
    "starts 0": (lambda: search(starts=0), "starts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input(name: str) -> None:
    call, quantity = REFUSED[name]
    with pytest.raises(ValueError, match=rf"(?s)^{quantity}: expected .+, received .+"):
        call()


# --- worst_balanced ------------------------------------------------------------------------------


def test_what_it_returns_is_balanced_and_gives_the_value() -> None:
    found, A, E = search(starts=4)
    assert found.shape == THETA.shape and A.shape == E.shape == (len(THETA), 1, 5)
    assert bool((balance(E) <= THETA).all())
    assert torch.equal(found, distance(A, E))


def test_the_seed_decides_and_another_start_differs() -> None:
    first, again, other = (search(generator=generator(seed), starts=2)[1] for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.label("softmax-tv")
@pytest.mark.label("softmax-compare")
@pytest.mark.parametrize("tokens", [2, 3, 8, 40])
def test_the_search_reaches_the_sharp_bound_and_never_passes_it(tokens: int) -> None:
    found = search(tokens=tokens)[0]
    bound = tv_bound(THETA)
    assert bool((found <= bound + rounding_allowance(1.0, 4 * 30 + 2 * tokens)).all())
    assert bool((found > 0.999 * bound).all())
    assert bool((found > 0.99 * bound).all())  # so a bound lowered by 1% would be refuted


@pytest.mark.label("softmax-tv")
def test_it_notices_a_perturbation_that_is_not_balanced() -> None:
    """Negative control: with an oscillation 1% above θ the bound at θ is passed."""
    theta = THETA[THETA <= 4]
    found = search(lambda A, E: distance(A, 1.01 * E), theta=theta)[0]
    assert bool((found > tv_bound(theta)).all())


@pytest.mark.label("uniform-tv")
@pytest.mark.parametrize("n", [2, 3, 5])
def test_from_uniform_attention_it_meets_the_bound_at_given_n(n: int) -> None:
    found = search(lambda A, E: distance(0 * A, E), tokens=n, starts=24)[0]
    bound = uniform_tv_bound(THETA, n)
    assert bool((found <= bound + rounding_allowance(1.0, 4 * 15 + 2 * n)).all())
    assert bool((found > 0.999 * bound).all())
    # At large θ the bound for all n is not reached: few tokens stay nearer to uniform.
    assert found[-1] < 0.99 * tv_bound(THETA[-1])


def test_one_token_cannot_move() -> None:
    assert search(tokens=1)[0].tolist() == [0.0] * len(THETA)


def test_theta_keeps_its_dtype() -> None:
    found, A, E = search(theta=THETA.float(), starts=2)
    assert found.dtype == A.dtype == E.dtype == torch.float32

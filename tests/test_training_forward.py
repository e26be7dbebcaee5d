"""The forward pass of training, against a Network called on one member and sequence at a time."""

from __future__ import annotations

import pytest
import torch
from strategies import normal

from collapse.attention import Network
from collapse.tasks import Batch
from collapse.training.forward import rows_read
from collapse.training.model import Model

MEMBERS, COUNT, TOKENS, WIDTH = 3, 2, 5, 4
ALL = tuple(range(TOKENS))


def case(depth: int, heads: int, causal: bool = False) -> tuple[Network, torch.Tensor]:
    generator = torch.Generator().manual_seed(depth)
    draw = [Network.random(depth, heads, WIDTH, 3, 0.7, generator) for _ in range(MEMBERS)]
    mask = torch.ones(TOKENS, TOKENS).tril().bool() if causal else None
    skip = torch.tensor([[1.0], [0.0], [-0.6]], dtype=torch.float64)
    stacked = Network.stack([Network.stack([one]) for one in draw]).replace(skip=skip, mask=mask)
    return stacked, normal(MEMBERS, COUNT, TOKENS, WIDTH, seed=1)


def one_by_one(network: Network, X: torch.Tensor, read: tuple[int, ...]) -> torch.Tensor:
    rows = []
    for e in range(MEMBERS):
        weights = {name: getattr(network, name)[e, 0] for name in ("query", "key", "value")}
        single = network.replace(**weights, skip=float(network.skip[e, 0]))
        rows.append(torch.stack([single(x)[list(read)] for x in X[e]]))
    return torch.stack(rows)


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("read", [(TOKENS - 1,), (2, 0), ALL, ALL[::-1]], ids=str)
@pytest.mark.parametrize(("depth", "heads"), [(1, 1), (1, 3), (4, 2)])
def test_rows_are_those_of_the_network(
    depth: int, heads: int, read: tuple[int, ...], causal: bool
) -> None:
    network, X = case(depth, heads, causal)
    expected = one_by_one(network, X, read)
    torch.testing.assert_close(rows_read(network, X, read), expected, rtol=1e-12, atol=1e-12)
    # The controls: a tenth of a per mille more, the heads of V in another order, no mask.
    wrong = [network.replace(query=1.0001 * network.query)]
    wrong += [network.replace(value=network.value.flip(-3))] if heads > 1 else []
    wrong += [network.replace(mask=None)] if causal and read != (TOKENS - 1,) else []
    for other in wrong:
        assert (rows_read(other, X, read) - expected).abs().max() > 1e-8


@pytest.mark.parametrize("read", [(TOKENS - 1,), ALL], ids=str)
def test_the_training_loss_and_its_gradients_are_those_of_the_loss(read: tuple[int, ...]) -> None:
    network, _ = case(3, 2, causal=True)
    names, vocabulary = ("query", "key", "value"), 6
    shapes = ((MEMBERS, vocabulary, WIDTH), (MEMBERS, TOKENS, WIDTH), (MEMBERS, WIDTH, vocabulary))
    outside = [normal(*shape, seed=place).requires_grad_() for place, shape in enumerate(shapes)]
    leaves = [getattr(network, name).clone().requires_grad_() for name in names]
    model = Model(network.replace(**dict(zip(names, leaves, strict=True))), *outside, read)
    generator = torch.Generator().manual_seed(5)
    batch = Batch(
        torch.randint(vocabulary, (MEMBERS, COUNT, TOKENS), generator=generator),
        torch.randint(vocabulary, (MEMBERS, COUNT, len(read)), generator=generator),
    )
    found, expected = model.training_loss(*batch), model.loss(*batch)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    every = [*leaves, *outside]
    gradients = zip(
        torch.autograd.grad(found.sum(), every),
        torch.autograd.grad(expected.sum(), every),
        strict=True,
    )
    for ours, theirs in gradients:
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert theirs.abs().max() > 1e-3, "a gradient of zero agrees with anything"


@pytest.mark.parametrize(
    ("change", "word"),
    [({"norm": "pre"}, "norm"), ({"norm": "row"}, "norm"), ({"rope": 9.0}, "rope")],
)
def test_what_is_not_offered_is_refused(change: dict[str, object], word: str) -> None:
    network, X = case(1, 1)
    even = {name: getattr(network, name)[..., :2] for name in ("query", "key")}
    with pytest.raises(ValueError, match=f"^{word}: expected None"):
        rows_read(network.replace(**even, **change), X, ALL)
    with pytest.raises(ValueError, match="^depth: expected L >= 1"):
        rows_read(network.layers(0, 0), X, ALL)

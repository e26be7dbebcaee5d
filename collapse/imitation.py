"""Floor 7. Search for the one-layer network that imitates given outputs best."""

from __future__ import annotations

import torch
from torch import Tensor

from collapse.adversary import ascend
from collapse.attention import Network
from collapse.numeric import require


def imitate(
    network: Network,
    X: Tensor,
    heads: int,
    generator: torch.Generator,
    starts: int = 8,
    steps: int = 800,
    learning_rate: float = 0.02,
) -> tuple[Tensor, Network]:
    r"""Search the one-layer network that is closest to a deep one on given inputs.

    .. math:: \min_{S'} \max_X \lVert S(X) - S'(X) \rVert_\infty

    over the one-layer networks with skip of so many heads, all M and V free, by gradient descent
    on the logarithm of the error. What it finds is an upper bound of the minimum.

    Args:
        network: The networks to imitate, with one batch dimension, (nets,).
        X: The inputs, shape (inputs, n, d).
        heads: Heads of the imitation, ≥ 1.
        generator: Source of the starts; weights start Gaussian at the network's own scale.
        starts: Number of starts for each network, ≥ 1.
        steps: Number of gradient steps, ≥ 1.
        learning_rate: First step size in units of the network's largest M and V, > 0.

    Returns:
        The least error found for each network, shape (nets,), and the imitations, batch (nets,).

    Raises:
        ValueError: On bad sizes, or if an imitation is exact, so that its error has no logarithm.

    Source:
        one-layer-floor, one-head-floor

    >>> g = torch.Generator().manual_seed(0)
    >>> deep = Network(*torch.ones(3, 1, 2, 1, 1, 1, dtype=torch.float64) / 2)
    >>> X = torch.tensor([[[0.0], [1.0]]], dtype=torch.float64)
    >>> imitate(deep, X, 2, g, steps=50)[1]
    Network(batch=(1,), depth=1, heads=2, width=1, key_width=1, dtype=torch.float64, device='cpu')
    """
    require(len(network.batch) == 1, "network", "one batch dimension", network.batch)
    require(X.ndim == 3, "X", "shape (inputs, n, d)", tuple(X.shape))
    require(heads >= 1, "heads", "an integer >= 1", heads)
    require(starts >= 1, "starts", "an integer >= 1", starts)
    nets, d = network.batch[0], network.width
    target = network(X[:, None])[:, :, None]
    scale = torch.stack(
        [w.abs().amax((-4, -3, -2, -1)) for w in (network.query_key, network.value_output)], 1
    )[:, None, :, None, None, None]

    def trial(point: Tensor) -> Network:
        """Points (nets, starts, 2, heads, d, d) as networks of batch (nets, starts)."""
        query, value = (point * scale)[..., None, :, :, :].unbind(2)
        return Network(query, torch.eye(d).to(query).expand_as(query), value)

    def objective(points: Tensor) -> Tensor:
        error = (trial(points.unflatten(0, (nets, starts)))(X[:, None, None]) - target).abs()
        return -error.amax((0, -2, -1)).log().flatten()

    shape = (nets * starts, 2, heads, d, d)
    begin = torch.randn(shape, generator=generator, dtype=torch.float64).to(network.query)
    values, points = ascend(objective, begin, steps, learning_rate)
    best, where = values.unflatten(0, (nets, starts)).max(1)
    found = points.unflatten(0, (nets, starts))[torch.arange(nets, device=where.device), where]
    return (-best).exp(), _first(trial(found[:, None]))


def _first(network: Network) -> Network:
    """Of a batch (nets, starts), the first start."""
    weights = {name: getattr(network, name)[:, 0].detach() for name in ("query", "key", "value")}
    return network.replace(**weights)

"""Batches of one-layer networks with skips, in every option that the bounds know."""

from __future__ import annotations

import math
from typing import Any

import torch
from networks import CAUSAL, SCATTERED
from strategies import generator

from collapse.attention import Network

NORMS = (1, 2, math.inf)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {}, "causal": {"mask": CAUSAL}, "scattered": {"mask": SCATTERED},
    "rope": {"rope": 9.0}, "causal rope": {"mask": CAUSAL, "rope": 9.0},
}  # fmt: skip
OPERATIONS = 80  # on the longest chain of one layer, the norms and the bound


def sizes_of(cases: int, low: float, high: float, source: torch.Generator) -> torch.Tensor:
    """Powers of ten between 10^low and 10^high, one a case."""
    exponent = low + (high - low) * torch.rand(cases, 1, 1, generator=source, dtype=torch.float64)
    return 10**exponent


def drawn(cases: int, seed: int, heads: int = 2, **options: Any) -> tuple[Network, torch.Tensor]:
    """One-layer networks and tokens: Gaussian, of signs, or nearly equal; of many sizes."""
    source = generator(seed)

    def entries(*shape: int) -> torch.Tensor:
        X = torch.randn(shape, generator=source, dtype=torch.float64)
        kind = torch.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) % 3
        return torch.where(kind == 1, torch.sign(X), X)

    n, d, k = 4, 2, 2
    X = entries(cases, n, d) * sizes_of(cases, -2, 0.5, source)
    close = torch.arange(cases)[:, None, None] % 5 == 0
    X = torch.where(close, X[:, :1] + X / 100, X)
    scale = sizes_of(cases, -2, 0.3, source)[..., None, None]
    query, key, value = (entries(cases, 1, heads, d, c) * scale for c in (k, k, d))
    return Network(query, key, value, **options), X


def rounding(network: Network, *tokens: torch.Tensor) -> torch.Tensor:
    """What rounding of one layer is relative to: the output and its growth with the logits."""
    phi = torch.stack([X.abs().sum(-1).amax(-1) for X in tokens]).amax(0)
    beta = (network.query.abs() @ network.key.abs().mT).sum((-2, -1))[:, 0]
    v = network.value.abs().sum((-2, -1))[:, 0]
    return phi + (v * (1 + 4 * beta * phi[:, None] ** 2)).sum(-1) * phi

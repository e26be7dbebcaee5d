"""What a GPU must agree on with the CPU, quantity by quantity, and how closely.

The reference is the CPU in float64.  The inputs are numbers that float32 holds exactly, so that
both dtypes start from the same ones, and small, so that the worst case of rounding stays small.
The allowance is the project's only formula for rounding: the scale of the intermediate results, and
the length of the longest chain of roundings.  It covers both sides, whatever the order in which a
device sums.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from unittest.mock import patch

import torch
from networks import operations, rounding_scale
from strategies import normal, size

from collapse import (
    Network,
    attack,
    centred_trace,
    collapse_bound,
    contraction_bound,
    diameter,
    dobrushin,
    query_key_norm,
    residual,
    residual_norm,
    surrogate,
    value_norm,
)
from collapse.fast import taylor_attention
from collapse.numeric import rounding_allowance
from collapse.referee.controls import scaled
from collapse.referee.trial import Trial
from collapse.referee.trials import trials

Compute = Callable[[Network, torch.Tensor], torch.Tensor]
BOTH = (torch.float64, torch.float32)
TOKENS, WIDTH, LAYERS, ETA = 6, 4, 3, 1 / 6


@dataclass(frozen=True)
class Quantity:
    """Something that is computed from a network and tokens, and how it may round.

    Attributes:
        compute: The quantity, on the device and in the dtype of its arguments.
        scale: Size of the largest intermediate result.
        operations: Roundings on the longest chain.
        dtypes: Number types in which it is offered.
        relative: Only for a search, which ends where its steps end: how far the maxima may differ.
        spoiled: What is computed in the control where the inputs do not enter.
    """

    compute: Compute
    scale: Callable[[Network, torch.Tensor], float]
    operations: Callable[[Network, torch.Tensor], int]
    dtypes: tuple[torch.dtype, ...] = BOTH
    relative: float = 0.0
    spoiled: Compute | None = None

    def allowed(self, network: Network, X: torch.Tensor, dtype: torch.dtype) -> float:
        """How far the two sides may differ."""
        scale, count = self.scale(network, X), self.operations(network, X)
        sides = (torch.float64, dtype)
        rounding = sum(rounding_allowance(scale, count, side) for side in sides)
        return rounding + self.relative * scale


@dataclass(frozen=True)
class Found:
    """The largest difference between two devices, and what is allowed."""

    difference: float
    allowed: float
    largest: float


def inputs(spoiled: bool = False) -> tuple[Network, torch.Tensor]:
    """A network and tokens on the CPU; spoiled, values and tokens are one per cent larger."""
    g = torch.Generator().manual_seed(0)
    network = Network.random(LAYERS, 2, WIDTH, 4, ETA, g, dtype=torch.float32).to(torch.float64)
    X = normal(TOKENS, WIDTH, seed=1, dtype=torch.float32).double() / 2
    if spoiled:
        network, X = network.replace(value=1.01 * network.value), 1.01 * X
    return network, X


def measure(
    name: str, device: str | torch.device, dtype: torch.dtype, spoiled: bool = False
) -> Found:
    """A quantity on a device beside the CPU in float64."""
    quantity = QUANTITIES[name]
    network, X = inputs()
    expected = quantity.compute(network, X)
    theirs = (part.to(device=device, dtype=dtype) for part in inputs(spoiled))
    compute = (quantity.spoiled if spoiled else None) or quantity.compute
    measured = compute(*theirs)
    assert measured.device.type == torch.device(device).type, f"{name} left the device"
    difference = (measured.double().cpu() - expected).abs().max()
    return Found(float(difference), quantity.allowed(network, X, dtype), float(size(expected)))


def _single(network: Network) -> Network:
    return network.layers(0, 1)


def _no_skip(network: Network) -> Network:
    return network.replace(skip=0.0)


def _weights(network: Network) -> torch.Tensor:
    return network.value[0, 0]


def _attention(network: Network, X: torch.Tensor) -> torch.Tensor:
    return torch.softmax(X @ network.query[0, 0] @ network.key[0, 0].mT @ X.mT, -1)


def _rung(rung: int) -> Compute:
    return lambda network, X: surrogate(network, rung)(X)


def _bound(rung: int, data: str) -> Compute:
    return lambda network, X: collapse_bound(network, X, rung, data=data).value


def _taylor(network: Network, X: torch.Tensor) -> torch.Tensor:
    q, k = (X @ weight[0, 0] for weight in (network.query, network.key))
    return taylor_attention(q, k, X @ _weights(network), 6)


def _attacked(network: Network, X: torch.Tensor, trial: str | None = None) -> torch.Tensor:
    # The search draws its own starts; of the arguments it takes only the device.
    ratio = attack("contraction", trial, seed=0, device=X.device).ratio
    return torch.tensor(ratio, device=X.device, dtype=torch.float64)


def _attacked_spoiled(network: Network, X: torch.Tensor) -> torch.Tensor:
    # One of the trials, which alone reaches 1 as well, with a bound that is one per cent larger.
    def larger(label: str, name: str | None = None) -> tuple[Trial, ...]:
        found = trials(label, name)
        return tuple(replace(one, sides=scaled(one, Fraction(101, 100))) for one in found)

    with patch.object(sys.modules[attack.__module__], "trials", larger):
        return _attacked(network, X, "two tokens, p = inf")


def _trace_scale(network: Network, X: torch.Tensor) -> float:
    return 364 * max(1.0, float(centred_trace(_no_skip(network), X).log10_rho.abs().max()))


def _entries(network: Network, X: torch.Tensor) -> int:
    return X.numel() + 10 * sum(X.shape)


def _size(network: Network, X: torch.Tensor) -> float:
    return max(1.0, size(X)) * X.numel()


def _forward(compute: Compute, factor: int = 1) -> Quantity:
    return Quantity(compute, rounding_scale, lambda network, X: factor * operations(network, X))


def _norm(compute: Compute) -> Quantity:
    return Quantity(compute, _size, _entries)


QUANTITIES: dict[str, Quantity] = {
    "forward": _forward(lambda network, X: network(X)),
    "trace": _forward(lambda network, X: network.trace(X)),
    **{f"surrogate of rung {r}": _forward(_rung(r), 4) for r in range(4)},
    **{
        f"bound of rung {r}, {data}": _forward(_bound(r, data), 4)
        for r in range(4)
        for data in ("weights", "measured")
    },
    "contraction bound": _forward(lambda net, X: contraction_bound(_single(net), X).value, 4),
    "polynomial attention": Quantity(
        _taylor,
        lambda network, X: rounding_scale(_single(network), X),
        lambda network, X: 4 * operations(_single(network), X),
    ),
    "residual": _norm(lambda network, X: residual(X)),
    "residual norm": _norm(lambda network, X: residual_norm(X)),
    **{f"diameter, p = {p:g}": _norm(lambda n, X, p=p: diameter(X, p)) for p in (1, 2, math.inf)},
    **{
        f"value norm, p = {p:g}": _norm(lambda network, X, p=p: value_norm(_weights(network), p))
        for p in (1, 2, math.inf)
    },
    **{
        f"query-key norm, p = {p:g}": _norm(lambda n, X, p=p: query_key_norm(_weights(n), p))
        for p in (1, 2, math.inf)
    },
    "Dobrushin coefficient": _norm(lambda network, X: dobrushin(_attention(network, X))),
    "centred trace": Quantity(
        lambda network, X: centred_trace(_no_skip(network), X).log10_rho,
        _trace_scale,
        lambda network, X: 40 * network.depth,
        dtypes=(torch.float64,),
    ),
    "attack": Quantity(
        _attacked,
        lambda network, X: 1.0,
        lambda network, X: 0,
        dtypes=(torch.float64,),
        relative=1e-3,
        spoiled=_attacked_spoiled,
    ),
}

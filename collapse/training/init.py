r"""First weights of a network, all uniform: small, or after Kaiming or Xavier.

=========  ========================  ==================================
init       bound on an entry         for W_Q and W_K (d × k), V (d × d)
=========  ========================  ==================================
bounded    1/10                      whatever the sizes
kaiming    √(6/rows)                 keeps the variance behind a ReLU
xavier     √(6/(rows + columns))     keeps it both ways, on average
=========  ========================  ==================================

A member's bound η caps all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

SMALL = 0.1
INITS: dict[str, Callable[[int, int], float]] = {
    "bounded": lambda rows, columns: SMALL,
    "kaiming": lambda rows, columns: math.sqrt(6 / rows),
    "xavier": lambda rows, columns: math.sqrt(6 / (rows + columns)),
}


def uniform(shape: tuple[int, ...], bound: float, generator: Generator) -> Tensor:
    """Entries uniform in [−bound, bound], drawn in float64.

    >>> float(uniform((1000,), 0.5, torch.Generator().manual_seed(0)).abs().max()) <= 0.5
    True
    """
    return (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) * bound

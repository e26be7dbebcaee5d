"""Sorting: position i is to say the i-th smallest token of the sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator

from collapse.numeric import require
from collapse.tasks.task import Batch


@dataclass(frozen=True)
class Sorting:
    """Sorting sequences of random symbols, with repetition.

    The answer does not depend on the order of the tokens: unlike recall, sorting can be done by
    who sees the tokens as a multiset.

    Attributes:
        length: Number n of tokens, ≥ 2.
        symbols: Number of different tokens, ≥ 2.
        causal: Whether a position sees only what is before it; False makes sense.

    Raises:
        ValueError: On sizes outside their ranges.

    >>> Sorting(4, 3).sample(1, torch.Generator().manual_seed(0)).targets.tolist()
    [[0, 0, 2, 2]]
    """

    length: int = 8
    symbols: int = 8
    causal: bool = False

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("length", "symbols"):
            require(getattr(self, name) >= 2, name, "an integer >= 2", getattr(self, name))

    @property
    def vocabulary(self) -> int:
        """Number of different tokens."""
        return self.symbols

    @property
    def tokens(self) -> int:
        """Length n of every sequence."""
        return self.length

    @property
    def positions(self) -> tuple[int, ...]:
        """All positions."""
        return tuple(range(self.length))

    def sample(self, count: int, generator: Generator) -> Batch:
        """Random sequences, and the same sorted.

        Args:
            count: Number of sequences, ≥ 1.
            generator: Source of randomness, on the CPU.

        Returns:
            A Batch: tokens and targets, both (count, n).

        Raises:
            ValueError: If the count is below 1.

        >>> Sorting(4, 3).sample(5, torch.Generator().manual_seed(0)).tokens.shape
        torch.Size([5, 4])
        """
        require(count >= 1, "count", "an integer >= 1", count)
        tokens = torch.randint(self.symbols, (count, self.length), generator=generator)
        return Batch(tokens, tokens.sort(-1).values)

    held_out = sample
